"""How well wrong labels are told from right ones when images, or entries, are drawn more than once."""

from __future__ import annotations

import math

import numpy as np

from nlcli.metrics.arrays import Bools, Floats


class WeightedAreas:
    """Area under the ROC curve, and average precision, of finding what is wrong.

    What does not depend on the weights is prepared once. Those of one score share their ranks, as scikit-learn has it.
    """

    def __init__(self, wrong: Bools, suspicion: Floats) -> None:
        """Of ``(n,)``; those with the highest ``suspicion`` are looked at first."""
        self._order = np.argsort(-suspicion, kind="stable")
        self._wrong = wrong[self._order]
        sorted_suspicion = suspicion[self._order]
        self._starts = np.flatnonzero(np.diff(sorted_suspicion, prepend=np.nan) != 0)  # of each different score

    def __call__(self, weights: Floats) -> tuple[float, float]:
        """With ``weights`` ``(n,)``; both are NaN where nothing is wrong, the area also where nothing is right."""
        if not len(self._order):
            return math.nan, math.nan
        drawn = weights[self._order]
        wrong = np.add.reduceat(drawn * self._wrong, self._starts)
        right = np.add.reduceat(drawn * ~self._wrong, self._starts)
        wrongs, rights = wrong.sum(), right.sum()
        if not wrongs:
            return math.nan, math.nan
        looked_at = np.cumsum(wrong + right)
        precision = np.divide(np.cumsum(wrong), looked_at, out=np.zeros_like(looked_at), where=looked_at > 0)
        later = rights - np.cumsum(right) + right / 2  # right ones that come later; of equal ones half
        area = float((wrong * later).sum() / (wrongs * rights)) if rights else math.nan
        return area, float((wrong * precision).sum() / wrongs)
