"""How much images resemble classes, by regressions that did not see them, and the chance of noise that follows."""

from __future__ import annotations

from typing import Any

import numpy as np

from nlcli.console import progress
from nlcli.errors import NlcliError

FOLDS = 5
_BLOCK = 8192


class Resemblance:
    """Ridge regressions from normalised features to classes, each fold's fitted to the other folds.

    Features are read block by block: once here, for the normal equations of every fold, and once for every call of
    ``scores``. Memory: ``FOLDS + 1`` matrices (D, D).

    Args:
        store: Has ``shape`` (N, D) and ``read(rows)``, such as a FeatureStore.
        rows: (n,) rows of the store.
        targets: (n, C) CSR, above 0 where the image has the class.
        fold: (n,) fold of each image.
    """

    def __init__(self, store: Any, rows: np.ndarray, targets: Any, fold: np.ndarray) -> None:
        self._store, self._rows, self._fold = store, rows, fold
        size, num_classes = store.shape[1] + 1, targets.shape[1]
        gram = np.zeros((FOLDS, size, size))
        moment = np.zeros((FOLDS, size, num_classes))
        with progress(len(rows), "resemblance of the images to the classes", unit="images") as bar:
            for where in self._blocks():
                x, part = self._block(where), fold[where]
                own = targets[where].tocsc()
                for k in range(FOLDS):
                    mine = part == k
                    gram[k] += x[mine].T @ x[mine]
                    for c in np.flatnonzero(np.diff(own.indptr)):
                        members = np.sort(own.indices[own.indptr[c] : own.indptr[c + 1]])
                        members = members[mine[members]]
                        if len(members):
                            moment[k, :, c] += x[members].sum(axis=0)
                bar.advance(len(x))
        self._weights = []
        for k in range(FOLDS):
            left = gram.sum(axis=0) - gram[k]
            ridge = 0.01 * np.trace(left) / size + 1e-9
            self._weights.append(np.linalg.solve(left + ridge * np.eye(size), moment.sum(axis=0) - moment[k]))

    def scores(self, classes: slice = slice(None)) -> np.ndarray:
        """(n, C) float32 scores of the images for all classes, or for some."""
        weights = [w[:, classes] for w in self._weights]
        scores = np.empty((len(self._rows), weights[0].shape[1]), np.float32)
        for where in self._blocks():
            x, part = self._block(where), self._fold[where]
            for k in range(FOLDS):
                scores[np.arange(len(self._rows))[where][part == k]] = x[part == k] @ weights[k]
        return scores

    def _blocks(self) -> list[slice]:
        return [slice(start, start + _BLOCK) for start in range(0, len(self._rows), _BLOCK)]

    def _block(self, where: slice) -> np.ndarray:
        features = np.asarray(self._store.read(self._rows[where]), np.float64)
        if not np.isfinite(features).all():
            raise NlcliError("the features hold numbers that are not finite; extract them again")
        features /= np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
        return np.concatenate((features, np.ones((len(features), 1))), axis=1)


def chance_of(margin: np.ndarray, rate: float, sharpness: float) -> np.ndarray:
    """Probabilities (n,) float64 with mean ``rate`` whose log-odds rise by ``sharpness`` a standard deviation.

    Args:
        margin: (n,) numbers, higher where it is more likely.
    """
    if rate == 0 or not len(margin):
        return np.zeros(len(margin))
    margin = (margin - margin.mean()) / (margin.std() or 1.0)

    def chance(shift: float) -> np.ndarray:
        likely: np.ndarray = 0.5 * (1 + np.tanh(0.5 * (sharpness * margin + shift)))  # the sigmoid, without overflow
        return likely

    low, high = -1e3, 1e3
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if chance(middle).mean() < rate else (low, middle)
    return chance((low + high) / 2)
