"""What classifiers cost on verified images when they are as sure as they should be.

A classifier of noisy labels, or a strongly regularised one, is less sure of true classes than it should be. Plain
log-loss punishes that, and so asks for too little regularisation: on weak features it cost 3 to 5 points of top-1. With
one factor on all logits, the best for the images at hand, what is left is what a classifier knows of the order of
classes; the share of right answers tells that, too, but varies much more.

References:
    Guo et al. 2017, temperature scaling.
"""

from __future__ import annotations

import numpy as np

from nlcli.estimation.bounded_minimum import bounded_minimum
from nlcli.estimation.linear_model import Task
from nlcli.estimation.objective import Term, row_losses

_EXPONENTS = (-4.0, 4.0)


def temperature(task: Task, logits: np.ndarray, targets: np.ndarray, known: np.ndarray) -> float:
    """The factor on ``logits`` (n, C) that makes their mean log-loss least; 1 without any image.

    Args:
        targets, known: (n, C) as a ``Term`` has them.
    """
    if not len(logits):
        return 1.0

    def cost(exponent: float) -> float:
        return float(tempered_losses(task, logits, targets, known, float(np.exp(exponent))).mean())

    return float(np.exp(bounded_minimum(cost, *_EXPONENTS, tolerance=1e-3)))


def tempered_losses(
    task: Task, logits: np.ndarray, targets: np.ndarray, known: np.ndarray, factor: float | None = None
) -> np.ndarray:
    """(n,) log-loss of each image, of several labels summed over its classes, at a ``factor``; by default the best."""
    factor = temperature(task, logits, targets, known) if factor is None else factor
    term = Term(np.asarray(targets, np.float64), mask=np.asarray(known, np.float64))
    losses: np.ndarray = row_losses(task, factor * logits.astype(np.float64), term, slice(None))[0].sum(axis=1)
    return losses


def tempered_class_losses(log_probabilities: np.ndarray, true: np.ndarray) -> tuple[float, np.ndarray]:
    """The same where every image's class is known: the best factor on (m, C) ``log_probabilities``, and (m,) losses.

    Args:
        true: (m,) int64 classes.
    """
    targets = np.eye(log_probabilities.shape[1])[true]
    known = np.ones_like(targets)
    factor = temperature("single-label", log_probabilities, targets, known)
    return factor, tempered_losses("single-label", log_probabilities, targets, known, factor)
