"""Candidates compared by what they score on the same verified images, and which of them to keep.

Every candidate has one number an image, higher is better, from a fit that did not see the image's verified label
(cross-fitting): 1 where its class is right and 0 where not, a log-likelihood, or anything whose mean is what counts.
Two candidates are compared by the *paired* differences of these numbers: what makes an image hard for both cancels.

* The best is the one with the highest mean.
* The one kept is the first, in the order given (the simplest first), whose mean is within one standard error of the
  best's: the error of the paired difference, where the rule's authors (Breiman et al. 1984) take that of one mean.
* It is *better* than the baseline where the interval of the difference lies above 0, at a level divided by the number
  of candidates that could have been kept instead (Bonferroni). Where it does not, ``images_to_tell`` says of how many
  verified images the same difference, with the same spread, would be told in four of five draws.

A difference of shares counts one image more, half of which tells the two apart, as ``nlcli.metrics.intervals`` does:
of few images often none differs, which does not mean that none would.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from nlcli.metrics.arrays import Floats
from nlcli.metrics.intervals import LEVEL, Ends, metric_interval, share_support

POWER = 0.8
"""Of draws of ``Selection.images_to_tell`` images, those in which a difference as the one seen is told."""
FEWEST_TO_COMPARE = 2
"""Images from which on a difference has a spread."""


@dataclass(frozen=True)
class Difference:
    """What one candidate scores more than another on the same images.

    Attributes:
        mean: Of the paired differences.
        error: Standard error of ``mean``; infinite of fewer than ``FEWEST_TO_COMPARE`` images.
        images: How many.
    """

    mean: float
    error: float
    images: int

    @classmethod
    def of(cls, scores: ArrayLike, others: ArrayLike) -> Difference:
        """``scores`` less ``others``, one number an image each."""
        own, other = np.asarray(scores, np.float64), np.asarray(others, np.float64)
        differences = own - other
        count = len(differences)
        if count < FEWEST_TO_COMPARE:
            return cls(float(differences.mean()) if count else 0.0, math.inf, count)
        variance = float(differences.var(ddof=1)) / count
        if _are_shares(own) and _are_shares(other):
            variance += 0.5 / (count + 1) ** 2
        return cls(float(differences.mean()), math.sqrt(variance), count)

    def interval(self, level: float = LEVEL) -> Ends:
        """Lower and upper end; infinite where there is no spread."""
        half = _quantile((1 + level) / 2, self.images - 1) * self.error
        return self.mean - half, self.mean + half

    def images_to_tell(self, level: float = LEVEL) -> int | None:
        """Images whose interval would exclude 0 in ``POWER`` of draws; None where the mean is not above 0."""
        if not (self.mean > 0 and math.isfinite(self.error)):
            return None
        spread = self.error * math.sqrt(self.images)
        wanted = _quantile((1 + level) / 2) + _quantile(POWER)
        return math.ceil((wanted * spread / self.mean) ** 2)


@dataclass(frozen=True)
class Standing:
    """One candidate among the others.

    Attributes:
        mean: Of its scores.
        interval: Of ``mean``, over images; None of too few.
        behind: What the best scores more.
        gain: What it scores more than the baseline.
    """

    name: str
    mean: float
    interval: Ends | None
    behind: Difference
    gain: Difference


@dataclass(frozen=True)
class Selection:
    """All candidates, and which of them to keep.

    Attributes:
        standings: In the order given, the simplest first.
        best: Name of the one with the highest mean.
        chosen: Name of the one to keep.
        baseline: Name of the one that ``Standing.gain`` is over.
        scores: How many each candidate was compared by.
        images_each: Images that a score stands for.
    """

    standings: tuple[Standing, ...]
    best: str
    chosen: str
    baseline: str
    scores: int
    images_each: float = 1.0

    def __getitem__(self, name: str) -> Standing:
        return next(standing for standing in self.standings if standing.name == name)

    @property
    def images(self) -> int:
        """How many images that were."""
        return round(self.scores * self.images_each)

    @property
    def level(self) -> float:
        """Of the interval that tells whether something is better than the baseline."""
        return 1 - (1 - LEVEL) / max(1, len(self.standings) - 1)

    @property
    def better(self) -> bool:
        """Whether the one to keep is better than the baseline beyond chance."""
        return self.chosen != self.baseline and self[self.chosen].gain.interval(self.level)[0] > 0

    @property
    def images_to_tell(self) -> int | None:
        """Verified images that would tell the best from the baseline; None where it does not look better."""
        if self.best == self.baseline:
            return None
        scores = self[self.best].gain.images_to_tell(self.level)
        return None if scores is None else math.ceil(scores * self.images_each)


def select(
    scores: Mapping[str, ArrayLike],
    *,
    baseline: str | None = None,
    errors_behind: float = 1.0,
    eligible: Sequence[str] | None = None,
    images_each: float = 1.0,
) -> Selection:
    """Compare candidates.

    Args:
        scores: By name one number an image, from a fit that did not see it; the simplest candidate first.
        baseline: The one that gains are over; the first where it is not said.
        errors_behind: Standard errors that a simpler one may be behind the best.
        eligible: Names of those that may be kept; all where it is not said.
        images_each: Images that a score stands for, where it is not one.

    Raises:
        ValueError: no candidate, another number of images, or a score that is not finite.
    """
    arrays = {name: np.asarray(values, np.float64) for name, values in scores.items()}
    _check(arrays)
    names = list(arrays) if eligible is None else [name for name in arrays if name in eligible]
    baseline = next(iter(arrays)) if baseline is None else baseline
    means = {name: float(values.mean()) if len(values) else 0.0 for name, values in arrays.items()}
    best = max(names, key=lambda name: means[name])  # the first, and so the simplest, of equal ones
    standings = tuple(
        Standing(
            name=name,
            mean=means[name],
            interval=_interval(values),
            behind=Difference.of(arrays[best], values),
            gain=Difference.of(values, arrays[baseline]),
        )
        for name, values in arrays.items()
    )
    chosen = next(
        standing.name for standing in standings if standing.name in names and _within(standing.behind, errors_behind)
    )
    return Selection(standings, best, chosen, baseline, len(next(iter(arrays.values()))), images_each)


def _within(behind: Difference, errors: float) -> bool:
    return behind.mean <= 0 or behind.mean <= errors * behind.error


def _interval(values: Floats) -> Ends | None:
    if not len(values):
        return None
    if _are_shares(values):
        return metric_interval(values.mean(), [values.mean()], share_support(len(values)))
    return Difference.of(values, np.zeros(len(values))).interval()


def _check(arrays: Mapping[str, Floats]) -> None:
    if not arrays:
        raise ValueError("no candidate to compare")
    counts = {values.shape for values in arrays.values()}
    if len(counts) > 1:
        raise ValueError(f"candidates were scored on different images: {sorted(counts)}")
    for name, values in arrays.items():
        if not np.isfinite(values).all():
            raise ValueError(f"a score of {name} is not finite")


def _are_shares(values: Floats) -> bool:
    return bool(np.isin(values, (0.0, 1.0)).all())


def _quantile(probability: float, freedom: float = math.inf) -> float:
    from scipy.special import ndtri, stdtrit

    if math.isinf(freedom):
        return float(ndtri(probability))
    return float(stdtrit(freedom, probability)) if freedom >= 1 else math.inf
