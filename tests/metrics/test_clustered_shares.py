"""Shares of entries that come in images: by hand, and how often their intervals cover."""

import math

import numpy as np
import pytest

from nlcli.metrics.clustered_shares import clustered_share
from nlcli.metrics.intervals import metric_interval, share_support


def test_a_share_by_hand():
    # Images with 1 of 2, 0 of 1, 3 of 3 and none: p = 4/6, deviations a - p b: -1/3, -2/3, 1.
    share = clustered_share([1, 0, 3, 0], [2, 1, 3, 0])
    assert (share.value, share.count, share.whole, share.images) == (4 / 6, 4, 6, 3)
    variance = 3 / 2 * (1 / 9 + 4 / 9 + 1) / 36
    independent = (4 / 6) * (2 / 6) / variance
    quantile = 4.302652729911275  # of Student's t, two degrees of freedom
    p, n, z2 = 4 / 6, independent, quantile**2
    middle, half = p + z2 / 2 / n, quantile * math.sqrt(p * (1 - p) / n + z2 / 4 / n**2)
    expected = ((middle - half) / (1 + z2 / n), (middle + half) / (1 + z2 / n))
    assert share.interval == pytest.approx(expected)


def test_one_entry_an_image_is_wilsons_interval():
    part = np.repeat([1, 0], [300, 700])
    share = clustered_share(part, np.ones(1000))
    assert share.interval == pytest.approx(metric_interval(0.3, [0.3], share_support(1000)), abs=2e-4)


def test_all_alike_and_too_few():
    low, high = clustered_share([2] * 10, [2] * 10).interval
    assert high == 1
    assert low == pytest.approx(10 / (10 + 2.2621571628540993**2))  # of ten images, not of twenty entries
    assert clustered_share([1, 1], [2, 2]).interval is None
    assert math.isnan(clustered_share([0], [0]).value)


@pytest.mark.parametrize("images", [20, 200])
def test_intervals_cover_though_entries_go_together(images):
    rng = np.random.default_rng(images)
    covered = 0
    for _ in range(600):
        chance = rng.beta(1.4, 0.6, images)  # of an image's entries, 0.7 on average
        whole = rng.poisson(3, images)
        low, high = clustered_share(rng.binomial(whole, chance), whole).interval
        covered += low <= 0.7 <= high
    assert 0.92 <= covered / 600 <= 0.985
