"""How often the share of wrong labels is inside its interval after rounds of checking what looks wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nlcli.metrics.clustered_shares import clustered_share
from nlcli.metrics.repeated_samples import Round, SampledRate, pooled_rate

ROUNDS = 10


def checked_by_score(
    seed: int, images: int, share: float, count: int, at_random: float, sharp: float
) -> tuple[float, SampledRate, tuple[float, float]]:
    """The true share of wrong labels, its estimate, and the interval of what was checked as if it were a sample.

    In each round ``count`` images are checked: a part drawn at random, the others those that look most wrong.
    """
    rng = np.random.default_rng([seed, images])
    wrong = rng.random(images) < share
    score = sharp * wrong + rng.normal(size=images)
    checked = np.zeros(images, bool)
    rounds = []
    for _ in range(ROUNDS):
        left = np.flatnonzero(~checked)
        drawn = rng.choice(left, round(count * at_random), replace=False)
        rest = np.setdiff1d(left, drawn)
        scored = rest[np.argsort(-score[rest])[: count - len(drawn)]]
        rounds.append(Round(len(left), int(wrong[checked].sum()), len(drawn), int(wrong[drawn].sum())))
        checked[drawn] = checked[scored] = True
    naive = clustered_share(wrong[checked], np.ones(checked.sum())).interval
    assert naive is not None
    return float(wrong.mean()), pooled_rate(images, rounds, int(wrong[checked].sum())), naive


def covered(repeats: int, *world: float) -> tuple[float, float, float]:
    """How often the interval covers, how often the naive one does, and the mean error of the estimate."""
    inside = naively = 0
    errors = []
    for seed in range(repeats):
        truth, rate, naive = checked_by_score(seed, *world)  # type: ignore[arg-type]
        assert rate.interval is not None
        assert rate.interval[0] <= rate.value <= rate.interval[1]
        inside += rate.interval[0] - 1e-12 <= truth <= rate.interval[1] + 1e-12
        naively += naive[0] <= truth <= naive[1]
        errors.append(rate.value - truth)
    return inside / repeats, naively / repeats, float(np.mean(errors))


def test_the_truth_is_inside_after_ten_rounds() -> None:
    """300 repeats: 95 % less four standard errors is 90 %."""
    inside, naively, error = covered(300, 2000, 0.2, 50, 0.2, 1.5)
    assert inside >= 0.9
    assert naively == 0  # what looks wrong is wrong more often, so that all checked images are no sample
    assert abs(error) < 0.01


@pytest.mark.slow
@pytest.mark.parametrize(
    "world",
    [
        (2000, 0.2, 50, 0.2, 1.5),
        (2000, 0.2, 50, 0.2, 0.0),
        (2000, 0.05, 50, 0.2, 2.0),
        (5000, 0.4, 100, 0.2, 1.5),
        (1000, 0.1, 30, 0.2, 1.5),
        (2000, 0.02, 50, 0.2, 2.0),
        (600, 0.3, 50, 0.2, 2.0),
        (3000, 0.2, 50, 0.1, 1.5),
    ],
)
def test_coverage_in_many_worlds(world: tuple[float, ...]) -> None:
    """2,000 repeats each; 95 % less four standard errors is 93 %, and few random images are coarse."""
    inside, _, error = covered(2000, *world)
    assert 0.925 <= inside <= 0.985
    assert abs(error) < 0.005


def test_one_round_is_wilsons_interval() -> None:
    """60 wrong of 200 out of very many: Wilson's interval, 0.2408 to 0.3668."""
    rate = pooled_rate(10_000_000, [Round(10_000_000, 0, 200, 60)])
    assert rate.value == pytest.approx(0.3, abs=1e-4)
    assert rate.interval == pytest.approx((0.24079, 0.36682), abs=2e-4)


def test_what_was_found_before_counts_as_known() -> None:
    """40 of 100 images known, 30 of them wrong; of the 60 others 20 drawn, 5 wrong: 30 + 60 / 4 of 100."""
    rate = pooled_rate(100, [Round(100, 0, 0, 0), Round(60, 30, 20, 5)], found=35)
    assert rate.value == pytest.approx(0.45)
    assert rate.interval is not None
    assert rate.interval[0] >= 0.35
    assert rate.interval[1] <= (30 + 60 - 15) / 100


def test_all_checked_is_known() -> None:
    assert pooled_rate(10, [Round(10, 0, 10, 3)]) == SampledRate(0.3, (0.3, 0.3), 10)


def test_too_few_have_no_interval() -> None:
    assert pooled_rate(1000, [Round(1000, 0, 4, 1)]).interval is None
    nothing = pooled_rate(1000, [Round(1000, 0, 0, 0)])
    assert math.isnan(nothing.value)
    assert nothing.interval is None
