"""Planted noise of single labels, as ``nlcli add-noise`` does it, on arrays."""

from __future__ import annotations

import numpy as np

from nlcli.data.derived.add_noise import cross_fitted_scores, flip_chance


def by_matrix(true: np.ndarray, matrix: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Noisy classes by ``matrix`` (true class, noisy class), what is off its diagonal scaled to ``rate`` wrong."""
    wrong = matrix * (1 - np.eye(len(matrix)))
    wrong *= rate / wrong.sum(axis=1)[true].mean()
    chances = wrong + np.diag(1 - wrong.sum(axis=1))
    if chances.min() < 0:
        raise ValueError(f"at rate {rate} a class would always be wrong")
    return _drawn(chances[true], rng)


def by_image(
    true: np.ndarray, features: np.ndarray, rate: float, rng: np.random.Generator, sharpness: float = 2.0
) -> np.ndarray:
    """Noisy classes of images that look like other classes to ridge regressions on ``features``."""
    classes = int(true.max()) + 1
    scores = resemblance(true, features, rng)
    flips = rng.random(len(true)) < flip_chance(scores, true, rate, sharpness)
    logits = scores.astype(np.float64) * (sharpness / scores.std())
    logits[np.arange(len(true)), true] = -np.inf
    chances = np.exp(logits - logits.max(axis=1, keepdims=True))
    assert chances.shape[1] == classes
    return np.where(flips, _drawn(chances / chances.sum(axis=1, keepdims=True), rng), true)


def resemblance(true: np.ndarray, features: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n, C) cross-fitted scores of every class."""
    fold = rng.permutation(len(true)) % 5
    return cross_fitted_scores(_Rows(features), np.arange(len(true)), true, fold, int(true.max()) + 1)


def confusing_classes(true: np.ndarray, features: np.ndarray) -> np.ndarray:
    """(C, C) how often ridge regressions take one class for another, a little added to each: a matrix for noise."""
    classes = int(true.max()) + 1
    taken = resemblance(true, features, np.random.default_rng(0)).argmax(axis=1)
    counts = np.full((classes, classes), 1.0)
    np.add.at(counts, (true, taken), 1.0)
    return counts / counts.sum(axis=1, keepdims=True)


def _drawn(chances: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    drawn = (np.cumsum(chances, axis=1) <= rng.random(len(chances))[:, None]).sum(axis=1)
    return np.minimum(drawn, chances.shape[1] - 1)


class _Rows:
    def __init__(self, features: np.ndarray) -> None:
        self.shape, self._features = features.shape, features

    def read(self, rows: np.ndarray) -> np.ndarray:
        return self._features[rows]
