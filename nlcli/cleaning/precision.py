"""From which probability on changes are made: so that they are right as often as is asked, which verified images check.

A *change* (a label replaced, taken away or added) has a calibrated probability of being right. The threshold is the
lowest probability at which both say that changes from there on are right as often as is asked:

- the mean of the probabilities of the changes themselves, and
- of the verified images, the share on which such a change would be right, of at least ``FEWEST`` of them.

So probabilities that promise too much do no harm: verified images raise the threshold, and where no threshold suits
them there is none. Simulated in ``tests/cleaning/test_precision.py``: the interval of the second share holds the true
precision of the changes in at least 19 of 20 cases, with probabilities that are right and with ones that promise too
much, of 40 verified images and of 400.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nlcli.metrics.arrays import Bools, Floats, Ints
from nlcli.metrics.clustered_shares import clustered_share
from nlcli.metrics.intervals import FEWEST, Ends, metric_interval, share_support


class Measured(NamedTuple):
    """How many of ``images`` verified ones (of several labels, entries) would be changed rightly, and its interval.

    Attributes:
        interval: 95 %, over other images; None of fewer than ``FEWEST``.
    """

    right: int
    images: int
    interval: Ends | None

    @property
    def share(self) -> float | None:
        """The measured precision; None without any."""
        return self.right / self.images if self.images else None


def lowest_threshold(probability: Floats, of_verified: Floats, right: Bools, asked: float) -> float | None:
    """The lowest threshold that suits both; None where there is none.

    Args:
        probability: (n,) of the changes that could be made.
        of_verified: (m,) of the same changes on verified images.
        right: (m,) whether each of these would be right.
        asked: The least precision, above 0.
    """
    promised = _lowest(probability, probability, asked, 1)
    if promised is None:
        return None
    above = of_verified >= promised
    if above.sum() >= FEWEST and right[above].mean() >= asked:
        return promised
    shown = _lowest(of_verified[above], right[above].astype(np.float64), asked, FEWEST)
    return None if shown is None else max(promised, shown)


def _lowest(probability: Floats, value: Floats, asked: float, fewest: int) -> float | None:
    """The lowest of ``probability`` from which on the mean of at least ``fewest`` of ``value`` is ``asked``."""
    order = np.argsort(-probability, kind="stable")
    drawn, number = probability[order], np.arange(1, len(order) + 1)
    mean = np.cumsum(value[order]) / number
    last = np.ones(len(order), bool)  # of equal probabilities, either all are taken or none
    last[:-1] = drawn[:-1] > drawn[1:]
    suits = np.flatnonzero(last & (number >= fewest) & (mean >= asked - 1e-12))
    return float(drawn[suits[-1]]) if len(suits) else None


def measure(of_verified: Floats, right: Bools, threshold: float, image: Ints) -> Measured:
    """The precision on verified images of the changes whose probability is at least ``threshold``.

    Args:
        image: (m,) of each change its image: several of one are right or wrong together, which widens the interval.
    """
    taken = of_verified >= threshold
    counts, of_image = right[taken], np.unique(image[taken], return_inverse=True)[1]
    number, whole = int(counts.sum()), len(counts)
    if whole < FEWEST:
        return Measured(number, whole, None)
    entries = np.bincount(of_image)
    if len(entries) < whole:
        return Measured(number, whole, clustered_share(np.bincount(of_image, counts), entries).interval)
    return Measured(number, whole, metric_interval(number / whole, np.zeros(0), share_support(whole)))
