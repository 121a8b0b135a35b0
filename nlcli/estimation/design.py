"""Features as a solver reads them: rows in blocks, from an array or from wherever a provider has them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from nlcli.estimation.scale import FeatureScale

BLOCK_BYTES = 1 << 24
SMALL = 1 << 20
"""Values up to which features are held in float64: products are then exact enough to be compared with others'."""


HELD = 1 << 26
"""Values of chosen rows that are held, 256 MiB in float32: with ten classes copying them takes as long as a product."""


def block_rows(columns: int, itemsize: int) -> int:
    """Rows of a block; sums over blocks have the same bits wherever features are read from."""
    return max(256, BLOCK_BYTES // max(1, itemsize * columns))


class RowBlocks(Protocol):
    """Features of n rows that can be gone through as often as wanted, always in the same order.

    Attributes:
        shape: (n, D).
    """

    @property
    def shape(self) -> tuple[int, int]: ...

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """(first row, (b, D) float32 or float64 of it and those behind it), all rows once."""


class ArrayBlocks:
    """Rows of an array in memory.

    Args:
        features: (N, D).
        rows: Which of them; all when None.
        scale: Applied once where that is not what they are already: the scaled rows are held in memory.
    """

    def __init__(self, features: np.ndarray, rows: np.ndarray | None = None, scale: FeatureScale | None = None) -> None:
        chosen = features if rows is None else features[rows]
        if chosen.size <= SMALL:
            chosen = chosen.astype(np.float64, copy=False)
        self._features = np.ascontiguousarray((scale or FeatureScale()).apply(chosen))
        self.shape: tuple[int, int] = self._features.shape
        self._block = block_rows(self.shape[1], self._features.itemsize)

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Views, of some megabytes each."""
        for first in range(0, self.shape[0], self._block):
            yield first, self._features[first : first + self._block]


def as_blocks(features: np.ndarray | RowBlocks) -> RowBlocks:
    """Blocks of an array, or what already gives some."""
    return ArrayBlocks(features) if isinstance(features, np.ndarray) else features


class ChosenBlocks:
    """Some rows of other blocks, in their order; where they are few, copied once and held.

    Args:
        chosen: (n,) whether a row is among them.
    """

    def __init__(self, design: RowBlocks, chosen: np.ndarray) -> None:
        self._design, self._chosen = design, chosen
        self.shape: tuple[int, int] = (int(chosen.sum()), design.shape[1])
        self._held: list[tuple[int, np.ndarray]] | None = None

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Copies of the chosen rows of each block."""
        if self._held is not None:
            yield from self._held
            return
        few = self.shape[0] * self.shape[1] <= HELD
        copies, first = [], 0
        for begin, part in self._design.blocks():
            rows = part[self._chosen[begin : begin + len(part)]]
            if len(rows):
                copies += [(first, rows)] if few else []
                yield first, rows
                first += len(rows)
        self._held = copies if few else None
