"""Importing vectors that other programs computed, beside writing the same bytes to the disk and doing nothing else.

200,000 vectors of 768 float16, from every format, in the order of the images and in another one. Files are read from
the page cache and written without waiting for the disk, in both. The last rows are 2 million vectors, 3 GB: what
memory they take, and what ten million would take at that pace.
"""

from __future__ import annotations

import concurrent.futures
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np

from nlcli.stages.config import StageConfig
from nlcli.stages.options import Option, Output

WIDTH = 768
_CHUNK = 8 << 20


class _Made(StageConfig):
    """A data set without pictures."""

    output: Output
    count: Annotated[int, Option("Images.")]


def run(quick: bool) -> list[dict]:
    """Megabytes a second of every way in."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        rows = _formats(folder, 20_000 if quick else 200_000)
    with tempfile.TemporaryDirectory() as scratch:
        return [*rows, *_many(Path(scratch), 100_000 if quick else 2_000_000)]


def _formats(folder: Path, count: int) -> list[dict]:
    dataset, keys = _dataset(folder, count)
    vectors = np.random.default_rng(0).standard_normal((count, WIDTH), np.float32).astype(np.float16)
    written = _sequential_write(folder, vectors)
    rows = [{"name": f"write {count:,} x {WIDTH} float16, nothing else", "value": written, "unit": "MB/s"}]
    order = np.random.default_rng(1).permutation(count)
    for name, make in _MAKERS.items():
        source = make(folder, keys, vectors)
        rows.append(_imported(name, folder, dataset, source, vectors.nbytes, written))
        _remove(source)
    source = _npy(folder, [keys[i] for i in order], vectors[order])
    rows.append(_imported(".npy in another order", folder, dataset, source, vectors.nbytes, written))
    return rows


def _many(folder: Path, count: int) -> list[dict]:
    dataset, keys = _dataset(folder, count)
    source = folder / "v.npy"
    array = np.lib.format.open_memmap(source, mode="w+", dtype=np.float16, shape=(count, WIDTH))
    part = np.random.default_rng(0).standard_normal((10_000, WIDTH), np.float32).astype(np.float16)
    for first in range(0, count, len(part)):
        array[first : first + len(part)] = part[: count - first]
    del array
    size = count * WIDTH * 2
    rows = []
    for name, order in (("in order", None), ("in another order", np.random.default_rng(1).permutation(count))):
        (folder / "keys.txt").write_text("\n".join(keys if order is None else [keys[i] for i in order]))
        row = _imported(f"{count:,} vectors {name}", folder, dataset, source, size, None)
        seconds = 10_000_000 * WIDTH * 2 / 1e6 / row["value"]
        rows += [row, {"name": f"10,000,000 vectors {name}, at that pace", "value": seconds, "unit": "s"}]
    return rows


def _imported(name: str, folder: Path, dataset: Path, source: Path, size: int, written: float | None) -> dict:
    keys = folder / "keys.txt" if source.suffix in (".npy", ".safetensors") else None
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        seconds, work, peak = pool.submit(_import_once, dataset, source, keys, folder / "out").result()
    _remove(folder / "out")
    row = {
        "name": f"import {name} ({work:.1f} s of CPU)",
        "value": size / seconds / 1e6,
        "unit": "MB/s",
        "peak_memory": peak,
    }
    return row if written is None else row | {"ratio": row["value"] / written, "ratio_to": "writing alone"}


def _import_once(dataset: Path, source: Path, keys: Path | None, output: Path) -> tuple[float, float, int]:
    """Seconds, seconds of CPU and peak of memory, in a process that made nothing of this itself."""
    from nlcli.data.config import ImportFeatures
    from nlcli.data.features.import_features import import_features

    config = ImportFeatures(dataset=dataset, source=source, keys=keys, dtype="float16", output=output)
    started, worked = time.perf_counter(), time.process_time()
    import_features(config)
    return time.perf_counter() - started, time.process_time() - worked, _peak()


def _peak() -> int:
    """Of this process alone: Linux tells a process of its parent's peak, too, but for this line."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def _sequential_write(folder: Path, vectors: np.ndarray) -> float:
    content = vectors.view(np.uint8).reshape(-1).data
    speeds = []
    for _ in range(3):
        started = time.perf_counter()
        with open(folder / "plain", "wb") as file:
            for first in range(0, len(content), _CHUNK):
                file.write(content[first : first + _CHUNK])
        speeds.append(len(content) / (time.perf_counter() - started) / 1e6)
        (folder / "plain").unlink()
    return sorted(speeds)[1]


def _dataset(folder: Path, count: int) -> tuple[Path, list[str]]:
    from nlcli.data.label_files import write_dataset
    from nlcli.data.labels import single_label_table
    from nlcli.stages.stage import open_stage

    keys = [f"folder {i // 1000:05d}/{i:08d}.jpg" for i in range(count)]
    with open_stage("dataset", _Made(output=folder / "dataset", count=count), {}) as stage:
        nobody = np.full(count, -1)
        table = single_label_table(["a", "b"], keys, keys, folder, np.zeros(count, int), np.arange(count) % 2, nobody)
        write_dataset(stage.work, table, {"name": "made up", "source": "made up"})
        stage.finish({})
    return folder / "dataset", keys


def _npy(folder: Path, keys: list[str], vectors: np.ndarray) -> Path:
    np.save(folder / "v.npy", vectors)
    (folder / "keys.txt").write_text("\n".join(keys))
    return folder / "v.npy"


def _npz(folder: Path, keys: list[str], vectors: np.ndarray) -> Path:
    np.savez(folder / "v.npz", keys=np.array(keys), vectors=vectors)
    return folder / "v.npz"


def _h5(folder: Path, keys: list[str], vectors: np.ndarray) -> Path:
    import h5py

    with h5py.File(folder / "v.h5", "w") as file:
        file["keys"], file["vectors"] = keys, vectors
    return folder / "v.h5"


def _safetensors(folder: Path, keys: list[str], vectors: np.ndarray) -> Path:
    table = {"vectors": {"dtype": "F16", "shape": vectors.shape, "data_offsets": [0, vectors.nbytes]}}
    header = json.dumps(table).encode()
    with open(folder / "v.safetensors", "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        vectors.tofile(file)
    (folder / "keys.txt").write_text("\n".join(keys))
    return folder / "v.safetensors"


def _parquet(folder: Path, keys: list[str], vectors: np.ndarray) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"key": keys, "vector": _lists(vectors.astype(np.float32))})
    pq.write_table(table, folder / "v.parquet", compression="none", use_dictionary=False)
    return folder / "v.parquet"


def _arrow(folder: Path, keys: list[str], vectors: np.ndarray) -> Path:
    import pyarrow as pa

    (folder / "hf").mkdir()
    table = pa.table({"key": keys, "vector": _lists(vectors)})
    with pa.OSFile(str(folder / "hf/data-00000-of-00001.arrow"), "wb") as file:
        with pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table, max_chunksize=1000)
    (folder / "hf/state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))
    return folder / "hf"


def _lists(vectors: np.ndarray) -> object:
    import pyarrow as pa

    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), WIDTH)


_MAKERS: dict[str, Callable[[Path, list[str], np.ndarray], Path]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".safetensors": _safetensors,
    "HDF5": _h5,
    "Hugging Face directory": _arrow,
    "Parquet of float32": _parquet,
}


def _remove(path: Path) -> None:
    import shutil

    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
