"""The expected calibration error against sums by hand, and what chance makes of it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nlcli.metrics.expected_calibration import ProbabilityBins


def test_the_error_is_a_sum_by_hand() -> None:
    """0.1 and 0.15 share a bin, of which one is so: 0.25 - 1; 0.85 is in one of its own: 0.85 - 1; 1 is in the last."""
    bins = ProbabilityBins(np.array([0.1, 0.15, 0.85, 1.0]), np.array([False, True, True, False]))
    assert bins.place.tolist() == [1, 1, 8, 9]
    assert bins.error() == pytest.approx((0.75 + 0.15 + 1.0) / 4)
    assert bins.error(np.array([2, 0, 1, 0])) == pytest.approx((0.2 + 0.15) / 3)
    assert math.isnan(bins.error(np.zeros(4)))


def test_nothing_has_no_error() -> None:
    nothing = ProbabilityBins(np.empty(0), np.empty(0, bool))
    assert math.isnan(nothing.error())
    assert math.isnan(nothing.by_chance())


def test_chance_alone_is_foretold() -> None:
    """Labels that are as probable as is said have, on average over draws, the error that is told beforehand."""
    rng = np.random.default_rng(0)
    probability = rng.random(400)
    foretold = ProbabilityBins(probability, np.zeros(400, bool)).by_chance()
    drawn = [ProbabilityBins(probability, rng.random(400) < probability).error() for _ in range(2000)]
    spread = float(np.std(drawn)) / math.sqrt(len(drawn))
    assert foretold == pytest.approx(np.mean(drawn), abs=0.02 * foretold + 4 * spread)
