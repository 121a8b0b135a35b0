"""Intervals of metrics over images and seeds; how often they cover is simulated, not assumed.

A bootstrap over images tells how much a metric would move with other images. Read as percentiles its replicates cover
too little: resampling repeats images, a repeated positive lifts AP, and a few positives vary more than their resamples
do. So only the *variance* is taken from the replicates. It is corrected, and an interval is made from it:

* of a metric between 0 and 1 in Wilson's form (Wilson 1927), which leans away from the ends of the scale and stays
  inside. A share of N images has exactly Wilson's interval, another metric that of the N its variance stands for.
* of a difference between two models on the same images: the difference and ``q`` standard deviations of its paired
  replicates on both sides. A difference of shares counts one image more, half of which tells the models apart (in the
  manner of Agresti and Min 2005): of few images often none does, and no resample would either.

Where a metric is a mean over seeds, the images' part is what the replicates of *different* seeds have in common (the
mean of their covariances); all else that moves it lies in the spread over the seeds, whose few degrees of freedom give
a t quantile. Two models are taken to spread alike over seeds unless one clearly spreads more, and a model of a single
seed as the other. Of single seeds alone nothing is known about others: the interval is of these trained models.

What is covered is the metric that is to be expected on as many images drawn alike. The table of simulated coverages
stands in ``docs/reading-results.md``; ``tests/evaluation/test_coverage.py`` makes it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nlcli.metrics.arrays import Floats

LEVEL = 0.95
"""Of every interval."""
FEWEST = 5
"""Positives (images of a share, labels of the rarer kind) from which on a metric has an interval."""
FEWEST_OF_CLASS = 3
"""The same where the metric is of one class."""
FEWEST_TO_RANK = 50
"""Images from which on models are ranked, and a difference of shares, which is coarse, has an interval."""
FEWEST_RARER_TO_DIFFER = 15
"""Labels of the rarer kind from which on a difference of areas has an interval."""

FEWEST_SEEDS = 3
"""Seeds from which on their mean has an interval of its own."""

Ends = tuple[float, float]


@dataclass(frozen=True)
class Support:
    """What an interval rests on.

    Attributes:
        count: Images of a share, positives of a ranking, labels of the rarer kind of an area; 0 where nothing counts.
        fewest: ``count`` from which on there is an interval.
        counted: What ``count`` counts, in the plural.
        fewest_to_differ: ``count`` from which on a difference has an interval.
        inflation: By how much the replicates' variance is too small.
        paired_inflation: The same of the difference of two models.
        freedom: Degrees of freedom of the quantile, twice as many of a difference; infinite where the count does not
            matter.
        share: Whether the metric is a share of ``count`` images, its variance known without replicates.
    """

    count: int
    fewest: int = FEWEST
    counted: str = "positives"
    fewest_to_differ: int = 0
    inflation: float = 1.0
    paired_inflation: float = 1.0
    freedom: float = math.inf
    share: bool = False

    @property
    def too_few(self) -> str | None:
        """Why there is no interval: ``of 4 positives, fewer than 8``; None where there is one."""
        return f"{self.count:,} {self.counted}, fewer than {self.fewest}" if self.count < self.fewest else None

    @property
    def too_few_to_differ(self) -> str | None:
        """The same of a difference of two models."""
        if self.count < self.fewest_to_differ:
            return f"{self.count:,} {self.counted}, fewer than {self.fewest_to_differ}"
        return self.too_few


def share_support(images: int, *, of_class: bool = False) -> Support:
    """Of a share of ``images``, such as top-1 or the error rate of all labels."""
    fewest = FEWEST_OF_CLASS if of_class else FEWEST
    return Support(images, fewest, "images", fewest_to_differ=FEWEST_TO_RANK, share=True)


def ranking_support(positives: int) -> Support:
    """Of the average precision of one ranking of all entries."""
    freedom = max(1, positives - 1)
    return Support(positives, inflation=1 + 1 / freedom, freedom=freedom)


def area_support(ones: int, others: int, counted: str = "labels of the rarer kind") -> Support:
    """Of the area under a curve, and of the average precision of finding the rarer of two kinds of labels."""
    rarer = min(ones, others)
    freedom = max(1, rarer - 1)
    return Support(
        rarer,
        counted=counted,
        fewest_to_differ=FEWEST_RARER_TO_DIFFER,
        inflation=1 + 1 / freedom,
        freedom=2 * freedom,
    )


def calibration_support(labels: int, counted: str) -> Support:
    """Of an expected calibration error of ``labels``; of fewer than are ranked it is chance."""
    return Support(labels, FEWEST_TO_RANK, counted, fewest_to_differ=FEWEST_TO_RANK)


def classes_support(counts: ArrayLike, per_class: ArrayLike, *, shares: bool = False) -> Support:
    """Of a mean over classes, such as mAP or the average error.

    Args:
        counts: ``(C,)`` integers, positives (images) of each class.
        per_class: ``(B, C)`` floats, replicates of each class's metric; NaN where a resample has none of the class.
        shares: The classes' metrics are shares of their images, such as error rates.

    A class with few positives varies more than its resamples do. One with a single positive hardly varies in them; it
    is taken to vary as the average of the others. A difference in mAP needs no such help, as simulation shows: classes
    that are missing from some resamples make it vary enough.
    """
    counts, per_class = np.asarray(counts), np.asarray(per_class, np.float64)
    counted = "images" if shares else "positives"
    seen = counts > 0
    number, total = counts[seen], int(counts.sum())
    fewest = FEWEST_OF_CLASS if len(number) == 1 else FEWEST
    several = number > 1
    if not several.any() or not len(per_class):
        return Support(total, fewest, counted)
    variance = _variances(per_class[:, seen])
    right = variance.copy()
    right[several] *= resampling_deficit(number[several])
    deficit = float(right.sum() / variance.sum()) if variance.sum() > 0 else 1.0
    right[~several] = np.maximum(right[several].mean(), right[~several])
    if not variance.sum() > 0:
        return Support(total, fewest, counted)
    freedom = total - 1 if len(number) == 1 else math.inf
    inflation = float(right.sum() / variance.sum())
    return Support(
        total,
        fewest,
        counted,
        inflation=inflation,
        paired_inflation=inflation if shares else deficit,
        freedom=freedom,
    )


def widest(supports: Iterable[Support]) -> Support:
    """What a mean over seeds, or a difference, rests on: the fewest, with the largest corrections."""
    each = list(supports)
    fewest = min(each, key=lambda support: support.count)
    return replace(
        fewest,
        inflation=max(support.inflation for support in each),
        paired_inflation=max(support.paired_inflation for support in each),
        freedom=min(support.freedom for support in each),
    )


def resampling_deficit(counts: ArrayLike) -> Floats:
    """By how much a bootstrap's variance of a mean of so many values is too small, those of 2 or more: ``(C,)``.

    Its replicates' variance is the values' (with ``n``, not ``n - 1`` in the denominator) over the number of them that
    a resample holds, about a Poisson variable that is at least 1.
    """
    from scipy.special import gammaln

    n = np.asarray(counts, np.float64)
    result = np.ones(len(n))
    few = n < 100  # from there on the factor is within 0.01 % of 1
    drawn = np.arange(1, 400)
    log_share = drawn * np.log(n[few, None]) - n[few, None] - gammaln(drawn + 1.0)
    share = np.exp(log_share)
    mean_inverse = (share / drawn).sum(axis=1) / share.sum(axis=1)
    result[few] = 1 / ((n[few] - 1) * mean_inverse)
    return np.maximum(result, 1)


def metric_interval(values: ArrayLike, replicates: ArrayLike, support: Support) -> Ends | None:
    """Interval of a metric between 0 and 1, or of its mean over seeds.

    Args:
        values: ``(S,)`` of every seed, or a number.
        replicates: ``(S, B)`` of the same resamples, or ``(B,)``.
        support: What the metric rests on; the same for every seed.

    Returns:
        Lower and upper end; None where the metric is not defined or rests on too little (``Support.too_few``).
    """
    values, drawn = _seeds(values, replicates)
    value = float(values.mean())
    if support.too_few or math.isnan(value):
        return None
    margin = _margin2(drawn, support)
    if support.share and len(values) == 1:
        margin = _normal() ** 2 * value * (1 - value) / support.count
    if len(values) > 1:
        margin += _t(len(values) - 1) ** 2 * float(values.var(ddof=1)) / len(values)
    # Wilson's form: z^2 / N, where N is what the variance v (1 - v) / N stands for.
    edge, scale = _normal() ** 2 / support.count, value * (1 - value)
    ratio = margin / scale if margin > 1e-12 and scale > 1e-12 else edge
    middle = (value + ratio / 2) / (1 + ratio)
    half = math.sqrt(ratio * scale + ratio * ratio / 4) / (1 + ratio)
    return min(value, max(0.0, middle - half)), max(value, min(1.0, middle + half))


def difference_interval(
    values: ArrayLike, replicates: ArrayLike, others: ArrayLike, other_replicates: ArrayLike, support: Support
) -> Ends | None:
    """Interval of ``values`` minus ``others``, two models (means over their seeds) on the same images.

    Args:
        values, replicates: Of one model, as :func:`metric_interval` takes them.
        others, other_replicates: Of the other, replicates of the same resamples.
        support: What the difference rests on.

    Returns:
        As :func:`metric_interval`; None for ``Support.too_few_to_differ``.
    """
    own, drawn = _seeds(values, replicates)
    other, other_drawn = _seeds(others, other_replicates)
    difference = float(own.mean() - other.mean())
    if support.too_few_to_differ or math.isnan(difference):
        return None
    count = support.count
    margin = _margin2(drawn, support, other_drawn)
    if support.share:
        shrunk = count / (count + 1)
        difference, margin = difference * shrunk, margin * shrunk**2 + _normal() ** 2 / 2 / (count + 1) ** 2
    elif margin < 1e-12:
        margin = _normal() ** 2 / (count + 2) ** 2  # models that rank these alike may differ on others
    half = math.sqrt(margin + _seeds_margin2(own, other))
    return difference - half, difference + half


def seeds_interval(values: ArrayLike) -> tuple[Floats, Floats]:
    """Interval of a mean over seeds alone, the images as they are.

    Args:
        values: ``(S, ...)`` of three seeds or more: of two, a t quantile of 12.7 says nothing.

    Returns:
        Lower and upper ends, each as one seed's values.
    """
    own = np.asarray(values, np.float64)
    if len(own) < FEWEST_SEEDS:
        raise ValueError(f"{len(own)} seeds, fewer than {FEWEST_SEEDS}")
    half = _t(len(own) - 1) * own.std(axis=0, ddof=1) / math.sqrt(len(own))
    mean = own.mean(axis=0)
    return mean - half, mean + half


def class_intervals(
    of_classes: ArrayLike, per_class: ArrayLike, counts: ArrayLike, *, shares: bool = False
) -> tuple[Floats, Floats]:
    """Intervals of every class's metric.

    Args:
        of_classes: ``(C,)`` floats.
        per_class: ``(B, C)`` replicates.
        counts: ``(C,)`` positives; images where the metrics are shares of them.
        shares: The metrics are shares, such as error rates.

    Returns:
        Lower and upper ends, ``(C,)`` each; NaN where a class has fewer than ``FEWEST_OF_CLASS``.
    """
    values, drawn, number = np.asarray(of_classes), np.asarray(per_class), np.asarray(counts)
    low, high = np.full(len(values), math.nan), np.full(len(values), math.nan)
    for c in np.flatnonzero(number >= FEWEST_OF_CLASS):
        one = slice(c, c + 1)
        support = (
            share_support(int(number[c]), of_class=True) if shares else classes_support(number[one], drawn[:, one])
        )
        ends = metric_interval(values[c], drawn[:, c], support)
        if ends is not None:
            low[c], high[c] = ends
    return low, high


# --- parts of the squared half-width ---------------------------------------------------------


def _seeds(values: ArrayLike, replicates: ArrayLike) -> tuple[Floats, Floats]:
    own, drawn = np.atleast_1d(np.asarray(values, np.float64)), np.atleast_2d(np.asarray(replicates, np.float64))
    if drawn.shape[0] != len(own):
        raise ValueError(f"{len(own)} values and replicates of {drawn.shape[0]} seeds")
    return own, drawn


def _margin2(drawn: Floats, support: Support, other: Floats | None = None) -> float:
    """The images' part: quantile squared times corrected variance, of a metric or of a difference."""
    together = drawn if other is None else np.concatenate([drawn, other])
    defined = ~np.isnan(together).any(axis=0)
    if defined.sum() < 2:
        return 0.0
    covariance = np.atleast_2d(np.cov(together[:, defined]))
    own = slice(0, len(drawn))
    variance = _shared(covariance[own, own])
    if other is not None:
        theirs = slice(len(drawn), None)
        variance += _shared(covariance[theirs, theirs]) - 2 * float(covariance[own, theirs].mean())
    if other is not None:
        return max(0.0, variance) * support.paired_inflation * _t(2 * support.freedom) ** 2
    return max(0.0, variance) * support.inflation * _t(support.freedom) ** 2


