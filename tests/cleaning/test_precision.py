"""Thresholds by hand, and by simulation: the claimed precision lies in its interval in 19 of 20 planted runs."""

from __future__ import annotations

import numpy as np
import pytest

from nlcli.cleaning.precision import lowest_threshold, measure
from nlcli.seeds import stream


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float64)


def test_the_mean_of_the_changes_is_what_is_asked() -> None:
    probability = floats(0.6, 0.9, 0.95, 0.7, 0.99)
    verified, right = np.full(10, 0.995), np.ones(10, bool)
    # From the top: 0.99; 0.97; 0.9467; 0.885; 0.828.
    assert lowest_threshold(probability, verified, right, 0.94) == 0.9
    assert lowest_threshold(probability, verified, right, 0.85) == 0.7
    assert lowest_threshold(probability, verified, right, 0.80) == 0.6
    assert lowest_threshold(probability, verified, right, 0.995) is None


def test_equal_probabilities_are_taken_together() -> None:
    probability = floats(0.95, 0.8, 0.8, 0.8)
    verified, right = np.full(10, 0.99), np.ones(10, bool)
    # Two of them would have the mean 0.875, all have 0.8375.
    assert lowest_threshold(probability, verified, right, 0.85) == 0.95


def test_verified_images_raise_the_threshold() -> None:
    probability = np.full(100, 0.95)
    probability[:50] = 0.99
    verified = np.repeat(floats(0.99, 0.95), 10)
    right = np.array([True] * 9 + [False] + [True] * 5 + [False] * 5)
    # 9 of 10 from 0.99 on, 14 of 20 from 0.95 on.
    assert lowest_threshold(probability, verified, right, 0.7) == 0.95
    assert lowest_threshold(probability, verified, right, 0.75) == 0.99
    assert lowest_threshold(probability, verified, right, 0.95) is None


def test_too_few_verified_images_choose_nothing() -> None:
    probability, verified = np.full(100, 0.95), np.full(4, 0.96)
    assert lowest_threshold(probability, verified, np.ones(4, bool), 0.9) is None
    assert lowest_threshold(probability, np.full(5, 0.96), np.ones(5, bool), 0.9) == 0.95


def test_measured() -> None:
    """Wilson's interval of 9 of 10 is 0.596 to 0.982 (Newcombe 1998 gives the formula)."""
    verified = np.concatenate([np.full(10, 0.9), np.full(5, 0.5)])
    right = np.array([True] * 9 + [False] * 6)
    measured = measure(verified, right, 0.9, np.arange(15))
    assert (measured.right, measured.images, measured.share) == (9, 10, 0.9)
    assert measured.interval == pytest.approx((0.5958, 0.9821), abs=1e-4)
    assert measure(verified, right, 0.95, np.arange(15)) == (0, 0, None)
    assert measure(verified[:4], right[:4], 0.5, np.arange(4)).interval is None


@pytest.mark.parametrize("verified", [60, 150, 400])
@pytest.mark.parametrize("sharper", [1.0, 2.0])
def test_the_claim_lies_in_its_interval_in_19_of_20(verified: int, sharper: float) -> None:
    """Changes are right with their probability, or (``sharper`` 2) with one that promises too much."""
    runs, held, precisions = 500, [], []
    for run in range(runs):
        rng = stream(run, "claims", verified)
        chance = rng.beta(2, 1, 2000 + verified)
        right = rng.random(len(chance)) < chance
        said = 1 / (1 + ((1 - chance) / chance) ** sharper)
        likelier = said > 0.5
        told = np.arange(len(chance)) < verified
        probability, of_verified = said[~told & likelier], said[told & likelier]
        threshold = lowest_threshold(probability, of_verified, right[told & likelier], 0.9)
        if threshold is None:
            continue
        interval = measure(of_verified, right[told & likelier], threshold, np.arange(len(of_verified))).interval
        assert interval is not None
        truth = right[~told & (said >= threshold)].mean()
        held.append(interval[0] <= truth <= interval[1])
        precisions.append(truth)
    assert len(held) > 0.6 * runs
    # 0.95 less three standard errors of the simulation itself.
    assert np.mean(held) >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / len(held))
    assert np.mean(precisions) > (0.89 if sharper == 1 else 0.86)


def test_changes_of_one_image_are_right_or_wrong_together() -> None:
    """60 images with 8 changes each that share most of their luck: 480 independent ones would be an idle promise."""
    held, narrow = [], []
    for run in range(400):
        rng = stream(run, "together")
        luck = rng.random((60, 1)) < 0.8
        known = np.where(rng.random((60, 8)) < 0.7, luck, rng.random((60, 8)) < 0.8).ravel()
        image = np.repeat(np.arange(60), 8)
        interval = measure(np.full(480, 0.9), known, 0.5, image).interval
        apart = measure(np.full(480, 0.9), known, 0.5, np.arange(480)).interval
        assert interval is not None
        assert apart is not None
        held.append(interval[0] <= 0.8 <= interval[1])
        narrow.append(apart[0] <= 0.8 <= apart[1])
    assert np.mean(held) >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / 400)
    assert np.mean(narrow) < 0.8
