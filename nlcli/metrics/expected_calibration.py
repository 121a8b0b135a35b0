"""How far probabilities are from what was so: the expected calibration error, in bins of equal width.

With n probabilities p and outcomes y (0 or 1), in bins b,

    ECE = 1 / n  sum_b | sum_{i in b} (p_i - y_i) |,

the distance of the mean probability of a bin from the share that was so, weighted by how many are in it (Naeini et al.
2015; Guo et al. 2017, equation 3). Chance alone moves the sum of a bin by about its standard deviation, so that the
error of few labels is above zero even where probabilities keep what they say: ``by_chance`` tells by how much.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from nlcli.metrics.arrays import Bools, Floats, Ints

BINS = 10


class ProbabilityBins:
    """Probabilities in bins, with what was so.

    Args:
        probability: (n,) in [0, 1].
        outcome: (n,) bool.

    Attributes:
        place: (n,) the bin of each.
    """

    def __init__(self, probability: ArrayLike, outcome: Bools) -> None:
        self._probability = np.asarray(probability, np.float64)
        self._away = self._probability - outcome
        self.place: Ints = np.minimum((self._probability * BINS).astype(np.int64), BINS - 1)

    def error(self, weights: Floats | Ints | None = None) -> float:
        """The expected calibration error of labels drawn ``weights`` (n,) times, each once when None; NaN of none."""
        counts = np.ones(len(self.place)) if weights is None else np.asarray(weights, np.float64)
        total = float(counts.sum())
        if not total:
            return math.nan
        return float(np.abs(np.bincount(self.place, counts * self._away)).sum()) / total

    def by_chance(self) -> float:
        """The error to be expected of labels that are independent and as probable as is said; NaN of none."""
        if not len(self.place):
            return math.nan
        variance = np.bincount(self.place, self._probability * (1 - self._probability))
        # The mean of |x| is sqrt(2 / pi) standard deviations where x is normal about 0.
        return math.sqrt(2 / math.pi) * float(np.sqrt(variance).sum()) / len(self.place)
