"""How probabilities keep what they say: expected against observed, in bins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nlcli.metrics.arrays import Bools, Floats
from nlcli.metrics.expected_calibration import BINS, ProbabilityBins
from nlcli.reporting.shares import Share


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
        binned = ProbabilityBins(probability, outcome)
        bins = []
        for i in range(BINS):
            inside = binned.place == i
            share = Share.of(int(outcome[inside].sum()), int(inside.sum()))
            if share is not None:
                bins.append(Bin(float(probability[inside].mean()), share))
        return cls(tuple(bins), binned.error(), len(probability))
