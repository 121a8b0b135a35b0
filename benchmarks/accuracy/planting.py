"""Planted noise of single labels, after ``nlcli add-noise``; of its own, so that the rows stay what they are."""

from __future__ import annotations

import numpy as np


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
    logits = scores * (sharpness / scores.std())
    logits[np.arange(len(true)), true] = -np.inf
    chances = np.exp(logits - logits.max(axis=1, keepdims=True))
    assert chances.shape[1] == classes
    return np.where(flips, _drawn(chances / chances.sum(axis=1, keepdims=True), rng), true)


def resemblance(true: np.ndarray, features: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n, C) scores of every class by ridge regressions on features of unit length, fitted to the other folds."""
    fold = rng.permutation(len(true)) % 5
    x = np.asarray(features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12), np.float64)
    x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    goal, scores = np.eye(int(true.max()) + 1)[true], np.empty((len(true), int(true.max()) + 1))
    for k in range(5):
        left = x[fold != k]
        gram = left.T @ left
        ridge = 0.01 * np.trace(gram) / len(gram)
        scores[fold == k] = x[fold == k] @ np.linalg.solve(gram + ridge * np.eye(len(gram)), left.T @ goal[fold != k])
    return scores


def flip_chance(scores: np.ndarray, true: np.ndarray, rate: float, sharpness: float) -> np.ndarray:
    """(n,) probability that each label is wrong, of mean ``rate``: a sigmoid of the best wrong class's margin."""
    from scipy.optimize import brentq
    from scipy.special import expit

    others = scores.copy()
    others[np.arange(len(true)), true] = -np.inf
    ahead = others.max(axis=1) - scores[np.arange(len(true)), true]
    ahead = sharpness * (ahead - ahead.mean()) / ahead.std()
    shift = brentq(lambda at: float(expit(ahead + at).mean()) - rate, -50.0, 50.0)
    chances: np.ndarray = expit(ahead + shift)
    return chances


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
