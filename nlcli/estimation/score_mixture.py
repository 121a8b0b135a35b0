"""Scores of several kinds put together: on one scale by their ranks, weighted by what is known of some images.

Each score becomes a normal one (the quantile of a normal distribution at its rank among many images), so that no scale
is preferred, and ``z_i = a sum_k e_k s_ik + sum_k d_k s_ik + b`` are the log-odds, with expected weights e. A ridge on
the deviations d holds the mixture to these: with few known labels it is the expected one, with many a logistic
regression.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nlcli.estimation.calibration import sigmoid

RIDGE = 1.0
"""Of deviations from the expected weights: that of a normal prior with deviation 1."""
_NEWTON_STEPS = 100

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class NormalScores:
    """Ranks among reference images as quantiles of a normal distribution.

    Attributes:
        sorted: (m,) float64 the references' scores, increasing.
    """

    sorted: Floats

    @classmethod
    def of(cls, scores: np.ndarray) -> NormalScores:
        """By the scores (m,) of the references, m at least 1."""
        return cls(np.sort(np.asarray(scores, np.float64)))

    def __call__(self, scores: np.ndarray) -> Floats:
        """(n,) of (n,) scores: between references linear, so that no two different scores within become one."""
        from scipy.special import ndtri

        values, first, counts = np.unique(self.sorted, return_index=True, return_counts=True)
        middle = first + 0.5 * counts
        places = np.interp(np.asarray(scores, np.float64), values, middle)
        return np.asarray(ndtri(np.clip(places / len(self.sorted), 0.5 / len(self.sorted), 1 - 0.5 / len(self.sorted))))


@dataclass(frozen=True, eq=False)
class ScoreMixture:
    """A fitted mixture.

    Attributes:
        weights: (K,) of the normal scores.
        intercept: Of the log-odds.
    """

    weights: Floats
    intercept: float

    def log_odds(self, scores: np.ndarray) -> Floats:
        """(n,) of (n, K) normal scores."""
        odds: Floats = np.asarray(scores, np.float64) @ self.weights + self.intercept
        return odds

    @classmethod
    def fitted(
        cls, scores: np.ndarray, labels: np.ndarray, expected: Sequence[float], ridge: float = RIDGE
    ) -> ScoreMixture:
        """The mixture that makes labels likeliest.

        Args:
            scores: (m, K) normal scores.
            labels: (m,) zeros and ones, both of them there.
            expected: (K,) weights that the ridge holds to, up to a factor.
        """
        z, y = np.asarray(scores, np.float64), np.asarray(labels) != 0
        share = np.asarray(expected, np.float64) / np.sum(expected)
        columns = np.column_stack([z @ share, np.ones(len(z)), z])
        penalty = np.concatenate([[1e-2, 1e-6], np.full(z.shape[1], ridge)])
        parameters = np.zeros(columns.shape[1])

        def loss_of(at: Floats) -> float:
            odds = columns @ at
            return float(np.sum(np.logaddexp(0.0, odds) - y * odds) + 0.5 * np.sum(penalty * at * at))

        loss = loss_of(parameters)
        for _ in range(_NEWTON_STEPS):
            p = sigmoid(columns @ parameters)
            gradient = columns.T @ (p - y) + penalty * parameters
            hessian = (columns.T * np.maximum(p * (1 - p), 1e-12)) @ columns + np.diag(penalty)
            step, size = np.linalg.solve(hessian, gradient), 1.0
            while (now := loss_of(parameters - size * step)) > loss and size > 1e-6:
                size /= 2
            if now > loss:
                break
            done = loss - now <= 1e-12 * max(1.0, loss)
            parameters, loss = parameters - size * step, now
            if done:
                break
        return cls(parameters[0] * share + parameters[2:], float(parameters[1]))
