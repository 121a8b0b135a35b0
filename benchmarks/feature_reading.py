"""Reading cached features at random and in runs, against a raw memory map, h5py and a plain file.

A cache of several shards of 2,048 float32 features, in the page cache, as when training.
"""

from __future__ import annotations

import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from benchmarks._features import write_features
from nlcli.data.features.store import FeatureStore

WIDTH = 2048
SHARD_ROWS = 8192


def store_of(folder: Path, features: np.ndarray) -> FeatureStore:
    """A features directory holding ``features``, written as extraction writes it."""
    keys = [str(i) for i in range(len(features))]
    return FeatureStore(write_features(folder / "features", keys, features, "", shard_rows=SHARD_ROWS))


def run(quick: bool) -> list[dict]:
    """Gigabytes a second of every way to read."""
    count, turns, draws = (2 * SHARD_ROWS, 5, 200) if quick else (6 * SHARD_ROWS, 15, 500)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        features = rng.standard_normal((count, WIDTH), dtype=np.float32)
        store = store_of(folder, features)
        features.tofile(folder / "raw")
        with h5py.File(folder / "one.h5", "w") as file:
            file.create_dataset("features", data=features)
        del features
        raw = np.memmap(folder / "raw", np.float32, "r", 0, (count, WIDTH))
        batches = {
            size: [rng.integers(0, count, size) for _ in range(max(2, draws * 32 // size))] for size in (32, 2048)
        }
        # Runs of 256 rows in shuffled order, then sorted: what streaming asks for.
        blocks = np.sort(rng.permutation(count // 256)[: count // 512])
        runs = (blocks[:, None] * 256 + np.arange(256)).ravel()
        out = np.empty((len(runs), WIDTH), np.float32)

        first = time.perf_counter()
        store.read(np.arange(count)[:: max(1, 2**17 // (WIDTH * 4))])
        first = time.perf_counter() - first
        assert np.array_equal(store.read(batches[32][0]), raw[batches[32][0]])

        def each(read: Callable[[np.ndarray], Any], size: int, most: int | None = None) -> Callable[[], int]:
            def work() -> int:
                for rows in batches[size][:most]:
                    read(rows)
                return sum(len(rows) for rows in batches[size][:most])

            return work

        with h5py.File(folder / "one.h5", "r") as file:
            data = file["features"]

            def h5py_gather(rows: np.ndarray) -> np.ndarray:
                unique, inverse = np.unique(rows, return_inverse=True)
                return data[unique][inverse]

            def into() -> int:
                store.read_into(runs, out)
                return len(runs)

            def into_raw() -> int:
                np.take(raw, runs, axis=0, out=out, mode="clip")
                return len(runs)

            contestants: dict[str, Callable[[], int]] = {
                "raw memory map, 32 random rows": each(lambda rows: raw[rows], 32),
                "FeatureStore.read, 32 random rows": each(store.read, 32),
                "h5py, 32 random rows, sorted": each(h5py_gather, 32, 20),
                "raw memory map, 2048 random rows": each(lambda rows: raw[rows], 2048),
                "FeatureStore.read, 2048 random rows": each(store.read, 2048),
                "raw memory map, runs of 256 rows": into_raw,
                "FeatureStore.read_into, runs of 256 rows": into,
            }
            into()
            speeds: dict[str, list[float]] = {name: [] for name in contestants}
            for turn in range(turns + 1):
                for name, work in contestants.items():
                    started = time.perf_counter()
                    rows = work()
                    if turn:
                        speeds[name].append(rows * WIDTH * 4 / (time.perf_counter() - started) / 1e9)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    found = []
    for name, values in speeds.items():
        row: dict[str, Any] = {"name": name, "value": statistics.median(values), "unit": "GB/s"}
        if not name.startswith("raw"):
            base = f"raw memory map, {'32 random rows' if 'h5py' in name else name.split(', ', 1)[1]}"
            ratio = statistics.median(a / b for a, b in zip(values, speeds[base], strict=True))
            row |= {
                "ratio": ratio,
                "ratio_to": base,
                "peak_memory": peak,
                "target": "at least 0.9" if "random rows" in name and "h5py" not in name else None,
            }
        found.append(row)
    found.append({"name": "checking every checksum, once", "value": count * WIDTH * 4 / first / 1e9, "unit": "GB/s"})
    return found
