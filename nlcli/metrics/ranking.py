"""Metrics computed from labels and scores: average precision, accuracy, curves.

Definitions follow the papers (Veit 2017 section 4.2; Hu 2018 section 4.2). ``AP`` is the mean,
over the positives, of the precision at their rank, ties shared as scikit-learn's
``average_precision_score`` shares them. ``mAP`` is its mean over the classes that have a positive
among the scored entries; ``AP_all`` ranks all (image, class) entries together.

Two ways in. *Dense*: labels and scores are ``(N, C)`` arrays, an optional mask says which entries
a person verified. *Sparse*: flat verified entries (class, label, score), for data where a person
looked at ten of six thousand classes; memory is proportional to the entries.

No entry is ever ranked one by one. With ``P`` positives, AP is the mean over positives ``i`` of
``#{positives >= s_i} / #{entries >= s_i}``, and both counts are binary searches in sorted values:
sorting values is several times cheaper than sorting indices, and ties need no special case.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nlcli.metrics import arrays
from nlcli.metrics.arrays import (
    Array,
    Bools,
    Floats,
    Ints,
    Scores,
    as_floats,
    check_binary,
    check_nan,
    dense_arrays,
    row_blocks,
    slices,
)

HALVE = 1 << 22
"""Entries from which a ranking is worked through in two halves, to save memory; no result depends on it."""


@dataclass(frozen=True)
class RankingMetrics:
    """What one ranking of labels by scores is worth.

    Attributes:
        per_class: ``(C,)`` float64, AP of each class, NaN for a class without positives.
        positives: ``(C,)`` int64, positives among the scored entries.
        scored: ``(C,)`` int64, scored (verified) entries.
        mean_ap: mean of ``per_class`` over the classes with a positive; NaN if there is none.
        ap_all: AP over all entries together; NaN if no entry is positive.
    """

    per_class: Floats
    positives: Ints
    scored: Ints
    mean_ap: float
    ap_all: float

    @property
    def classes_without_positives(self) -> int:
        """Classes that no scored entry is positive for; they are left out of ``mean_ap``."""
        return int(np.count_nonzero(self.positives == 0))


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Average precision of one ranking, equal to scikit-learn's ``average_precision_score``.

    Args:
        labels: ``(N,)`` zeros and ones.
        scores: ``(N,)`` floats, larger for likelier positives; any order-preserving scale.

    Returns:
        AP in [0, 1]; NaN when there is no positive (scikit-learn: 0 with a warning).

    Raises:
        NlcliError: a score is NaN.
    """
    scores = as_floats(scores)
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.shape != scores.shape:
        raise ValueError(f"labels {labels.shape}, scores {scores.shape}: not equal vectors")
    check_binary(labels)
    return _flat_ap(labels, scores, None)


def per_class_ap(labels: ArrayLike, scores: ArrayLike, mask: ArrayLike | None = None) -> Floats:
    """Average precision of every class, ``(C,)`` float64, NaN for a class without positives.

    Args:
        labels: ``(N, C)`` zeros and ones.
        scores: ``(N, C)`` floats.
        mask: ``(N, C)``, nonzero where the label is verified; other entries do not count.

    Raises:
        NlcliError: a score that counts is NaN.
    """
    return _dense_classes(*dense_arrays(labels, scores, mask))[0]


def mean_ap(labels: ArrayLike, scores: ArrayLike, mask: ArrayLike | None = None) -> float:
    """Mean of :func:`per_class_ap` over the classes with a positive; NaN if there is none."""
    return mean_over_classes(per_class_ap(labels, scores, mask))


def ap_all(labels: ArrayLike, scores: ArrayLike, mask: ArrayLike | None = None) -> float:
    """Average precision over all (image, class) entries together; arguments as per_class_ap."""
    return _flat_ap(*dense_arrays(labels, scores, mask))


def ranking_metrics(labels: ArrayLike, scores: ArrayLike, mask: ArrayLike | None = None) -> RankingMetrics:
    """Per-class AP, mAP and AP_all at once; arguments as :func:`per_class_ap`."""
    checked = dense_arrays(labels, scores, mask)
    per_class, positives, scored = _dense_classes(*checked)
    return RankingMetrics(per_class, positives, scored, mean_over_classes(per_class), _flat_ap(*checked))


