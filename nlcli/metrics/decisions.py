"""Metrics of decisions: top-k, thresholds, confusion."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from nlcli.metrics.arrays import Bools, Ints, as_floats, check_nan, dense_arrays, row_blocks
from nlcli.metrics.ranking import mean_over_classes


def classes_ahead(labels: ArrayLike, scores: ArrayLike) -> Ints:
    """How many classes score higher than the true one, for every row: 0 where it comes first.

    Args:
        labels: ``(N,)`` integers, the true class of each row.
        scores: ``(N, C)`` floats. Among equal scores the lower class index comes first, so that a
            row has 0 exactly where ``argmax`` is right.

    Raises:
        NlcliError: a score is NaN.
    """
    labels, scores = np.asarray(labels), as_floats(scores)
    if labels.ndim != 1 or scores.ndim != 2 or len(labels) != len(scores):
        raise ValueError(f"labels {labels.shape}, scores {scores.shape}: not a class for each row")
    ahead = np.empty(len(labels), np.int64)
    for part in row_blocks(scores):
        block, truth = scores[part], labels[part][:, None]
        own = np.take_along_axis(block, truth, axis=1)
        check_nan(block, None, part.start)
        before = (block > own) | ((block == own) & (np.arange(block.shape[1]) < truth))
        ahead[part] = np.count_nonzero(before, axis=1)
    return ahead


def top_k_correct(labels: ArrayLike, scores: ArrayLike, k: int = 1) -> Bools:
    """Whether the true class is among the ``k`` highest scores, for every row; see :func:`classes_ahead`."""
    return classes_ahead(labels, scores) < k


def top_k_accuracy(labels: ArrayLike, scores: ArrayLike, k: int = 1) -> float:
    """Part of the rows whose true class is among the ``k`` highest scores (micro average)."""
    correct = top_k_correct(labels, scores, k)
    return float(correct.mean()) if len(correct) else math.nan


def confusion_matrix(labels: ArrayLike, predicted: ArrayLike, n_classes: int) -> Ints:
    """Counts ``(C, C)`` int64 of (n,) class numbers: true class by row, noisy or predicted class by column."""
    labels, predicted = np.asarray(labels, np.int64), np.asarray(predicted, np.int64)
    cells = np.bincount(labels * n_classes + predicted, minlength=n_classes * n_classes)
    return cells.reshape(n_classes, n_classes)


def macro_accuracy(confusion: ArrayLike) -> float:
    """Mean over the classes with a true row of the part of their rows predicted right."""
    confusion = np.asarray(confusion)
    truth = confusion.sum(axis=1)
    seen = truth > 0
    return float(np.mean(np.diag(confusion)[seen] / truth[seen])) if seen.any() else math.nan


def macro_recall(labels: ArrayLike, predicted: ArrayLike) -> float:
    """``macro_accuracy`` of (n,) class numbers, without a matrix of classes by classes."""
    labels, predicted = np.asarray(labels, np.int64), np.asarray(predicted, np.int64)
    truth = np.bincount(labels)
    right = np.bincount(labels[labels == predicted], minlength=len(truth))
    seen = truth > 0
    return float(np.mean(right[seen] / truth[seen])) if seen.any() else math.nan


@dataclass(frozen=True)
class ThresholdMetrics:
    """Precision, recall and F1 of calling a score at or above a threshold positive.

    Micro metrics count entries of all classes together (the field's OP, OR, OF1), macro metrics
    are means over classes (CP, CR, CF1, CF1 being the harmonic mean of CP and CR). A class without
    a positive call has no precision and is left out of the macro precision; one without positives
    is left out of the macro recall.
    """

    threshold: float
    micro_precision: float
    micro_recall: float
    micro_f1: float
    macro_precision: float
    macro_recall: float
    macro_f1: float


def threshold_metrics(
    labels: ArrayLike, scores: ArrayLike, mask: ArrayLike | None = None, threshold: float = 0.5
) -> ThresholdMetrics:
    """Micro and macro precision, recall and F1 at ``threshold``; arguments as per_class_ap."""
    labels, scores, mask = dense_arrays(labels, scores, mask)
    counts = np.zeros((3, scores.shape[1]), np.int64)
    for part in row_blocks(scores):
        called, truth = scores[part] >= threshold, labels[part] != 0
        if mask is not None:
            verified = mask[part] != 0
            called, truth = called & verified, truth & verified
        counts += [np.count_nonzero(a, axis=0) for a in (called & truth, called, truth)]
    return threshold_metrics_of_counts(counts[0], counts[1], counts[2], threshold)


def threshold_metrics_of_counts(
    right: ArrayLike, called: ArrayLike, positives: ArrayLike, threshold: float
) -> ThresholdMetrics:
    """The same from counts per class ``(C,)``: right positive calls, positive calls, positives."""
    right, called, positives = (np.asarray(a, np.float64) for a in (right, called, positives))
    with np.errstate(invalid="ignore", divide="ignore"):
        micro = float(right.sum() / called.sum()), float(right.sum() / positives.sum())
        macro = mean_over_classes(right / called), mean_over_classes(right / positives)
    return ThresholdMetrics(threshold, *micro, _f1(*micro), *macro, _f1(*macro))


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else math.nan
