"""How often the share of wrong tags is inside its interval after rounds of checking what looks wrong."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from nlcli.metrics.clustered_shares import clustered_share
from nlcli.metrics.repeated_samples import SampledRate
from nlcli.metrics.repeated_tag_samples import TagRound, pooled_tag_rate


def checked_by_score(
    seed: int, images: int, tags: float, share: float, count: int, at_random: float, sharp: float, rounds: int
) -> tuple[float, SampledRate, tuple[float, float]]:
    """The true share of wrong tags, its estimate, and the interval of all that was asked as if it were a sample.

    Images differ in how many tags they have and in how many of these are wrong. In each round ``count`` images are
    checked: a part drawn at random, of which all tags are asked about, the others those with most wrong tags to be
    expected, of which up to three in question are, and one drawn from the rest.
    """
    rng = np.random.default_rng([seed, images])
    number = rng.poisson(tags, images)
    image = np.repeat(np.arange(images), number)
    bad = np.clip(rng.beta(share * 3, (1 - share) * 3, images), 0, 1)
    wrong = rng.random(len(image)) < bad[image]
    odds = sharp * (wrong - 0.5) + rng.normal(size=len(image)) + np.log(share / (1 - share))
    looks = 1 / (1 + np.exp(-odds))
    expected = np.bincount(image, looks, images)
    where = np.split(np.arange(len(image)), np.cumsum(number)[:-1])
    checked = np.zeros(images, bool)
    made, asked_part, asked_whole = [], [], []
    for _ in range(rounds):
        left = np.flatnonzero(~checked)
        drawn = rng.choice(left, round(count * at_random), replace=False)
        rest = np.setdiff1d(left, drawn)
        scored = rest[np.argsort(-expected[rest], kind="stable")[: count - len(drawn)]]
        g = number[drawn].astype(float)
        w = np.array([wrong[where[i]].sum() for i in drawn], float)
        found = others = told = told_wrong = told_squares = 0
        for i in scored:
            order = where[i][np.argsort(-looks[where[i]])]
            question, other = order[: min(3, len(order))], order[3:]
            found += int(wrong[question].sum())
            asked_part.append(wrong[question].sum())
            asked_whole.append(len(question))
            if len(other):
                others += len(other)
                told += len(other)
                told_squares += len(other) ** 2
                told_wrong += len(other) * int(wrong[rng.choice(other)])
        sums = [float(value.sum()) for value in (g, w, g * g, g * w, w * w)]
        unchecked = len(left), int(number[left].sum()), len(drawn)
        made.append(TagRound(*unchecked, *sums, found, others, told, told_wrong, told_squares))
        asked_part += w.tolist()
        asked_whole += g.tolist()
        checked[drawn] = checked[scored] = True
    naive = clustered_share(np.array(asked_part), np.array(asked_whole)).interval
    assert naive is not None
    return float(wrong.mean()), pooled_tag_rate(made), naive


def covered(repeats: int, *world: float) -> tuple[float, float, float]:
    """How often the interval covers, how often the naive one does, and the mean error of the estimate."""
    inside = naively = 0
    errors = []
    for seed in range(repeats):
        truth, rate, naive = checked_by_score(seed, *world)  # type: ignore[arg-type]
        assert rate.interval is not None
        assert rate.interval[0] <= rate.value <= rate.interval[1]
        inside += rate.interval[0] <= truth <= rate.interval[1]
        naively += naive[0] <= truth <= naive[1]
        errors.append(rate.value - truth)
    return inside / repeats, naively / repeats, float(np.mean(errors))


def test_the_truth_is_inside_after_rounds_of_checking() -> None:
    """120 repeats: 95 % less three standard errors is 89 %."""
    inside, naively, error = covered(120, 800, 4, 0.2, 40, 0.25, 1.5, 6)
    assert inside >= 0.89
    assert naively < 0.1  # what looks wrong is wrong more often
    assert abs(error) < 0.01


@pytest.mark.slow
@pytest.mark.parametrize(
    "world",
    [
        (2000, 4, 0.2, 50, 0.2, 1.5, 10),
        (2000, 4, 0.2, 50, 0.2, 0.0, 10),
        (2000, 4, 0.05, 50, 0.2, 2.0, 10),
        (2000, 8, 0.2, 100, 0.2, 1.5, 10),
        (1000, 2, 0.3, 50, 0.2, 2.0, 5),
        (2000, 6, 0.02, 100, 0.2, 2.0, 10),
    ],
)
def test_coverage_in_many_worlds(world: tuple[float, ...]) -> None:
    """800 repeats each."""
    inside, _, error = covered(800, *world)
    assert 0.92 <= inside <= 0.99
    assert abs(error) < 0.006


def _round(images: int, tags: int, w: list[int], g: list[int], **more: int) -> TagRound:
    wrong, given = np.array(w, float), np.array(g, float)
    nothing = dict.fromkeys(("found", "others", "told", "told_wrong", "told_squares"), 0)
    sums = [float(value.sum()) for value in (given, wrong, given**2, given * wrong, wrong**2)]
    return TagRound(images, tags, len(w), *sums, **(nothing | more))


def test_one_round_is_the_share_among_the_drawn() -> None:
    """3 of 10 tags of 5 images are wrong; 100 images have 200 tags, as many each as the drawn ones."""
    rate = pooled_tag_rate([_round(100, 200, [1, 0, 2, 0, 0], [2, 2, 2, 2, 2])])
    assert rate.value == pytest.approx(0.3)
    assert rate.drawn == 5
    assert rate.interval is not None


def test_images_with_more_tags_than_the_drawn_are_allowed_for() -> None:
    """r = 0.3, all residuals 0 in the mean: 0.3 of 300 tags, though the drawn images have two each and all have three."""
    assert pooled_tag_rate([_round(100, 300, [1, 0, 2, 0, 0], [2, 2, 2, 2, 2])]).value == pytest.approx(0.3)


def test_rounds_by_hand() -> None:
    """Of 20 images with 40 tags 4 are drawn: r = 2/8. 6 are chosen by score, 5 wrong found, 4 others, of which the drawn
    ones stand for 2 wrong. Of the 10 left with 20 tags 4 are drawn, 1 of 8 wrong; r = 3/16 of both.

    T_1 = 7.5 + 20 (2 - 1.5) / 4 = 10; K_2 = 2 + 5 + 2 = 9, T_2 = 9 + 3.75 + 10 (1 - 1.5) / 4 = 11.5;
    a_1 = 4 / (20 * 16) = 1/80, a_2 = 4 / (10 * 6) = 1/15: T = (10/80 + 11.5/15) / (1/80 + 1/15) = 11.263...
    """
    first = _round(20, 40, [1, 1, 0, 0], [2, 2, 2, 2], found=5, others=4, told=4, told_wrong=2, told_squares=8)
    second = _round(10, 20, [0, 1, 0, 0], [2, 2, 2, 2])
    expected = (10 / 80 + 11.5 / 15) / (1 / 80 + 1 / 15) / 40
    rate = pooled_tag_rate([first, second])
    assert rate.value == pytest.approx(expected)
    # half of the others' drawn tags were not answered: those that were stand for them
    half = replace(first, told=2, told_wrong=1, told_squares=4)
    assert pooled_tag_rate([half, second]).value == pytest.approx(expected)
    assert rate.interval is not None
    assert rate.interval[0] >= (2 + 5 + 1) / 40  # so many are known


def test_nothing_drawn_tells_nothing() -> None:
    assert math.isnan(pooled_tag_rate([]).value)
    assert math.isnan(pooled_tag_rate([_round(10, 20, [], [])]).value)
    few = pooled_tag_rate([_round(1000, 2000, [1, 0, 0], [2, 2, 2])])
    assert few.interval is None
    none = pooled_tag_rate([_round(1000, 2000, [0] * 50, [2] * 50)])
    assert none.value == 0
    assert none.interval is not None
    assert 0.02 < none.interval[1] < 0.1