def sparse_ranking_metrics(classes: ArrayLike, labels: ArrayLike, scores: ArrayLike, n_classes: int) -> RankingMetrics:
    """Per-class AP, mAP and AP_all of flat verified entries.

    Args:
        classes: ``(E,)`` integers in ``[0, n_classes)``, the class of each entry.
        labels: ``(E,)`` zeros and ones.
        scores: ``(E,)`` floats.
        n_classes: number of classes; those without an entry have AP NaN.

    Raises:
        NlcliError: a score is NaN.
    """
    classes, labels, scores = np.asarray(classes), np.asarray(labels), as_floats(scores)
    if classes.ndim != 1 or not classes.shape == labels.shape == scores.shape:
        shapes = classes.shape, labels.shape, scores.shape
        raise ValueError(f"classes, labels and scores differ in length: {shapes}")
    if len(classes) and (classes.min() < 0 or classes.max() >= n_classes):
        raise ValueError(f"a class lies outside 0 .. {n_classes - 1}")
    check_binary(labels)
    keys = rank_keys(classes, score_order(scores))
    is_positive = labels != 0
    positive, negative = keys[is_positive], keys[~is_positive]
    del keys
    positive.sort()
    negative.sort()
    # Entries of classes 0 .. c, so that a count within a class is one subtraction.
    scored = np.bincount(classes, minlength=n_classes).astype(np.int64, copy=False)
    positives = np.bincount(classes[is_positive], minlength=n_classes).astype(np.int64, copy=False)
    positive_end, negative_end = np.cumsum(positives), np.cumsum(scored - positives)
    total = np.zeros(n_classes)
    for part in row_blocks(positive):
        key = positive[part]
        of = (key >> np.uint64(32)).astype(np.int64)
        above = positive_end[of] - np.searchsorted(positive, key)
        wrong = negative_end[of] - np.searchsorted(negative, key)
        total += np.bincount(of, weights=above / (above + wrong), minlength=n_classes)
    del positive, negative
    with np.errstate(invalid="ignore"):
        per_class = total / positives
    return RankingMetrics(per_class, positives, scored, mean_over_classes(per_class), _flat_ap(labels, scores, None))


def mean_over_classes(per_class: ArrayLike) -> float:
    """Mean over the classes whose AP is defined (not NaN); NaN if none is."""
    per_class = np.asarray(per_class, np.float64)
    defined = per_class[~np.isnan(per_class)]
    return float(defined.mean()) if len(defined) else math.nan


def rank_precision(labels: ArrayLike, scores: ArrayLike) -> Floats:
    """Precision among the first 1, 2, ..., N rows by falling score: ``(N,)`` float64.

    Rows of one score stand in no order: at a rank inside of them the precision is what a random
    order would have on average.

    Args:
        labels: ``(N,)`` zeros and ones.
        scores: ``(N,)`` floats.

    Raises:
        NlcliError: a score is NaN.
    """
    labels, scores = np.asarray(labels), as_floats(scores)
    check_nan(scores, None)
    values, which, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    right = np.bincount(which, weights=labels != 0, minlength=len(values))
    # From the highest score down, every row of a group counts as much as the group's mean.
    means = np.repeat((right / sizes)[::-1], sizes[::-1])
    return np.cumsum(means) / np.arange(1, len(scores) + 1)


