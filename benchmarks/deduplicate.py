"""Near-duplicates among a million images: time, peak memory, and how many of the planted ones are found.

Hashing is measured on generated JPEGs of web size. Pairs are sought among a million hashes, with
pairs at 1 to 4 bits planted, and among a million feature vectors that lie in clusters as those of
real classes do, with pairs at a cosine just above the threshold planted. Comparing all with all,
the plain way, is timed on a part and scaled up. Where faiss is installed (``pip install faiss-cpu``), its binary
multi-hash finds the same pairs of hashes, all of them as well: of three bands of 21 bits, one differs in a bit
at most.
"""

from __future__ import annotations

import io
import resource
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

DIMENSIONS, CLUSTERS, LEAST = 256, 1000, 0.98


def run(quick: bool) -> list[dict]:
    """Rows of the table; ``quick`` seeks among a twentieth as many."""
    count = 50_000 if quick else 1_000_000
    return [*_hashing(200 if quick else 2000), *_hash_pairs(count), *_feature_pairs(count)]


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _hashing(count: int) -> list[dict]:
    from PIL import Image

    from nlcli.data.derived.image_hashes import hash_file
    from nlcli.runtime import cpu_count

    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as place:
        paths = []
        for i in range(50):
            small = Image.fromarray(rng.integers(0, 256, (40, 50, 3), np.uint8))
            content = io.BytesIO()
            small.resize((640, 480), Image.Resampling.BICUBIC).save(content, "JPEG", quality=90)
            paths.append(Path(place) / f"{i}.jpg")
            paths[-1].write_bytes(content.getvalue())
        with ThreadPoolExecutor(cpu_count()) as pool:
            started = time.perf_counter()
            list(pool.map(hash_file, [paths[i % 50] for i in range(count)]))
            seconds = time.perf_counter() - started
    return [
        {
            "name": f"read and hash JPEGs of 640 x 480, {cpu_count()} threads",
            "value": count / seconds,
            "unit": "images/s",
            "peak_memory": _peak(),
        }
    ]


def _hash_pairs(count: int) -> list[dict]:
    from nlcli.data.derived.near_pairs import hamming_pairs

    rng = np.random.default_rng(0)
    codes = rng.integers(0, 2**64 - 1, count, dtype=np.uint64)
    planted = count // 100
    for i in range(planted):
        codes[count - 1 - i] = codes[i] ^ np.bitwise_or.reduce(
            np.uint64(1) << rng.choice(64, 1 + i % 4, replace=False).astype(np.uint64)
        )
    started, begun = time.perf_counter(), time.process_time()
    first, second = hamming_pairs(codes, 4)
    seconds, own = time.perf_counter() - started, time.process_time() - begun
    found = set(zip(first.tolist(), second.tolist(), strict=True))
    recall = sum((i, count - 1 - i) in found for i in range(planted)) / planted
    part = min(count, 2000)
    started = time.perf_counter()
    np.count_nonzero(np.bitwise_count(codes[:part, None] ^ codes[None, :part]) <= 4)
    plain = (time.perf_counter() - started) * (count / part) ** 2 / 2
    others = _by_faiss(codes, found, own)
    return [
        {
            "name": f"pairs within 4 bits among {count:,} hashes",
            "value": seconds,
            "unit": "s",
            "ratio": seconds / plain,
            "ratio_to": "all with all (extrapolated)",
            "peak_memory": _peak(),
        },
        {"name": "planted pairs of hashes found", "value": recall, "unit": "share", "target": 1},
        *others,
    ]


