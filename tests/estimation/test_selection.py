"""Choosing among candidates: sums done by hand, and simulated draws whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nlcli.estimation.selection import Difference, select
from nlcli.metrics.intervals import metric_interval, share_support


def test_difference_by_hand() -> None:
    # Differences 1, 0, 2, 1: mean 1, variance (0 + 1 + 1 + 0) / 3, error sqrt(2 / 3 / 4).
    difference = Difference.of([3.0, 1.0, 4.0, 2.5], [2.0, 1.0, 2.0, 1.5])
    assert difference.mean == pytest.approx(1.0)
    assert difference.error == pytest.approx(math.sqrt(1 / 6))
    low, high = difference.interval()
    assert (high - low) / 2 == pytest.approx(3.182446 * math.sqrt(1 / 6), rel=1e-6)  # t, 3 degrees of freedom
    # (1.959964 + 0.841621)^2 * 4 * error^2 / mean^2 = 7.848879 * 4 / 6
    assert difference.images_to_tell() == math.ceil(7.848879 * 4 / 6)


def test_shares_that_never_differ_could_differ() -> None:
    difference = Difference.of([1, 0, 1], [1, 0, 1])
    assert difference.mean == 0
    assert difference.error == pytest.approx(math.sqrt(0.5 / 16))
    assert difference.images_to_tell() is None


def test_nothing_is_known_of_one_image() -> None:
    difference = Difference.of([0.3], [0.1])
    assert difference.error == math.inf
    assert difference.images_to_tell() is None
    assert difference.interval() == (-math.inf, math.inf)
    assert Difference.of([], []).mean == 0


def test_the_simplest_within_one_error_is_kept() -> None:
    rng = np.random.default_rng(0)
    hardness = rng.normal(size=400)
    noise = rng.normal(size=(2, 400))
    scores = {
        "poor": hardness - 1.0 + 0.1 * noise[0],
        "simple": hardness - 0.001 + 0.1 * noise[0],
        "best": hardness + 0.1 * (noise[1] - noise[1].mean() + noise[0].mean()),
    }
    selection = select(scores)
    assert selection.best == "best"
    assert selection["simple"].behind.mean == pytest.approx(0.001)
    assert selection.chosen == "simple"
    assert select(scores, errors_behind=0).chosen == "best"
    assert select(scores, eligible=["poor"]).chosen == "poor"
    # How hard an image is cancels: unpaired, the error were above 0.05.
    assert selection["poor"].behind.error < 0.01
    assert selection.better
    assert not select(scores, baseline="simple").better


def test_of_equal_ones_the_simplest() -> None:
    selection = select({"a": [1, 0, 1], "b": [1, 1, 0]})
    assert (selection.best, selection.chosen, selection.better) == ("a", "a", False)
    assert selection.images_to_tell is None


def test_no_image_keeps_the_simplest() -> None:
    selection = select({"a": [], "b": []})
    assert (selection.chosen, selection.scores, selection.better) == ("a", 0, False)
    assert selection["a"].interval is None


def test_the_mean_of_shares_has_their_interval() -> None:
    values = np.repeat([1, 0], [70, 30])
    assert select({"a": values})["a"].interval == metric_interval(0.7, [0.7], share_support(100))


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({}, "no candidate"),
        ({"a": [1.0], "b": [1.0, 2.0]}, "different images"),
        ({"a": [1.0, math.nan]}, "a score of a is not finite"),
    ],
)
def test_what_cannot_be_compared(scores: dict[str, list[float]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        select(scores)


def test_intervals_of_differences_cover() -> None:
    """Top-1 of two classifiers that are right on 70 % and 75 % and agree on most images."""
    rng = np.random.default_rng(1)
    for count, most in ((30, 1000), (200, 985)):  # of 30 images, often none differs: wider than needed
        covered = 0
        for _ in range(1000):
            both, one, other = (rng.random(count) < share for share in (0.8, 0.75, 0.8))
            common = rng.random(count) < 0.725
            first = np.where(both, common, one)
            second = np.where(both, common, other)
            # Expected: 0.2 * (0.8 - 0.75) = 0.01.
            low, high = Difference.of(second, first).interval()
            covered += low <= 0.01 <= high
        assert 930 <= covered <= most


def test_of_alike_candidates_none_is_called_better() -> None:
    """Five candidates of the same expectation: the best of them looks better, and is called so in few draws."""
    rng = np.random.default_rng(2)
    called = 0
    for _ in range(600):
        scores = {str(k): (rng.random(150) < 0.7).astype(float) for k in range(5)}
        called += select(scores, errors_behind=0).better
    assert called <= 30  # 2.5 % expected at most, 5 % is 4 standard deviations above


def test_images_to_tell_do_tell() -> None:
    """The number of images told from one draw, taken, tells in four of five draws."""
    rng = np.random.default_rng(3)

    def draw(count: int) -> dict[str, np.ndarray]:
        base = rng.normal(size=count)
        return {"base": base, "better": base + 0.1 + rng.normal(size=count)}

    wanted = select(draw(100_000)).images_to_tell
    assert wanted is not None
    # (1.959964 + 0.841621)^2 / 0.1^2 = 785
    assert wanted == pytest.approx(785, rel=0.06)
    told = np.mean([select(draw(wanted), errors_behind=0).better for _ in range(500)])
    assert told == pytest.approx(0.8, abs=0.07)