def _shared(covariance: Floats) -> float:
    """What different seeds have in common: their mean covariance; of one seed its variance."""
    seeds = len(covariance)
    if seeds == 1:
        return float(covariance[0, 0])
    return float((covariance.sum() - np.trace(covariance)) / (seeds * (seeds - 1)))


def _seeds_margin2(own: Floats, other: Floats) -> float:
    """The seeds' part of a difference; 0 where both models have a single seed."""
    from scipy.special import fdtri

    first, second = len(own) - 1, len(other) - 1
    if first + second == 0:
        return 0.0
    if not first or not second:
        variance = float((own if first else other).var(ddof=1))
        return _t(first + second) ** 2 * variance * (1 / len(own) + 1 / len(other))
    one, two = float(own.var(ddof=1)), float(other.var(ddof=1))
    wider, narrower = ((one, first), (two, second)) if one >= two else ((two, second), (one, first))
    if wider[0] <= narrower[0] * float(fdtri(wider[1], narrower[1], LEVEL)):
        pooled = (one * first + two * second) / (first + second)
        return _t(first + second) ** 2 * pooled * (1 / len(own) + 1 / len(other))
    parts = np.array([one / len(own), two / len(other)])  # Welch and Satterthwaite
    freedom = parts.sum() ** 2 / np.sum(parts**2 / [first, second])
    return _t(float(freedom)) ** 2 * float(parts.sum())


def _variances(per_class: NDArray[np.float64]) -> Floats:
    """Variance of each column, NaN left out; 0 where fewer than two are defined."""
    defined = ~np.isnan(per_class)
    count = defined.sum(axis=0)
    mean = np.where(defined, per_class, 0).sum(axis=0) / np.maximum(count, 1)
    squares = np.where(defined, (per_class - mean) ** 2, 0).sum(axis=0)
    variances: Floats = squares / np.maximum(count - 1, 1)
    return variances


def _normal() -> float:
    return _t(math.inf)


def _t(freedom: float) -> float:
    """The quantile that ``LEVEL`` of Student's t lies within on both sides; the normal one for infinite freedom."""
    from scipy.special import ndtri, stdtrit

    upper = (1 + LEVEL) / 2
    return float(ndtri(upper)) if math.isinf(freedom) or freedom > 1e6 else float(stdtrit(max(1.0, freedom), upper))