def roc_area(positive: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve, by ranks: of a positive and another entry, how often the positive one scores more.

    Args:
        positive: (n,) truth; equal scores count half. NaN where all are of one kind.
    """
    which = np.asarray(positive, bool)
    ones, others = int(which.sum()), int((~which).sum())
    if not ones or not others:
        return float("nan")
    _, of, counts = np.unique(np.asarray(scores), return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2  # equal scores share the mean of their ranks
    above = float(ranks[of][which].sum()) - ones * (ones + 1) / 2
    return above / (ones * others)


def score_order(scores: ArrayLike) -> NDArray[np.uint32]:
    """Integers that compare as the scores do, in the same shape, uint32.

    float32 scores keep their bits, the sign flipped and negative numbers inverted; float64 scores,
    which do not fit, are replaced by their rank.

    Raises:
        NlcliError: a score is NaN.
    """
    scores = as_floats(scores)
    check_nan(scores, None)
    if scores.dtype == np.float32:
        # Adding zero turns -0.0, which equals 0.0 but has other bits, into 0.0.
        bits = (scores + np.float32(0)).view(np.uint32)
        return np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    return np.unique(scores, return_inverse=True)[1].reshape(scores.shape).astype(np.uint32)


def rank_keys(groups: ArrayLike, order: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """Keys that sort by group, then by score: uint64 with the group in the upper half."""
    keys = np.asarray(groups).astype(np.uint64)
    keys <<= np.uint64(32)
    keys |= order
    return keys


def ranking_bands(scores: Scores) -> list[float]:
    """Bounds, from the top, of the bands of scores that a ranking is worked through in: one band, or two.

    A large ranking is cut at its median score (of a sample), so that the sorted copy takes half of
    the scores' memory.
    """
    bounds: list[float] = [math.inf, -math.inf]
    if scores.size > HALVE:
        rows = scores[:: max(1, scores.size // 65536)] if scores.ndim == 1 else scores[:: len(scores) // 64 + 1]
        bounds.insert(1, float(np.median(rows)))
    return bounds


def _flat_ap(labels: Array, scores: Scores, mask: Array | None) -> float:
    """AP over all entries that count; arrays of one or two dimensions."""
    check_nan(scores, mask)
    right, wrong, sums = 0, 0, []
    for high, low in itertools.pairwise(ranking_bands(scores)):
        positive, negative = _sorted_band(labels, scores, mask, low, high)
        for part in row_blocks(positive):
            above = right + len(positive) - np.searchsorted(positive, positive[part])
            called = above + wrong + len(negative) - np.searchsorted(negative, positive[part])
            sums.append(float(np.sum(above / called)))
        right, wrong = right + len(positive), wrong + len(negative)
        del positive, negative  # the next band takes their place
    return math.fsum(sums) / right if right else math.nan


def _sorted_band(labels: Array, scores: Scores, mask: Array | None, low: float, high: float) -> tuple[Scores, Scores]:
    """Sorted scores of positives and negatives with ``low <= score < high``, in one buffer.

    An infinite bound is none at all: a score of plus infinity belongs to the highest band.
    """

    def kept() -> Iterator[tuple[Scores, Array, Bools | None]]:
        for part in row_blocks(scores):
            value = scores[part]
            keep = None if mask is None else mask[part] != 0
            if low > -math.inf:
                keep = value >= low if keep is None else keep & (value >= low)
            elif high < math.inf:
                keep = value < high if keep is None else keep & (value < high)
            yield value, labels[part], keep

    total = scores.size
    if mask is not None or not math.isinf(low) or not math.isinf(high):
        total = sum(int(np.count_nonzero(keep)) for _, _, keep in kept() if keep is not None)
    buffer = np.empty(total, scores.dtype)
    start, stop = 0, total
    for value, label, keep in kept():
        positive = label != 0
        negative = ~positive
        if keep is not None:
            positive &= keep
            negative &= keep
        chosen = value[positive]
        buffer[start : start + len(chosen)] = chosen
        start += len(chosen)
        chosen = value[negative]
        buffer[stop - len(chosen) : stop] = chosen
        stop -= len(chosen)
    positives, negatives = buffer[:start], buffer[start:]
    positives.sort()
    negatives.sort()
    return positives, negatives


def _dense_classes(labels: Array, scores: Scores, mask: Array | None) -> tuple[Floats, Ints, Ints]:
    """AP, positives and scored entries of every class."""
    rows, columns = scores.shape
    result = np.full(columns, math.nan)
    positives, scored = np.zeros(columns, np.int64), np.zeros(columns, np.int64)
    # A column of a row-major array is one number in every cache line: transpose several at a time.
    for block in slices(columns, min(64, max(8, 4 * arrays.BLOCK // max(1, rows)))):
        values = scores[:, block].T.copy()  # sorted in place below
        truths = np.ascontiguousarray(labels[:, block].T) != 0
        verified = None if mask is None else np.ascontiguousarray(mask[:, block].T) != 0
        for i, column in enumerate(range(block.start, block.stop)):
            keep = slice(None) if verified is None else verified[i]
            value, truth = values[i][keep], truths[i][keep]
            positive = value[truth]
            positive.sort()
            value.sort()
            scored[column], positives[column] = len(value), len(positive)
            if len(value) and np.isnan(value[-1]):  # sorting puts NaN last
                check_nan(scores, mask)
            if len(positive):
                right = len(positive) - np.searchsorted(positive, positive)
                called = len(value) - np.searchsorted(value, positive)
                result[column] = np.mean(right / called)
    return result, positives, scored