def _by_faiss(codes: np.ndarray, found: set[tuple[int, int]], own: float) -> list[dict]:
    """The same pairs by faiss on one thread, in processor seconds; nothing where it is not installed."""
    try:
        import faiss
    except ImportError:
        return []
    faiss.omp_set_num_threads(1)
    content = np.ascontiguousarray(codes).view(np.uint8).reshape(-1, 8)
    begun = time.process_time()
    index = faiss.IndexBinaryMultiHash(64, 3, 21)
    index.nflip = 1
    index.add(content)
    limits, _, neighbours = index.range_search(content, 5)  # below 5 bits
    seconds = time.process_time() - begun
    query = np.repeat(np.arange(len(codes)), np.diff(limits.astype(np.int64)))
    after = query < neighbours
    theirs = set(zip(query[after].tolist(), neighbours[after].tolist(), strict=True))
    return [
        {"name": "the same by faiss' binary multi-hash, one thread", "value": seconds, "unit": "s"},
        {
            "name": "pairs within 4 bits, processor seconds",
            "value": own,
            "unit": "s",
            "ratio": own / seconds,
            "ratio_to": "faiss",
            "target": "at most 1.5",
        },
        {
            "name": "pairs that faiss finds and ours does not",
            "value": len(theirs - found),
            "unit": "pairs",
            "target": 0,
        },
    ]


class _Store:
    """A million clustered feature vectors, half precision in memory."""

    def __init__(self, count: int, planted: int) -> None:
        rng = np.random.default_rng(1)
        centres = np.maximum(rng.standard_normal((CLUSTERS, DIMENSIONS)), 0).astype(np.float32)
        self.shape = (count, DIMENSIONS)
        self.features = np.empty(self.shape, np.float16)
        for start in range(0, count, 10_000):
            part = slice(start, min(start + 10_000, count))
            noise = rng.standard_normal((part.stop - start, DIMENSIONS), np.float32)
            own = rng.integers(0, CLUSTERS, part.stop - start)
            self.features[part] = np.maximum(centres[own] + 0.6 * noise, 0)
        twin = self.features[:planted].astype(np.float32)
        length = np.linalg.norm(twin, axis=1, keepdims=True)
        noise = rng.standard_normal(twin.shape, np.float32)
        noise *= length * np.sqrt(1 / LEAST**2 - 1) / np.linalg.norm(noise, axis=1, keepdims=True)
        share = rng.uniform(0.3, 0.97, (planted, 1)).astype(np.float32)  # cosines from 0.981 up
        self.features[count - planted :] = (twin + share * noise)[::-1]

    def read(self, rows: np.ndarray) -> np.ndarray:
        return self.features[rows]


def _feature_pairs(count: int) -> list[dict]:
    from nlcli.data.derived.near_pairs import cosine_pairs

    planted = count // 100
    store = _Store(count, planted)
    before = _peak()
    started = time.perf_counter()
    pairs = cosine_pairs(store, np.arange(count), LEAST, 0)
    seconds = time.perf_counter() - started
    found = set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    near = _planted_above(store, count, planted)
    recall = sum((i, count - 1 - i) in found for i in near) / len(near)
    part = store.features[: min(count, 5000)].astype(np.float32)
    started = time.perf_counter()
    np.count_nonzero(part @ part.T >= LEAST)
    plain = (time.perf_counter() - started) * (count / len(part)) ** 2 / 2
    return [
        {
            "name": f"pairs of cosine {LEAST} among {count:,} x {DIMENSIONS} features",
            "value": seconds,
            "unit": "s",
            "ratio": seconds / plain,
            "ratio_to": "all with all (extrapolated)",
            "peak_memory": _peak(),
        },
        {"name": "memory beyond the features", "value": (_peak() - before) / 2**20, "unit": "MiB"},
        {"name": f"planted pairs of features found ({len(near):,})", "value": recall, "unit": "share"},
    ]


def _planted_above(store: Any, count: int, planted: int) -> list[int]:
    first = store.features[:planted].astype(np.float32)
    second = store.features[count - planted :][::-1].astype(np.float32)
    cosine = np.einsum("ij,ij->i", first, second) / (np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1))
    return np.flatnonzero(cosine >= LEAST).tolist()
