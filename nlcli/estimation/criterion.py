"""By what linear classifiers are chosen on verified images: lower is better."""

from __future__ import annotations

import numpy as np

from nlcli.estimation.linear_model import Task, sigmoid
from nlcli.estimation.objective import Term, row_losses
from nlcli.metrics.ranking import sparse_ranking_metrics

_TEMPERATURES = (-4.0, 4.0)
"""Logarithms between which a factor on logits is looked for."""


def scaled_log_loss(logits: np.ndarray, verified: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(n,) log-loss of each image after all logits were multiplied by the one number that makes its mean least.

    A classifier of noisy labels is less sure than it should be of true ones. Plain log-loss punishes that and asks for
    too little regularisation; the share of right answers is coarse where few images are verified. What is left when
    the temperature is right is what the classifier knows of the order of classes.

    Args:
        logits: (n, C) of a softmax.
        verified, known: (n, C) as in ``Term``; an image of which only a class is known that it is not of counts, too.
    """
    from scipy.optimize import minimize_scalar

    term = Term(np.asarray(verified, np.float64), mask=np.asarray(known, np.float64))
    wide = logits.astype(np.float64)

    def losses(exponent: float) -> np.ndarray:
        return row_losses("single-label", np.exp(exponent) * wide, term, slice(None))[0][:, 0]

    best = minimize_scalar(lambda e: losses(e).mean(), bounds=_TEMPERATURES, method="bounded", options={"xatol": 1e-4})
    return losses(float(best.x))


def cost(task: Task, logits: np.ndarray, verified: np.ndarray, known: np.ndarray) -> float:
    """What a classifier costs on verified images.

    Of one label the mean ``scaled_log_loss``; of several one less the mean of AP_all and mAP: there the log-loss of
    classifiers of noisy labels, at any temperature, chooses far too much regularisation.
    """
    if task == "single-label":
        return float(scaled_log_loss(logits, verified, known).mean())
    position, column = np.nonzero(known)
    ranking = sparse_ranking_metrics(
        column, verified[position, column] > 0, sigmoid(logits)[position, column], logits.shape[1]
    )
    return 1.0 - 0.5 * (float(ranking.ap_all) + float(ranking.mean_ap))
