"""The share of wrong labels of a fixed set of images, some of which are checked in rounds, most of them chosen by
score.

Images that were chosen because they look wrong are no sample. But in round t, n_t of the N_t images that nobody had
checked are drawn at random, each with the probability n_t / N_t, and the K_t wrong labels that were found before are
known. If T labels are wrong altogether, then whatever scores chose, the number x_t of wrong ones among the drawn has,
given what was checked before, the hypergeometric mean and variance

    m_t(T) = n_t p_t,    v_t(T) = n_t p_t (1 - p_t) (N_t - n_t) / (N_t - 1),    p_t = (T - K_t) / N_t,

so that the deviations of different rounds are not correlated. T is the root of the optimal linear estimating function
S(T) = sum_t (n_t / N_t) (x_t - m_t) / v_t, in which each drawn image weighs by the inverse of its probability; the
interval is where S^2 is at most z^2 sum_t (n_t / N_t)^2 / v_t, which with one round of few images is Wilson's (Wilson
1927). How often it covers is simulated in ``tests/metrics/test_repeated_samples.py``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nlcli.metrics.intervals import FEWEST, LEVEL, Ends

_STEPS = 20_000
"""Numbers of wrong labels that are tried."""


@dataclass(frozen=True)
class Round:
    """What one round of checking tells.

    Attributes:
        unchecked: Images that nobody had checked before it, from which it was drawn.
        known_wrong: Wrong labels among all images that had been checked before.
        drawn: Images that were drawn at random and answered.
        wrong: Those of them whose label is wrong.
    """

    unchecked: int
    known_wrong: int
    drawn: int
    wrong: int


@dataclass(frozen=True)
class SampledRate:
    """A share, and what it rests on.

    Attributes:
        value: NaN where nothing was drawn.
        interval: 95 %; None of fewer than ``FEWEST`` drawn images.
        drawn: Images that were drawn at random, of all rounds.
    """

    value: float
    interval: Ends | None
    drawn: int


def pooled_rate(images: int, rounds: Sequence[Round], found: int = 0) -> SampledRate:
    """The share of ``images`` whose label is wrong, ``images`` being those that were unchecked in the first round.

    Args:
        found: Wrong labels that are known by now.
    """
    from scipy.special import ndtri

    used = [one for one in rounds if one.drawn]
    drawn = sum(one.drawn for one in used)
    if not used:
        return SampledRate(math.nan, None, 0)
    least = max(found, *(one.known_wrong + one.wrong for one in used))
    most = min(one.known_wrong + one.unchecked - one.drawn + one.wrong for one in used)
    if most <= least:
        return SampledRate(least / images, (least / images, least / images), drawn)
    total = np.unique(np.linspace(least, most, min(most - least + 1, _STEPS)))
    score, information = np.zeros(len(total)), np.zeros(len(total))
    for one in used:
        share = np.clip((total - one.known_wrong) / one.unchecked, 1e-9, 1 - 1e-9)
        left = max(one.unchecked - one.drawn, 1e-9) / max(one.unchecked - 1, 1)
        variance = one.drawn * share * (1 - share) * left
        slope = one.drawn / one.unchecked
        score += slope * (one.wrong - one.drawn * share) / variance
        information += slope**2 / variance
    root = max(0, int(np.searchsorted(-score, 0, side="right")) - 1)  # the score falls with the number of wrong labels
    value = float(total[root]) / images
    if drawn < FEWEST:
        return SampledRate(value, None, drawn)
    outside = np.flatnonzero(score**2 > float(ndtri((1 + LEVEL) / 2)) ** 2 * information)
    low = total[max(outside[outside < root], default=-1) + 1]
    high = total[min(outside[outside > root], default=len(total)) - 1]
    return SampledRate(value, (float(low) / images, float(high) / images), drawn)
