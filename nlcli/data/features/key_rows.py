"""Rows of images by key, for millions of keys: texts as Arrow holds them, and a sorted table of their hashes.

A Python string takes some 70 bytes beside its place in an array, and a table of such strings as much again; here a key
takes its own bytes and some twenty more. A hash alone never tells: what is found is compared letter by letter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nlcli.stages.arrow_arrays import arrow_numbers, numpy_texts

_AT_ONCE = 1 << 18
"""Keys that are Python strings at a time."""


class KeyRows:
    """Keys of rows from 0 on.

    Args:
        blocks: Arrow arrays of texts, in the order of the rows.
    """

    def __init__(self, blocks: Sequence[Any]) -> None:
        self._blocks = [block for block in blocks if len(block)]
        self._starts = np.cumsum([0, *map(len, self._blocks)], dtype=np.int64)
        self._hashes: np.ndarray | None = None
        self._rows = np.empty(0, np.int64)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def take(self, rows: np.ndarray) -> np.ndarray:
        """(n,) objects, the keys of ``rows`` (n,)."""
        keys = np.empty(len(rows), object)
        order = np.argsort(rows, kind="stable")
        ordered = rows[order]
        ends = np.searchsorted(ordered, self._starts)
        for number in np.flatnonzero(np.diff(ends)).tolist():
            part = slice(ends[number], ends[number + 1])
            taken = self._blocks[number].take(arrow_numbers(ordered[part] - self._starts[number]))
            keys[order[part]] = numpy_texts(taken)
        return keys

    def all(self) -> np.ndarray:
        """(N,) objects."""
        return self.take(np.arange(len(self)))

    def repeated(self) -> str | None:
        """A key that two rows have; None where there is none."""
        hashes = self._sorted()
        again = np.flatnonzero(hashes[1:] == hashes[:-1])
        alike = np.unique(self._rows[np.concatenate([again, again + 1])])
        seen: set[str] = set()
        for first in range(0, len(alike), _AT_ONCE):
            for key in self.take(alike[first : first + _AT_ONCE]).tolist():
                if key in seen:
                    return str(key)
                seen.add(key)
        return None

    def find(self, keys: np.ndarray) -> np.ndarray:
        """(n,) int64 rows of the objects ``keys`` (n,), -1 of those that no row has."""
        hashes, found = self._sorted(), np.full(len(keys), -1, np.int64)
        for first in range(0, len(keys), _AT_ONCE):
            part = keys[first : first + _AT_ONCE]
            asked = _hashed(part)
            place, left = np.searchsorted(hashes, asked), np.arange(len(part))
            while True:  # once more where another key has the same hash
                left = left[place[left] < len(hashes)]
                left = left[hashes[place[left]] == asked[left]]
                if not len(left):
                    break
                rows = self._rows[place[left]].astype(np.int64)
                same = self.take(rows) == part[left]
                found[first + left[same]] = rows[same]
                left = left[~same]
                place[left] += 1
        return found

    def _sorted(self) -> np.ndarray:
        """(N,) uint64 hashes of all keys in their order; ``_rows`` are those that they are of."""
        if self._hashes is None:
            hashes = np.empty(len(self), np.uint64)
            for block, start in zip(self._blocks, self._starts.tolist(), strict=False):
                hashes[start : start + len(block)] = _hashed(numpy_texts(block))
            order = np.argsort(hashes, kind="stable")
            self._rows = order.astype(np.uint32) if len(order) < 1 << 32 else order
            self._hashes = hashes[order]
        return self._hashes


def _hashed(keys: np.ndarray) -> np.ndarray:
    """(n,) uint64: Python's own hashes, which are others in another process; none is kept."""
    return np.fromiter(map(hash, keys.tolist()), np.int64, len(keys)).view(np.uint64)
