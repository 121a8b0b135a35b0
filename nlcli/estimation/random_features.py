"""Features beside the given ones in which a linear classifier is one of smooth curves: random cosines.

Of an image x, ``cos(w_k . P (x - centre) + b_k) sqrt(2 / R)`` for R random directions w_k and phases b_k: products of
them are nearly a Gaussian kernel between images (Rahimi and Recht 2007, algorithm 1). P are the longest directions in
which images differ. Of features that are mostly noise, distances in all directions say little, and those along the
longest ones keep what tells classes apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from nlcli.estimation.design import RowBlocks
from nlcli.seeds import stream

DIRECTIONS = 64
"""Longest directions that the cosines see."""
COUNT = 1000
"""Cosines."""
WIDTH = 0.7
"""Of the kernel, in medians of the distances between two images."""
_ROWS, _PAIRED = 8192, 500
_ROUNDS, _SPARE = 4, 16


@dataclass(frozen=True, eq=False)
class RandomFeatures:
    """The map from features to more of them.

    Attributes:
        centre: (D,) float32 the mean of the features.
        directions: (D, d) float32 of length one, the longest first.
        frequencies: (d, R) float32.
        phases: (R,) float32.
    """

    centre: np.ndarray
    directions: np.ndarray
    frequencies: np.ndarray
    phases: np.ndarray

    @classmethod
    def fitted(cls, design: RowBlocks, seed: int, count: int = COUNT) -> RandomFeatures:
        """The map for the features of ``design``, of which at most 8,192 evenly spaced rows are looked at.

        Args:
            count: R; none where all images are the same.
        """
        sample = _evenly_spaced(design)
        centre = sample.mean(axis=0, dtype=np.float64).astype(np.float32)
        directions = _longest(sample - centre, seed)
        random = stream(seed, "random features")
        some = (sample - centre)[random.permutation(len(sample))[:_PAIRED]] @ directions
        distance = _median_distance(some)
        count = count if distance > 0 else 0
        frequencies = random.normal(size=(directions.shape[1], count)) / (WIDTH * max(distance, 1e-30))
        phases = random.uniform(0, 2 * np.pi, count)
        return cls(centre, directions, frequencies.astype(np.float32), phases.astype(np.float32))

    @property
    def count(self) -> int:
        """R."""
        return len(self.phases)

    def projected(self, features: np.ndarray, most: int | None = None) -> np.ndarray:
        """(n, d) float32 of (n, D): how far along each direction, or along the ``most`` longest ones alone."""
        along: np.ndarray = (features.astype(np.float32, copy=False) - self.centre) @ self.directions[:, :most]
        return along

    def apply(self, features: np.ndarray) -> np.ndarray:
        """(n, D + R) float32: features (n, D) as they are, and their cosines."""
        if not self.count:
            return features.astype(np.float32, copy=False)
        cosines = self.projected(features) @ self.frequencies
        cosines += self.phases
        np.cos(cosines, out=cosines)
        cosines *= np.float32(np.sqrt(2 / self.count))
        return np.concatenate([features.astype(np.float32, copy=False), cosines], axis=1)


class WithRandomFeatures:
    """The rows of a design with their random features, made each time that they are gone through."""

    def __init__(self, design: RowBlocks, more: RandomFeatures) -> None:
        self._design, self._more = design, more
        self.shape: tuple[int, int] = (design.shape[0], design.shape[1] + more.count)

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """(first row, features)."""
        for first, part in self._design.blocks():
            yield first, self._more.apply(part)


def _evenly_spaced(design: RowBlocks) -> np.ndarray:
    """(m, D) float32 rows of ``design``."""
    every = -(-design.shape[0] // _ROWS)
    parts = [part[-first % every :: every].astype(np.float32) for first, part in design.blocks()]
    return np.concatenate(parts)


def _longest(centred: np.ndarray, seed: int) -> np.ndarray:
    """(D, d) the longest principal directions of (m, D), by iterations of a random subspace (Halko et al. 2011)."""
    count = min(DIRECTIONS, *centred.shape)
    width = min(count + _SPARE, *centred.shape)
    basis = stream(seed, "directions").normal(size=(centred.shape[1], width)).astype(np.float32)
    for _ in range(_ROUNDS):
        basis, _ = np.linalg.qr(centred.T @ (centred @ basis))
    _, vectors = np.linalg.eigh((centred @ basis).T.astype(np.float64) @ (centred @ basis))
    directions: np.ndarray = basis @ vectors[:, ::-1][:, :count].astype(np.float32)
    return directions


def _median_distance(points: np.ndarray) -> float:
    """Between two of (m, d) points that differ; 0 where none do."""
    wide = points.astype(np.float64)
    squares = np.einsum("ij,ij->i", wide, wide)
    distances = np.maximum(squares[:, None] + squares - 2 * wide @ wide.T, 0.0)
    distances[distances <= 1e-9 * max(float(squares.max(initial=0.0)), 1e-30)] = 0.0
    some = distances[np.triu_indices(len(points), 1)]
    some = some[some > 0]
    return float(np.sqrt(np.median(some))) if len(some) else 0.0
