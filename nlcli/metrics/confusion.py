"""Clean against noisy labels of single-label data (Xiao 2015, figure 6), and against a classifier's answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nlcli.metrics.arrays import Floats, Ints


@dataclass(frozen=True)
class Confusion:
    """How often each true class was called what.

    Attributes:
        classes: C names.
        counts: (C, C) int64, the true class by row, the class that it was called by column.
    """

    classes: tuple[str, ...]
    counts: Ints

    @property
    def images(self) -> int:
        """How many were counted."""
        return int(self.counts.sum())

    @property
    def accuracy(self) -> float | None:
        """Share of the images that were called right; None without any."""
        return float(np.trace(self.counts)) / self.images if self.images else None

    @property
    def frequency(self) -> Floats:
        """Share of the images that each class is the true one of: (C,) float64."""
        shares: Floats = self.counts.sum(axis=1) / max(1, self.images)
        return shares

    @property
    def shares(self) -> Floats:
        """(C, C) float64: of the images of a true class (row) the share called each class; 0 without images."""
        shares: Floats = self.counts / np.maximum(self.counts.sum(axis=1, keepdims=True), 1)
        return shares

    def largest(self, most: int) -> list[tuple[str, str, int, float]]:
        """The commonest mistakes: true class, class it was called, images, share of the true class's images."""
        wrong = self.counts * (1 - np.eye(len(self.classes), dtype=np.int64))
        order = np.argsort(-wrong, axis=None, kind="stable")[:most]
        cells = [divmod(int(cell), len(self.classes)) for cell in order]
        return [
            (self.classes[true], self.classes[called], int(wrong[true, called]), float(self.shares[true, called]))
            for true, called in cells
            if wrong[true, called]
        ]
