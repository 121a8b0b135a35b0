"""The share of wrong tags among the given tags of a fixed set of images that are checked in rounds, most by score.

In round t, n_t of the N_t images that nobody had checked are drawn at random, and all of their given tags are asked
about: image i has g_i of them, w_i wrong. Images that were chosen by score are asked about those tags alone that look
wrong, and about one more, drawn at random from the u_i others: u_i e_i, with e_i = 1 where it is wrong, has the mean of
how many of these are. So of every image that was checked before, what is wrong is known, or estimated without bias: K_t
in all.

With G_t given tags of the N_t images, each round tells the number T of wrong ones by itself, for any number r,

    T_t = K_t + r G_t + N_t mean_i (w_i - r g_i),

whatever scores chose (the difference estimator; Cochran 1977, section 7.3). r is the share among all drawn images.
Rounds are weighed by a_t = n_t / (N_t (N_t - n_t)), the inverse of their variances where images differ alike in all of
them. Deviations of different rounds are not correlated, and the drawn tags of a round count for all that follow it; so

    var = s^2 / sum a_t + sum_t c_t^2 p (1 - p) sum_i u_i^2,    c_t = sum of a_s over later rounds / sum of all,

s^2 being the variance of w_i - r g_i inside the rounds and p the share of wrong ones among the others. The interval has
Wilson's form for as many independent tags as that variance stands for. How often it covers is simulated in
``tests/metrics/test_repeated_tag_samples.py``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nlcli.metrics.clustered_shares import t_quantile, wilson
from nlcli.metrics.intervals import FEWEST
from nlcli.metrics.repeated_samples import SampledRate


@dataclass(frozen=True)
class TagRound:
    """What one round of checking tells.

    Attributes:
        images, tags: N_t and G_t.
        drawn: n_t, those that were answered.
        given, wrong: Sums of g_i and w_i over them.
        given_squares, products, wrong_squares: Sums of g_i^2, g_i w_i and w_i^2 over them.
        found: Wrong tags among those in question of images that were chosen by score.
        others: Sum of u_i over these images.
        told: Sum of u_i over those of them whose drawn tag was answered.
        told_wrong, told_squares: Sums of u_i e_i and of u_i^2 over these.
    """

    images: int
    tags: int
    drawn: int
    given: float
    wrong: float
    given_squares: float
    products: float
    wrong_squares: float
    found: int
    others: int
    told: int
    told_wrong: int
    told_squares: int


def pooled_tag_rate(rounds: Sequence[TagRound]) -> SampledRate:
    """The share of the given tags of the images that were unchecked in the first round, of all ``rounds`` so far."""
    drawn = sum(one.drawn for one in rounds)
    given = sum(one.given for one in rounds)
    tags = rounds[0].tags if rounds else 0
    if not drawn or not given or not tags:
        return SampledRate(math.nan, None, drawn)
    share = sum(one.wrong for one in rounds) / given
    weights = np.array([_weight(one) for one in rounds])
    known = _known_before(rounds, share)
    used = np.flatnonzero(weights)
    totals = [
        before + share * one.tags + one.images * (one.wrong - share * one.given) / max(one.drawn, 1)
        for before, one in zip(known, rounds, strict=True)
    ]
    total = float(weights[used] @ np.array(totals)[used] / weights.sum())
    seen = sum(one.wrong + one.found for one in rounds)
    value = min(1.0, max(total, seen) / tags)
    freedom = sum(one.drawn - 1 for one in rounds if one.drawn)
    if drawn < FEWEST or freedom < 1:
        return SampledRate(value, None, drawn)
    variance = (_of_draws(rounds, share, freedom) / weights.sum() + _of_others(rounds, weights)) / tags**2
    told = drawn if variance <= 0 or not 0 < value < 1 else value * (1 - value) / variance
    low, high = wilson(value, told, t_quantile(freedom))
    return SampledRate(value, (min(value, max(low, seen / tags)), high), drawn)


def _weight(one: TagRound) -> float:
    return one.drawn / (one.images * max(one.images - one.drawn, 1e-6)) if one.drawn else 0.0


def _known_before(rounds: Sequence[TagRound], share: float) -> list[float]:
    """K_t of every round; where no drawn tag of one was answered, ``share`` is what is wrong of the others."""
    known = [0.0]
    for one in rounds:
        of_others = one.told_wrong / one.told if one.told else share
        known.append(known[-1] + one.wrong + one.found + one.others * of_others)
    return known[:-1]


def _of_draws(rounds: Sequence[TagRound], share: float, freedom: int) -> float:
    """s^2."""
    inside = 0.0
    for one in rounds:
        squares = one.wrong_squares - 2 * share * one.products + share**2 * one.given_squares
        inside += squares - (one.wrong - share * one.given) ** 2 / max(one.drawn, 1)
    return max(0.0, inside) / freedom


def _of_others(rounds: Sequence[TagRound], weights: np.ndarray) -> float:
    """Variance of what is estimated of tags that were not in question."""
    told = sum(one.told for one in rounds)
    if not told:
        return 0.0
    size = sum(one.told_squares for one in rounds) / told
    wrong = (sum(one.told_wrong for one in rounds) + 0.5 * size) / (told + size)  # none seen is not none there
    later = 1 - np.cumsum(weights) / weights.sum()
    parts = (
        (one.others / one.told) ** 2 * one.told_squares * part**2
        for one, part in zip(rounds, later.tolist(), strict=True)
        if one.told
    )
    return float(wrong * (1 - wrong) * sum(parts))
