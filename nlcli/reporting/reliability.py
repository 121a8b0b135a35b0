"""How probabilities keep what they say: expected against observed, in bins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nlcli.metrics.arrays import Bools, Floats
from nlcli.reporting.shares import Share

_BINS = 10


@dataclass(frozen=True)
class Bin:
    """What was said of some labels, on average, and what was so.

    Attributes:
        expected: Mean probability.
        observed: The share that was so.
    """

    expected: float
    observed: Share


@dataclass(frozen=True)
class Reliability:
    """Bins of equal width, the empty ones left out.

    Attributes:
        error: Mean distance of expected and observed, weighted by how many there are (the expected calibration error).
    """

    bins: tuple[Bin, ...]
    error: float
    count: int

    @classmethod
    def of(cls, probability: Floats, outcome: Bools) -> Reliability | None:
        """From probabilities (n,) and what was so (n,); None of nothing, and of what are no probabilities.

        One that is NaN is not known, and left out.
        """
        known = ~np.isnan(probability)
        probability, outcome = probability[known], outcome[known]
        if not len(probability) or not np.all((probability >= 0) & (probability <= 1)):
            return None
        number = np.minimum((probability * _BINS).astype(np.int64), _BINS - 1)
        bins, distance = [], 0.0
        for i in range(_BINS):
            inside = number == i
            share = Share.of(int(outcome[inside].sum()), int(inside.sum()))
            if share is not None:
                expected = float(probability[inside].mean())
                bins.append(Bin(expected, share))
                distance += abs(expected - share.value) * share.whole
        return cls(tuple(bins), distance / len(probability), len(probability))
