"""Log-probabilities made as sure as known classes show that they should be."""

from __future__ import annotations

import numpy as np

from nlcli.estimation.linear_model import log_softmax

_EXPONENTS = (-3.0, 3.0)


def tempered_losses(log_probabilities: np.ndarray, true: np.ndarray) -> tuple[float, np.ndarray]:
    """The factor on log-probabilities (m, C) that makes classes ``true`` (m,) likeliest, and (m,) -log p with it.

    A classifier of noisy labels is less sure than it should be, whatever it knows of the order of classes: by these
    losses classifiers are compared for what they know. The factor is between exp(-3) and exp(3).

    References:
        Guo et al. 2017, temperature scaling.
    """
    from scipy.optimize import minimize_scalar

    rows = np.arange(len(true))

    def losses(exponent: float) -> np.ndarray:
        of_true: np.ndarray = -log_softmax(np.exp(exponent) * log_probabilities)[rows, true]
        return of_true

    best = minimize_scalar(lambda e: losses(e).mean(), bounds=_EXPONENTS, method="bounded", options={"xatol": 1e-3})
    return float(np.exp(best.x)), losses(float(best.x))
