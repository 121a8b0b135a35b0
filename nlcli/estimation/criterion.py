"""By what classifiers are chosen on verified images: lower is better."""

from __future__ import annotations

import numpy as np

from nlcli.estimation.linear_model import Task
from nlcli.estimation.tempering import tempered_losses
from nlcli.metrics.ranking import sparse_ranking_metrics

SCALED_LOG_LOSS, RANKING_COST = "scaled_log_loss", "ranking_cost"
"""What ``cost`` is called on single- and on multi-label data."""
BEYOND_START = "cost_beyond_start"
"""The cost of what is better than what training began at by more than one standard error; else that of the start."""
GROUPS = 40
"""Most groups of images that are left out in turn where a score is a pseudo-value."""


def cost_name(task: Task) -> str:
    """What ``cost`` is called."""
    return SCALED_LOG_LOSS if task == "single-label" else RANKING_COST


def cost(task: Task, logits: np.ndarray, verified: np.ndarray, known: np.ndarray) -> float:
    """What a classifier costs on verified images.

    Of one label its mean log-loss after one factor on all logits (``tempering``); of several one less the mean of
    AP_all and mAP: there the log-loss of classifiers of noisy labels, at any temperature, chooses far too much
    regularisation.

    Args:
        logits: (n, C).
        verified, known: (n, C) as in ``Term``; an image of which only a class is known that it is not of counts, too.
    """
    if task == "single-label":
        return float(tempered_losses(task, logits, verified, known).mean())
    return 1.0 - ranking(logits, verified, known)


def image_scores(task: Task, logits: np.ndarray, verified: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Numbers whose mean is what ``cost`` is of, the higher the better: one an image, or one a group of images."""
    if task == "single-label":
        return -tempered_losses(task, logits, verified, known)
    return pseudo_values(logits, verified, known, np.arange(len(logits)) % min(GROUPS, len(logits)))


def ranking(logits: np.ndarray, verified: np.ndarray, known: np.ndarray) -> float:
    """The mean of AP_all and mAP; 0 where nothing can be ranked."""
    position, column = np.nonzero(known)
    labels, scores = verified[position, column] > 0, logits[position, column]
    metrics = sparse_ranking_metrics(column, labels, scores, logits.shape[1])
    value = 0.5 * (metrics.ap_all + metrics.mean_ap)
    return float(value) if np.isfinite(value) else 0.0


def pseudo_values(logits: np.ndarray, verified: np.ndarray, known: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """(g,) what each group of images adds to ``ranking``, which is no mean over images, by leaving it out.

    Args:
        groups: (n,) from 0 to g - 1.

    References:
        Miller 1974, the jackknife.
    """
    whole, number = ranking(logits, verified, known), int(groups.max()) + 1
    if number == 1:
        return np.array([whole])
    kept = (groups != group for group in range(number))
    left = np.array([ranking(logits[rows], verified[rows], known[rows]) for rows in kept])
    return number * whole - (number - 1) * left
