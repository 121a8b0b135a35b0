"""Every format of vectors: what the library that writes it gives back, from any row on; what is refused."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nlcli.data.features.readers import base
from nlcli.data.features.readers.base import VectorReader
from nlcli.data.features.vectors import open_vectors
from nlcli.errors import NlcliError
from nlcli.stages import hdf5_trial
from worlds.damaged_hdf5 import endless
from worlds.weight_files import write_safetensors

KEYS = [f"höhe/{i}.jpg" for i in range(23)]
VALUES = np.random.default_rng(0).standard_normal((23, 6)).astype(np.float32)


def _npz(path: Path, save: Callable[..., None]) -> Path:
    save(path / "v.npz", keys=np.array(KEYS), vectors=VALUES, counts=np.arange(23))
    return path / "v.npz"


def _h5(path: Path, **how: Any) -> Path:
    with h5py.File(path / "v.h5", "w") as file:
        file.create_dataset("photos/vectors", data=VALUES, **how)
        file.create_dataset("photos/path", data=KEYS, dtype=h5py.string_dtype())
        file["photos/itself"] = file["photos"]
    return path / "v.h5"


def _parquet(path: Path) -> Path:
    table = pa.table({"key": KEYS, "vector": pa.array(list(VALUES), pa.list_(pa.float32()))})
    pq.write_table(table, path / "v.parquet", row_group_size=5)
    return path / "v.parquet"


def _parts(path: Path) -> Path:
    (path / "repo/data").mkdir(parents=True)
    for part, rows in enumerate((slice(0, 9), slice(9, 23))):
        table = pa.table({"file_name": KEYS[rows], "vector": list(VALUES[rows])})
        pq.write_table(table, path / f"repo/data/train-0000{part}-of-00002.parquet", row_group_size=4)
    return path / "repo"


def _saved(path: Path, *, splits: bool) -> Path:
    """By the library itself."""
    datasets = pytest.importorskip("datasets")
    kind = datasets.Features(
        {"key": datasets.Value("string"), "vector": datasets.Sequence(datasets.Value("float32"), 6)}
    )
    whole = datasets.Dataset.from_dict({"key": KEYS, "vector": VALUES}, features=kind)
    if splits:
        parts = {"train": whole.select(range(9)), "test": whole.select(range(9, 23))}
        datasets.DatasetDict(parts).save_to_disk(path / "hf")
    else:
        whole.save_to_disk(path / "hf", num_shards=3)
    return path / "hf"


WITH_KEYS = {
    "npz": lambda path: _npz(path, np.savez),
    "npz, compressed": lambda path: _npz(path, np.savez_compressed),
    "hdf5": _h5,
    "hdf5, gzip": lambda path: _h5(path, chunks=(4, 2), compression="gzip", shuffle=True, fletcher32=True),
    "hdf5, lzf": lambda path: _h5(path, chunks=(5, 6), compression="lzf"),
    "parquet": _parquet,
    "parquet files": _parts,
    "arrow": lambda path: _saved(path, splits=False),
    "arrow, splits": lambda path: _saved(path, splits=True),
}


@pytest.mark.parametrize("kind", WITH_KEYS)
def test_what_was_written_is_read_from_any_row_on(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "BLOCK_BYTES", 4 * 6 * 4, raising=True)
    vectors = open_vectors(WITH_KEYS[kind](tmp_path), None, None)
    assert (vectors.reader.rows, vectors.reader.width) == (23, 6)
    assert vectors.keys.to_pylist() == KEYS
    for first in (0, 1, 4, 9, 22):
        blocks = [block.values for block in vectors.reader.blocks(first)]
        assert np.array_equal(np.concatenate(blocks), VALUES[first:])


def _with_keys(path: Path, **arrays: np.ndarray) -> VectorReader:
    (path / "keys.txt").write_text("\n".join(KEYS), encoding="utf-8")
    write_safetensors(path / "v.safetensors", arrays)
    return open_vectors(path / "v.safetensors", path / "keys.txt", None).reader


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_safetensors(dtype: type, tmp_path: Path) -> None:
    reader = _with_keys(tmp_path, other=np.arange(5), vectors=VALUES.astype(dtype))
    assert np.array_equal(np.concatenate([b.values for b in reader.blocks(3)]), VALUES.astype(dtype)[3:])
    library = pytest.importorskip("safetensors.numpy")
    library.save_file({"vectors": VALUES.astype(dtype)}, tmp_path / "v.safetensors", {"made": "by the library"})
    again = open_vectors(tmp_path / "v.safetensors", tmp_path / "keys.txt", None).reader
    assert np.array_equal(next(again.blocks()).values, VALUES.astype(dtype))


def test_bfloat16_of_safetensors(tmp_path: Path) -> None:
    """1.5 is 0x3FC0, -2 is 0xC000: the upper half of a float32."""
    header = json.dumps({"v": {"dtype": "BF16", "shape": [1, 2], "data_offsets": [0, 4]}}).encode()
    content = len(header).to_bytes(8, "little") + header + b"\xc0\x3f\x00\xc0"
    (tmp_path / "v.safetensors").write_bytes(content)
    (tmp_path / "keys.txt").write_text("a")
    reader = open_vectors(tmp_path / "v.safetensors", tmp_path / "keys.txt", None).reader
    assert next(reader.blocks()).values.tolist() == [[1.5, -2.0]]


def test_an_array_stored_by_columns(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.asfortranarray(VALUES))
    (tmp_path / "keys.txt").write_text("\n".join(KEYS), encoding="utf-8")
    reader = open_vectors(tmp_path / "v.npy", tmp_path / "keys.txt", None).reader
    assert np.array_equal(np.concatenate([b.values for b in reader.blocks(2)]), VALUES[2:])
    np.savez(tmp_path / "v.npz", keys=np.array(KEYS), v=np.asfortranarray(VALUES))
    with pytest.raises(NlcliError, match="'v' is stored column by column; save numpy.ascontiguousarray of it"):
        open_vectors(tmp_path / "v.npz", None, None)


def test_a_vector_that_is_missing(tmp_path: Path) -> None:
    rows: list[Any] = [None, VALUES[0].tolist(), None, VALUES[1].tolist()]
    pq.write_table(pa.table({"key": KEYS[:4], "v": pa.array(rows, pa.list_(pa.float32()))}), tmp_path / "v.parquet")
    block = next(open_vectors(tmp_path / "v.parquet", None, None).reader.blocks())
    assert block.there is not None
    assert block.there.tolist() == [False, True, False, True]
    assert np.array_equal(block.values[block.there], VALUES[:2])


def _refused(source: Path, sentence: str, column: str | None = None) -> None:
    with pytest.raises(NlcliError, match=sentence):
        list(open_vectors(source, None, column).reader.blocks())


@pytest.mark.parametrize("kind", [kind for kind in WITH_KEYS if "arrow" not in kind and "files" not in kind])
def test_a_file_that_is_half_there(kind: str, tmp_path: Path) -> None:
    source = WITH_KEYS[kind](tmp_path)
    whole = source.read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 9):
        source.write_bytes(whole[:length])
        _refused(source, "cannot read")


def test_a_part_of_a_directory_that_is_half_there(tmp_path: Path) -> None:
    source = WITH_KEYS["arrow"](tmp_path)
    part = sorted(source.glob("*.arrow"))[1]
    part.write_bytes(part.read_bytes()[:-200])
    _refused(source, f"cannot read .*{part.name}.*save the data set again|cannot read")
    part.unlink()
    _refused(source, "cannot read")


def test_safetensors_that_is_cut_short(tmp_path: Path) -> None:
    _with_keys(tmp_path, vectors=VALUES)
    path = tmp_path / "v.safetensors"
    whole = path.read_bytes()
    for length in (0, 4, 30, len(whole) - 1):
        path.write_bytes(whole[:length])
        _refused(path, "cannot read")


def test_names_that_leave_the_directory(tmp_path: Path) -> None:
    source = WITH_KEYS["arrow"](tmp_path)
    state = json.loads((source / "state.json").read_text())
    for name in ("../v.arrow", "/etc/passwd", "..", "", None, 3):
        (source / "state.json").write_text(json.dumps(state | {"_data_files": [{"filename": name}]}))
        _refused(source, "no name of a file in its folder")
    for listed in (None, [], {}, ["x"]):
        (source / "state.json").write_text(json.dumps(state | {"_data_files": listed}))
        _refused(source, "names no files")
    (source / "state.json").write_text(json.dumps(state | {"_indices_data_files": [{"filename": "i.arrow"}]}))
    _refused(source, "flatten_indices")
    (source / "dataset_dict.json").write_text('{"splits": ["../hf"]}')
    _refused(source, "no name of a file in its folder")


def test_a_directory_of_something_else(tmp_path: Path) -> None:
    _refused(tmp_path, "a directory without state.json, dataset_dict.json or Parquet files")
    _refused(tmp_path / "absent.npz", "there is no file")


def test_pickles_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz", keys=np.array(KEYS, object), vectors=VALUES)
    _refused(tmp_path / "v.npz", "'keys' holds no text; save it as text")
    np.savez(tmp_path / "v.npz", keys=np.array(KEYS), vectors=VALUES.astype(object))
    _refused(tmp_path / "v.npz", "no array of numbers with a fraction in two dimensions")
    _refused(tmp_path / "v.npz", "'vectors' holds .V1 of shape", "vectors")


def test_archives_that_are_damaged(tmp_path: Path) -> None:
    source = _npz(tmp_path, np.savez)
    whole = bytearray(source.read_bytes())
    whole[whole.index(VALUES[7].tobytes())] ^= 1
    source.write_bytes(whole)
    _refused(source, "cannot read .*CRC")
    with zipfile.ZipFile(source, "w") as archive:
        archive.writestr("v.npy", b"\x93NUMPY\x01\x00")
    _refused(source, "cannot read")


def test_several_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz", keys=np.array(KEYS), a=VALUES, b=2 * VALUES)
    _refused(tmp_path / "v.npz", "has vectors in 'a' and in 'b'; choose by --column")
    _refused(tmp_path / "v.npz", "has no array 'c'; it has: keys, a, b", "c")
    chosen = open_vectors(tmp_path / "v.npz", None, "b").reader
    assert np.array_equal(next(chosen.blocks()).values, 2 * VALUES)
    np.savez(tmp_path / "v.npz", keys=np.array(KEYS[:5]), a=VALUES)
    _refused(tmp_path / "v.npz", "expected a key for each of the 23 rows of 'a'")


def test_hdf5_whose_texts_never_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5_trial, "SECONDS", 1)
    _refused(endless(_h5(tmp_path)), "v.h5 is damaged: the HDF5 library would never come to an end over it")


def test_hdf5_that_points_elsewhere(tmp_path: Path) -> None:
    _h5(tmp_path)
    path = tmp_path / "l.h5"
    with h5py.File(path, "w") as file:
        file["vectors"] = h5py.ExternalLink("v.h5", "/photos/vectors")
    _refused(path, "keeps 'vectors' behind a link, which is refused")
    _refused(path, "keeps 'vectors' behind a link, which is refused", "vectors")
    (tmp_path / "raw").write_bytes(VALUES.tobytes())
    with h5py.File(path, "w") as file:
        file.create_dataset("vectors", VALUES.shape, "f4", external=[(str(tmp_path / "raw"), 0, VALUES.nbytes)])
    _refused(path, "keeps 'vectors' in another file, which is refused")
    layout = h5py.VirtualLayout((23, 6), "f4")
    layout[:] = h5py.VirtualSource(tmp_path / "v.h5", "photos/vectors", (23, 6))
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("vectors", layout)
    _refused(path, "keeps 'vectors' in another file, which is refused")


def test_hdf5_with_filters_that_are_plugins(tmp_path: Path) -> None:
    """LZ4 is 32004: registered by others, loaded as a library while reading."""
    with h5py.File(tmp_path / "v.h5", "w") as file:
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk((4, 6))
        plan.set_filter(32004, h5py.h5z.FLAG_OPTIONAL)
        space = h5py.h5s.create_simple((23, 6))
        h5py.h5d.create(file.id, b"vectors", h5py.h5t.NATIVE_FLOAT, space, plan)
    _refused(tmp_path / "v.h5", "'vectors' is packed by filter 32004, which is a plugin and refused")


def test_hdf5_in_chunks_that_memory_would_not_hold(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file.create_dataset("vectors", (1 << 20, 128), "f4", chunks=(1 << 20, 1), compression="gzip")
    _refused(tmp_path / "v.h5", "stored in chunks of 1,048,576 rows")


def test_vectors_that_are_too_long(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file.create_dataset("vectors", (1, (1 << 20) + 1), "f2")
    _refused(tmp_path / "v.h5", "vectors of 1,048,577 numbers; more than 1,048,576 are not features")


@pytest.mark.parametrize(
    "keys",
    [pa.array([[0.5]] * 23), pa.array([{"a": 1}] * 23), pa.array([b"\xff.jpg"] * 23), pa.array([0.5] * 23)],
    ids=["lists", "structures", "bytes", "fractions"],
)
def test_keys_that_are_no_text(tmp_path: Path, keys: pa.Array) -> None:
    vectors = pa.array(VALUES.tolist(), pa.list_(pa.float32()))
    pq.write_table(pa.table({"key": keys, "vector": vectors}), tmp_path / "v.parquet")
    with pytest.raises(NlcliError, match=r"v\.parquet: column 'key' has the type .*, expected text; convert it"):
        open_vectors(tmp_path / "v.parquet", None, "vector")


@pytest.mark.parametrize("block", [pytest.param(1, marks=pytest.mark.slow), 5, 1 << 20])
def test_keys_one_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    """With a mark at the beginning, lines that end in two ways, blanks, empty ones, and no end of the last."""
    monkeypatch.setattr(base, "BLOCK_BYTES", block)
    (tmp_path / "keys.txt").write_bytes("\ufeffa.jpg\r\n\n  höhe/b c.jpg \nd\n \n\te".encode())
    assert base.read_keys_of_rows(tmp_path / "keys.txt").to_pylist() == ["a.jpg", "höhe/b c.jpg", "d", "e"]
    (tmp_path / "keys.txt").write_bytes(b"")
    assert base.read_keys_of_rows(tmp_path / "keys.txt").to_pylist() == []
    (tmp_path / "keys.txt").write_bytes(b"a\n\xff\n")
    with pytest.raises(NlcliError, match="keys.txt, line 2: byte 0 is not UTF-8 text"):
        base.read_keys_of_rows(tmp_path / "keys.txt")
    (tmp_path / "keys.txt").write_bytes(b"a\n" + b"b" * 70_000)
    with pytest.raises(NlcliError, match="line 2: more than 65,536 characters in one line"):
        base.read_keys_of_rows(tmp_path / "keys.txt")


def test_keys_that_are_there_twice(tmp_path: Path) -> None:
    (tmp_path / "keys.txt").write_text("\n".join(KEYS), encoding="utf-8")
    with pytest.raises(NlcliError, match="names the images of its rows itself; leave out --keys"):
        open_vectors(_parquet(tmp_path), tmp_path / "keys.txt", None)
