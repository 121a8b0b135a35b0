"""A threshold for scores that no verified label has held against the truth.

A classifier of noisy labels errs by itself, and where nearly all labels are right most of what looks wrong are its own
errors. How often it errs is seen at labels that are believed although it says another class. For every three of these,
one of the labels that look wrong is taken to be its error as well, of those that look least wrong.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

AGAINST = 3
"""Labels believed against the classifier for each that is believed although it looks wrong. By class planted in digits,
weak digits and clothing, 0 to 38 %, labels that looked wrong were more than the wrong ones by one for every 3 to 14."""
_EVEN = 0.5


@dataclass(frozen=True)
class CautiousThreshold:
    """A threshold and what it rests on.

    Attributes:
        value: From which a label is right, in [0, 0.5]; 0 where every label is believed.
        suspects: Labels that are more likely wrong than right by their score.
        against: Labels that are believed although the classifier says another class.
        called: Labels below ``value``.
    """

    value: float
    suspects: int
    against: int
    called: int

    @property
    def meaning(self) -> str:
        """What is done with the labels, in words."""
        start = f"cautious, as no verified label chooses it: {self.suspects:,} labels look wrong, "
        counted = f"and {self.against:,} are believed against the classifier"
        if not self.called:
            return f"{start}{counted}, so that none is called wrong"
        return f"{start}{counted}, so that {self.called:,} are called wrong"


def cautious_threshold(score: np.ndarray, differs: np.ndarray) -> CautiousThreshold:
    """The threshold under which there are no more labels than are wrong for certain.

    Args:
        score: (n,) probability of each label being right, in [0, 1], by what has not seen the image.
        differs: (n,) bool, whether a classifier that has not seen the image says another class than its label.
    """
    ordered = np.sort(np.asarray(score, np.float64))
    suspects = int(np.searchsorted(ordered, _EVEN))
    against = int((np.asarray(differs) & (score >= _EVEN)).sum())
    called = max(0, suspects - math.ceil(against / AGAINST))
    if not called:
        value = 0.0
    elif called == suspects:
        value = _EVEN
    else:
        value = float(ordered[called - 1] + ordered[called]) / 2
    return CautiousThreshold(value, suspects, against, int(np.searchsorted(ordered, value)))
