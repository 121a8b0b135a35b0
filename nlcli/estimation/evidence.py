"""What is known of an image put together: a conditional logit over its classes, fitted to verified images.

Each piece of evidence gives every class of an image a number, such as ``log p(c | x)`` or ``log T[c, noisy label]``.
The classes' log-odds are a weighted sum of them with weights that all classes share, and a shift of each class:

    z_i(c) = sum_k a_k e_ik(c) + b_c,      p(c | i) = softmax(z_i)(c)

Bayes' rule is the case a = 1, b = 0 for these two pieces. Weights fitted to verified images say how far each can be
believed: that of a noisy label is below 1 where images that are hard for a classifier were hard to label, too.
A ridge holds the weights to what they are expected to be, so that few verified images are enough and none can be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nlcli.estimation.linear_model import log_softmax

RIDGES: tuple[tuple[float, float], ...] = ((4.0, 4.0), (16.0, 4.0), (4.0, 30.0), (16.0, 30.0), (64.0, 30.0))
"""Of weights and of shifts, among which cross-fitting chooses."""
FEWEST = 40
"""Verified images below which the expected weights stand."""
_LEAST = 1e-6


@dataclass(frozen=True, eq=False)
class Combination:
    """Weights of evidence.

    Attributes:
        weights: (K,).
        shifts: (C,).
    """

    weights: np.ndarray
    shifts: np.ndarray

    def log_probabilities(self, evidence: Sequence[np.ndarray]) -> np.ndarray:
        """(n, C) of K pieces of evidence, (n, C) each and in their precision."""
        shape, kind = evidence[0].shape, evidence[0].dtype
        total = np.broadcast_to(self.shifts.astype(kind), shape).copy()
        for weight, piece in zip(self.weights, evidence, strict=True):
            total += kind.type(weight) * piece
        return log_softmax(total)


@dataclass(frozen=True, eq=False)
class Combined:
    """A fitted combination, and what it says of all images.

    Attributes:
        log_probabilities: (n, C); of a verified image by a combination that was not fitted to it.
        ridge: The ridges that were chosen; None where the expected weights stand.
        losses: (m,) -log p of the true class of the verified images, cross-fitted likewise, in their order.
    """

    combination: Combination
    log_probabilities: np.ndarray
    ridge: tuple[float, float] | None
    losses: np.ndarray


def bounded_log(probabilities: np.ndarray) -> np.ndarray:
    """log p, no less than that of a millionth: no piece of evidence rules out a class by itself."""
    bounded: np.ndarray = np.log(np.maximum(probabilities, _LEAST))
    return bounded


def combine(
    evidence: Sequence[np.ndarray],
    true: np.ndarray,
    folds: np.ndarray,
    expected: np.ndarray,
    ridges: Sequence[tuple[float, float]] = RIDGES,
) -> Combined:
    """Fit the combination to the verified images.

    Args:
        evidence: K pieces, (n, C) each; of a verified image from fits that have not seen that it is verified.
        true: (n,) class, -1 where it is not known.
        folds: (n,) the parts that take turns; an image's evidence came from the others.
        expected: (K,) weights that the ridge holds to.
        ridges: Of weights and of shifts, among which cross-fitting chooses.
    """
    classes = evidence[0].shape[1]
    prior = Combination(np.asarray(expected, np.float64), np.zeros(classes))
    result = prior.log_probabilities(evidence)
    known = np.flatnonzero(true >= 0)
    y, parts = true[known], folds[known]
    own = [piece[known].astype(np.float64) for piece in evidence]
    numbers = np.unique(parts)
    if len(known) < FEWEST or len(numbers) < 2:
        return Combined(prior, result, None, -result[known, y])
    best: tuple[float, tuple[float, float], np.ndarray] | None = None
    for ridge in ridges:
        crossed = np.empty((len(known), classes))
        for number in numbers:
            held = parts == number
            fitted = fit_combination([piece[~held] for piece in own], y[~held], prior.weights, ridge)
            crossed[held] = fitted.log_probabilities([piece[held] for piece in own])
        loss = float(-crossed[np.arange(len(y)), y].mean())
        if best is None or loss < best[0]:
            best = (loss, ridge, crossed)
    assert best is not None
    combination = fit_combination(own, y, prior.weights, best[1])
    result = combination.log_probabilities(evidence)
    result[known] = best[2]
    return Combined(combination, result, best[1], -best[2][np.arange(len(y)), y])


def fit_combination(
    evidence: Sequence[np.ndarray], true: np.ndarray, expected: np.ndarray, ridge: tuple[float, float]
) -> Combination:
    """The combination that maximises ``sum log p(true) - ridge_a / 2 |a - expected|^2 - ridge_b / 2 |b|^2``.

    Args:
        evidence: K pieces, (m, C) each.
        true: (m,).
    """
    from scipy.optimize import minimize

    pieces, (count, classes) = len(evidence), evidence[0].shape
    stacked, rows = np.stack(evidence), np.arange(count)

    def objective(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        weights, shifts = parameters[:pieces], parameters[pieces:]
        log_p = Combination(weights, shifts).log_probabilities(evidence)
        away = weights - expected
        slopes = np.exp(log_p)
        slopes[rows, true] -= 1.0
        gradient = np.concatenate(
            [np.einsum("nc,knc->k", slopes, stacked) + ridge[0] * away, slopes.sum(axis=0) + ridge[1] * shifts]
        )
        penalty = 0.5 * ridge[0] * float(away @ away) + 0.5 * ridge[1] * float(shifts @ shifts)
        return float(-log_p[rows, true].sum()) + penalty, gradient

    start = np.concatenate([expected, np.zeros(classes)])
    solved = minimize(objective, start, jac=True, method="L-BFGS-B", options={"gtol": 1e-6, "ftol": 1e-12})
    return Combination(solved.x[:pieces], solved.x[pieces:])
