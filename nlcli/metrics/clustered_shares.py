"""Shares of entries that come in images: precision, recall and error rates of tags, with their intervals.

Several entries of one image go wrong together, so the images are what varies. The variance of a share, a ratio of two
sums over images, is that of its linearisation (Cochran 1977, section 6.4)

    var = n / (n - 1)  sum_i (a_i - p b_i)^2 / (sum_i b_i)^2,

``a_i`` of the ``b_i`` entries of image i counting. The interval has Wilson's form for as many independent entries as
that variance stands for, with the t quantile of the images that have an entry.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from nlcli.metrics.intervals import FEWEST, LEVEL, Ends


@dataclass(frozen=True)
class Share:
    """A share of entries.

    Attributes:
        value: NaN where there is no entry.
        interval: 95 % over other images; None of fewer than ``FEWEST`` entries.
        count, whole: How many entries count, of how many.
        images: With an entry.
    """

    value: float
    interval: Ends | None
    count: int
    whole: int
    images: int


def clustered_share(part: ArrayLike, whole: ArrayLike) -> Share:
    """The share of all entries.

    Args:
        part: (n,) entries of each image that count.
        whole: (n,) entries of each image.
    """
    a, b = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    a, b = a[b > 0], b[b > 0]
    images, entries, count = len(b), float(b.sum()), float(a.sum())
    if not images:
        return Share(math.nan, None, 0, 0, 0)
    value = count / entries
    interval = None
    if entries >= FEWEST and images > 1:
        interval = wilson(value, _independent(a, b, value), t_quantile(images - 1))
    return Share(value, interval, round(count), round(entries), images)


def _independent(a: np.ndarray, b: np.ndarray, value: float) -> float:
    """Independent entries whose share varies as much; of equal ones as many as there are images."""
    images, entries = len(b), float(b.sum())
    variance = images / (images - 1) * float(np.sum((a - value * b) ** 2)) / entries**2
    if variance <= 0 or not 0 < value < 1:
        return float(images)
    return min(entries, value * (1 - value) / variance)


def wilson(value: float, count: float, quantile: float) -> Ends:
    """Wilson's interval of the share ``value`` of ``count`` independent ones, as wide as ``quantile`` asks for."""
    ratio = quantile**2 / count
    middle = (value + ratio / 2) / (1 + ratio)
    half = math.sqrt(ratio * value * (1 - value) + ratio**2 / 4) / (1 + ratio)
    return min(value, max(0.0, middle - half)), max(value, min(1.0, middle + half))


def t_quantile(freedom: int) -> float:
    """Of Student's distribution, for two-sided 95 %."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + LEVEL) / 2))
