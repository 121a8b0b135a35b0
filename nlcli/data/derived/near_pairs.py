"""Near pairs among a million hashes or features without comparing all with all.

``hamming_pairs`` finds every pair, ``cosine_pairs`` nearly every one; see ``nlcli.deduplicate`` for
how, and ``benchmarks/deduplicate.py`` for how fast and how many.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from nlcli.console import progress, say
from nlcli.errors import NlcliError

SAME, HASH, COSINE = range(3)
HOW = ("same picture", "hash", "cosine")
_MOST_ALIKE = 256  # neighbours compared within a bucket of equal bands
_TABLES, _WINDOW, _BITS = 48, 8, 256
_BLOCK = 8192


@dataclass(frozen=True)
class Pairs:
    """Pairs of images (or of units): positions, how they were found, bits or cosine."""

    first: np.ndarray
    second: np.ndarray
    how: np.ndarray
    measure: np.ndarray


def near_hashes(dct: np.ndarray, difference: np.ndarray, seen: np.ndarray, most: int) -> Pairs:
    """Every pair of (n,) hashes whose DCT hashes differ in at most ``most`` bits, checked by the other hash."""
    where = np.flatnonzero(seen)
    first, second = hamming_pairs(dct[where], most)
    first, second = where[first], where[second]
    alike = np.bitwise_count(difference[first] ^ difference[second]) <= 2 * most + 4
    first, second = first[alike], second[alike]
    bits = np.bitwise_count(dct[first] ^ dct[second])
    return Pairs(first, second, np.full(len(first), HASH, np.int8), bits.astype(np.float32))


def hamming_pairs(codes: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """All pairs i < j of (n,) uint64 codes that differ in at most ``most`` bits.

    By bands, as the module's docstring tells. A bucket of more than ``_MOST_ALIKE`` codes that agree
    in the same bands is compared within a window of that size only; it is said when that happens.

    Returns:
        Two int64 arrays, sorted by the first and then the second.
    """
    agree = 2 if most <= 4 else 3
    edges = np.linspace(0, 64, most + agree + 1).astype(int)
    bands = [(codes >> np.uint64(low)) & np.uint64(2 ** int(high - low) - 1) for low, high in itertools.pairwise(edges)]
    widths = np.diff(edges)
    numbers = [np.zeros(0, np.int64)]
    cut = 0
    for chosen in itertools.combinations(range(len(bands)), agree):
        bucket = np.zeros(len(codes), np.uint64)
        for band in chosen:
            bucket = (bucket << np.uint64(widths[band])) | bands[band]
        order = np.argsort(bucket, kind="stable")
        sorted_buckets, sorted_codes = bucket[order], codes[order]
        at = np.arange(len(codes))
        for step in range(1, _MOST_ALIKE + 1):
            at = at[at + step < len(codes)]
            at = at[sorted_buckets[at] == sorted_buckets[at + step]]
            if not len(at):
                break
            near = at[np.bitwise_count(sorted_codes[at] ^ sorted_codes[at + step]) <= most]
            numbers.append(_pair_number(order[near], order[near + step], len(codes)))
        cut += len(at)
    if cut:
        say(f"note: {cut:,} comparisons within very large groups of like hashes were left out")
    return _pair_positions(np.unique(np.concatenate(numbers)), len(codes))


def _pair_number(first: np.ndarray, second: np.ndarray, count: int) -> np.ndarray:
    number: np.ndarray = np.minimum(first, second) * count + np.maximum(first, second)
    return number


def _pair_positions(number: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    return number // max(count, 1), number % max(count, 1)


def cosine_pairs(store: Any, rows: np.ndarray, least: float, seed: int) -> Pairs:
    """Pairs of ``rows`` whose features have a cosine of at least ``least`` (nearly all of them).

    Args:
        store: Has ``shape`` (N, D) and ``read(rows)``, such as a FeatureStore.
        rows: (n,) rows of the store.
        least: The threshold.
        seed: Of the random projections.
    """
    bits, length = _sketches(store, rows, seed)
    candidates = _candidates(bits, length, least, seed)
    first, second = _pair_positions(candidates, len(rows))
    cosine = np.empty(len(first), np.float32)
    with progress(len(first), "comparing features", unit="pairs") as bar:
        for start in range(0, len(first), _BLOCK):
            part = slice(start, start + _BLOCK)
            both, place = np.unique(np.concatenate((rows[first[part]], rows[second[part]])), return_inverse=True)
            vectors = _normalised(store.read(both))
            half = len(place) // 2
            cosine[part] = np.einsum("ij,ij->i", vectors[place[:half]], vectors[place[half:]])
            bar.advance(half)
    near = cosine >= least
    return Pairs(first[near], second[near], np.full(int(near.sum()), COSINE, np.int8), cosine[near])


def _normalised(features: np.ndarray) -> np.ndarray:
    values = np.asarray(features, np.float32)
    if not np.isfinite(values).all():
        raise NlcliError("the features hold numbers that are not finite; extract them again")
    unit_length: np.ndarray = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
    return unit_length


def _sketches(store: Any, rows: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Signs of random projections of centred features, (n, 32) uint8 of bits, and their squared lengths."""
    rng = np.random.default_rng([seed, 0x6465647570])
    project = rng.standard_normal((store.shape[1], _BITS)).astype(np.float32)
    sample = rows[np.sort(rng.permutation(len(rows))[: 4 * _BLOCK])]
    mean = np.zeros(store.shape[1], np.float64)
    for start in range(0, len(sample), _BLOCK):
        mean += _normalised(store.read(sample[start : start + _BLOCK])).sum(axis=0, dtype=np.float64)
    centre = (mean / max(len(sample), 1)).astype(np.float32)
    bits = np.empty((len(rows), _BITS // 8), np.uint8)
    length = np.empty(len(rows), np.float32)
    with progress(len(rows), "sketching features", unit="images") as bar:
        for start in range(0, len(rows), _BLOCK):
            part = slice(start, min(start + _BLOCK, len(rows)))
            vectors = _normalised(store.read(rows[part])) - centre
            length[part] = np.einsum("ij,ij->i", vectors, vectors)
            bits[part] = np.packbits(vectors @ project > 0, axis=1)
            bar.advance(part.stop - part.start)
    return bits, length


def _candidates(bits: np.ndarray, length: np.ndarray, least: float, seed: int) -> np.ndarray:
    """Numbers of the pairs (see ``_pair_number``) whose bits are as near as the threshold makes them."""
    rng = np.random.default_rng([seed, 0x736F7274])
    count = len(bits)
    words = bits.view(np.uint64)
    numbers = [np.zeros(0, np.int64)]
    with progress(_TABLES, "sorting by random bits", unit="rounds") as bar:
        for _ in range(_TABLES):
            order = np.argsort(_code(bits, rng.permutation(_BITS)[:64]), kind="stable")
            sorted_words, sorted_length = words[order], length[order]
            for step in range(1, min(_WINDOW, count - 1) + 1):
                differing = np.bitwise_count(sorted_words[step:] ^ sorted_words[:-step]).sum(axis=1, dtype=np.int32)
                maybe = np.flatnonzero(differing < _BITS // 2)
                near = maybe[
                    differing[maybe] <= _most_differing(sorted_length[maybe], sorted_length[maybe + step], least)
                ]
                numbers.append(_pair_number(order[near], order[near + step], count))
            if sum(map(len, numbers)) > 50_000_000:
                numbers = [np.unique(np.concatenate(numbers))]
            bar.advance()
    return np.unique(np.concatenate(numbers))


def _code(bits: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """(n,) uint64 of the chosen 64 bit columns; the first column counts most."""
    code = np.zeros(len(bits), np.uint64)
    for column in columns.tolist():
        code = (code << np.uint64(1)) | ((bits[:, column >> 3] >> (7 - (column & 7))) & 1)
    return code


def _most_differing(first: np.ndarray, second: np.ndarray, least: float) -> np.ndarray:
    """Bits in which two sketches may differ when their features' cosine is ``least``.

    With squared centred lengths a and b, |x - y|^2 = 2 (1 - cos) fixes the centred angle; a sign
    differs with probability angle / pi. Three standard deviations are added.
    """
    scale = 2 * np.sqrt(np.maximum(first * second, 1e-12))
    angle = np.arccos(np.clip((first + second - 2 * (1 - least)) / scale, -1, 1))
    share = np.minimum(angle / np.pi, 0.5)
    most: np.ndarray = _BITS * share + 3 * np.sqrt(_BITS * share * (1 - share)) + 1
    return most


def joined(parts: list[Pairs]) -> Pairs:
    """All pairs together, each once: the first test that found it counts."""
    first, second, how, measure = (
        np.concatenate([getattr(pairs, name) for pairs in parts]) for name in ("first", "second", "how", "measure")
    )
    low, high = np.minimum(first, second), np.maximum(first, second)
    order = np.lexsort((how, high, low))
    low, high, how, measure = low[order], high[order], how[order], measure[order]
    new = np.ones(len(low), bool)
    new[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    return Pairs(low[new], high[new], how[new], measure[new])
