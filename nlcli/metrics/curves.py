"""Precision-recall and ROC curves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from nlcli.metrics.arrays import Bools, Floats, Scores, as_floats, check_nan

POINTS = 200
"""Points of a curve that is stored or drawn."""


@dataclass(frozen=True)
class Curve:
    """A precision-recall curve: one point for each distinct score, recall rising from 0 to 1.

    ``precision``, ``recall`` and ``threshold`` are ``(K,)`` float64; at ``threshold[k]`` the
    entries with a score of at least that much are called positive.
    """

    precision: Floats
    recall: Floats
    threshold: Floats

    def thinned(self, points: int = POINTS) -> Curve:
        """At most ``points`` points, evenly spread over recall, the first and the last kept."""
        if len(self.recall) <= points:
            return self
        chosen = np.searchsorted(self.recall, np.linspace(self.recall[0], 1.0, points))
        chosen = np.unique(np.concatenate([[0], np.minimum(chosen, len(self.recall) - 1)]))
        return Curve(self.precision[chosen], self.recall[chosen], self.threshold[chosen])

    def precision_at(self, recall: ArrayLike) -> Floats:
        """Precision where each ``recall`` in (0, 1] is first reached: the curve is a staircase."""
        where = np.searchsorted(self.recall, np.asarray(recall) - 1e-12)
        return self.precision[np.minimum(where, len(self.precision) - 1)]


def precision_recall_curve(labels: ArrayLike, scores: ArrayLike) -> Curve:
    """Precision and recall at every distinct score, from the highest down to the last positive.

    Args:
        labels: ``(N,)`` zeros and ones.
        scores: ``(N,)`` floats.

    Returns:
        A :class:`Curve`; scikit-learn's curve reversed, without its artificial end point and
        without the points behind full recall. Empty when there is no positive.

    Raises:
        NlcliError: a score is NaN.
    """
    labels, scores = np.asarray(labels), as_floats(scores)
    check_nan(scores, None)
    positive, negative = np.sort(scores[labels != 0]), np.sort(scores[labels == 0])
    if not len(positive):
        return Curve(*(np.empty(0) for _ in range(3)))
    # Thresholds at negatives between two positives matter too: precision falls there.
    threshold = np.unique(np.concatenate([positive, negative[negative >= positive[0]]]))[::-1]
    above = len(positive) - np.searchsorted(positive, threshold)
    wrong = len(negative) - np.searchsorted(negative, threshold)
    return Curve(above / (above + wrong), above / len(positive), threshold.astype(np.float64))


@dataclass(frozen=True)
class RocCurve:
    """Share of right labels that are called wrong, and of wrong ones that are, at every threshold; ``(K,)`` each.

    Attributes:
        rejected: Right labels called wrong, from 0 to 1.
        caught: Wrong labels called wrong, from 0 to 1.
        precision: Of the labels called wrong those that are; 1 where none is.
        threshold: Labels with a lower score are called wrong.
    """

    rejected: Floats
    caught: Floats
    precision: Floats
    threshold: Floats


def roc_curve(right: Bools, score: Scores) -> RocCurve:
    """The curve over every threshold between two different scores, thinned to ``POINTS`` points; both ``(n,)``."""
    values, which = np.unique(score, return_inverse=True)
    rejected = np.concatenate([[0], np.cumsum(np.bincount(which, weights=right, minlength=len(values)))])
    caught = np.concatenate([[0], np.cumsum(np.bincount(which, weights=~right, minlength=len(values)))])
    called = rejected + caught
    precision = np.divide(caught, called, out=np.ones_like(caught), where=called > 0)
    points = np.arange(len(called))
    if len(points) > POINTS:
        # Evenly along the curve, so that a steep part keeps its shape.
        way = (rejected + caught) / called[-1]
        points = np.unique(np.searchsorted(way, np.linspace(0, 1, POINTS)))
    return RocCurve(
        rejected[points] / max(1, rejected[-1]),
        caught[points] / max(1, caught[-1]),
        precision[points],
        np.concatenate([values, [np.inf]])[points],
    )
