"""Intervals by hand, by Wilson's formula and by exact sums; how often they cover is in test_coverage.py."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from nlcli.metrics import intervals as of
from nlcli.metrics.intervals import Support, difference_interval, metric_interval

Z = stats.norm.ppf(0.975)


def replicates(*sds: float, mean: float = 0.5) -> np.ndarray:
    """Two resamples a seed whose standard deviation (one degree of freedom less) is as asked for."""
    return np.array([[mean - sd / math.sqrt(2), mean + sd / math.sqrt(2)] for sd in sds])


def test_a_share_has_wilsons_interval():
    for right, images in ((8, 10), (30, 30), (0, 12), (150, 1000)):
        expected = stats.binomtest(right, images).proportion_ci(method="wilson")
        found = metric_interval(right / images, replicates(0.3)[0], of.share_support(images))
        assert found == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_a_mean_over_three_seeds_has_students_interval():
    low, high = of.seeds_interval(np.array([[0.1, 0.5], [0.2, 0.5], [0.3, 0.5]]))
    half = 4.302652729749464 * 0.1 / math.sqrt(3)  # t of two degrees of freedom, from tables
    np.testing.assert_allclose([low, high], [[0.2 - half, 0.5], [0.2 + half, 0.5]], atol=1e-12)
    with pytest.raises(ValueError, match="2 seeds, fewer than 3"):
        of.seeds_interval(np.array([0.1, 0.2]))


def test_another_metric_has_that_of_the_images_its_variance_stands_for():
    # AP 0.8 with a variance of 0.8 * 0.2 / 40: as a share of 40 images.
    drawn = replicates(math.sqrt(0.16 / 40))[0]
    expected = stats.binomtest(32, 40).proportion_ci(method="wilson")
    assert metric_interval(0.8, drawn, Support(99)) == pytest.approx((expected.low, expected.high), abs=1e-12)
    # Variance doubled and t instead of normal: as a share of 40 / 2 / (t / z)^2.
    low, high = metric_interval(0.8, drawn, Support(99, inflation=2, freedom=5))
    ratio = 2 * stats.t.ppf(0.975, 5) ** 2 / 40
    assert (low + high) / 2 == pytest.approx((0.8 + ratio / 2) / (1 + ratio))
    # No resample moves a metric that is 1 everywhere; the positives are all that is known.
    expected = stats.binomtest(20, 20).proportion_ci(method="wilson")
    assert metric_interval(1.0, np.ones(9), Support(20)) == pytest.approx((expected.low, 1.0), abs=1e-12)


def test_few_positives_have_none_and_say_why():
    assert metric_interval(0.5, replicates(0.1)[0], of.ranking_support(4)) is None
    assert of.ranking_support(4).too_few == "4 positives, fewer than 5"
    assert of.area_support(100, 3).too_few == "3 labels of the rarer kind, fewer than 5"
    assert of.ranking_support(5).too_few is None
    assert metric_interval(math.nan, replicates(0.1)[0], Support(50)) is None
    one = of.classes_support([0, 3], np.random.default_rng(0).random((50, 2)))
    assert one.too_few is None, "three positives are enough for one class"
    assert one.freedom == 2
    assert of.classes_support([2], np.ones((50, 1))).too_few == "2 positives, fewer than 3"
    # Shares of few images are too coarse to be told apart.
    drawn, other = replicates(0.1)[0], replicates(0.2)[0]
    assert difference_interval(0.5, drawn, 0.4, other, of.share_support(49)) is None
    assert difference_interval(0.5, drawn, 0.4, other, of.share_support(50)) is not None
    assert of.share_support(49).too_few_to_differ == "49 images, fewer than 50"
    assert difference_interval(0.5, drawn, 0.4, other, of.area_support(20, 14)) is None


def test_what_resampling_misses_by_brute_force():
    """The deficit is the values' own variance over that of all means that a Poisson bootstrap can draw."""
    for n in (2, 3):
        values = np.random.default_rng(n).normal(size=n)
        mean = mean_square = weight = 0.0
        for drawn in itertools.product(range(14), repeat=n):
            if sum(drawn):
                chance = math.prod(stats.poisson.pmf(k, 1) for k in drawn)
                value = float(np.dot(drawn, values)) / sum(drawn)
                mean, mean_square, weight = mean + chance * value, mean_square + chance * value**2, weight + chance
        variance = mean_square / weight - (mean / weight) ** 2
        assert of.resampling_deficit([n])[0] == pytest.approx(values.var(ddof=1) / n / variance, rel=1e-6)
    assert of.resampling_deficit([20, 99, 100, 10**6]).tolist() == [1, 1, 1, 1]


def test_a_class_with_one_positive_varies_as_the_others():
    drawn = np.stack(
        [np.tile([0.2, 0.6], 50), np.tile([0.5, 0.9], 50), np.full(100, 0.4), np.full(100, np.nan)], axis=1
    )
    variance = drawn[:, 0].var(ddof=1)
    right = variance * of.resampling_deficit([2, 3])
    support = of.classes_support([2, 3, 1, 0], drawn)
    assert support.count == 6
    assert support.inflation == pytest.approx((right.sum() + right.mean()) / (2 * variance))
    assert support.paired_inflation == pytest.approx(right.sum() / (2 * variance))
    assert math.isinf(support.freedom)
    assert of.classes_support([1, 1, 4], np.ones((10, 3))).inflation == 1


def test_paired_difference():
    rng = np.random.default_rng(0)
    first = rng.normal(0.6, 0.1, 2000)
    second = first - 0.1 + rng.normal(0, 0.01, 2000)
    half = (first - second).std(ddof=1)
    support = Support(500, inflation=1.5)  # of one model, not of a difference
    assert difference_interval(0.6, first, 0.5, second, support) == pytest.approx(
        (0.1 - Z * half, 0.1 + Z * half), abs=1e-12
    )
    found = difference_interval(0.6, first, 0.5, second, Support(11, freedom=10))
    wide = stats.t.ppf(0.975, 20) * half
    assert found == pytest.approx((0.1 - wide, 0.1 + wide), abs=1e-12)
    found = difference_interval(0.6, first, 0.5, second, Support(500, paired_inflation=4))
    assert found == pytest.approx((0.1 - 2 * Z * half, 0.1 + 2 * Z * half), abs=1e-12)
    # A resample that lacks the class of either counts for neither.
    first[::2] = np.nan
    half = Z * (first - second)[1::2].std(ddof=1)
    assert difference_interval(0.6, first, 0.5, second, support) == pytest.approx((0.1 - half, 0.1 + half), abs=1e-12)


def test_models_that_no_image_tells_apart_may_still_differ():
    same = replicates(0.05)[0]
    low, high = difference_interval(0.5, same, 0.5, same, of.share_support(99))
    # One image more, half of which tells them apart: variance 1/2 / 100^2.
    assert (low, high) == pytest.approx((-Z * math.sqrt(0.5) / 100, Z * math.sqrt(0.5) / 100))
    low, high = difference_interval(0.5, same, 0.5, same, Support(48))
    assert (low, high) == pytest.approx((-Z / 50, Z / 50))


def test_seeds_share_the_images_and_spread_by_themselves():
    """Images move all seeds together (covariance c), each seed has its own part: only c is the images'."""
    rng = np.random.default_rng(1)
    images = rng.normal(0, 0.02, 4000)
    drawn = 0.5 + images + rng.normal(0, 0.05, (3, 4000))
    values = np.array([0.48, 0.5, 0.55])
    covariance = np.cov(drawn)
    shared = covariance[np.triu_indices(3, 1)].mean()
    margin = Z**2 * shared + stats.t.ppf(0.975, 2) ** 2 * values.var(ddof=1) / 3
    ratio = margin / (0.51 * 0.49)
    low, high = metric_interval(values, drawn, Support(1000))
    assert (low + high) / 2 == pytest.approx((0.51 + ratio / 2) / (1 + ratio))
    assert high - low == pytest.approx(2 * math.sqrt(ratio * 0.51 * 0.49 + ratio**2 / 4) / (1 + ratio))
    # The images cancel from the difference of two models; the seeds' spread is pooled.
    others = np.array([0.47, 0.44, 0.5])
    low, high = difference_interval(values, drawn, others, 0.47 + images + np.zeros((3, 1)), Support(1000))
    pooled = (values.var(ddof=1) + others.var(ddof=1)) / 2
    seeds = stats.t.ppf(0.975, 4) * math.sqrt(pooled * 2 / 3)
    assert (high - low) / 2 == pytest.approx(seeds, rel=0.02)
    assert (low + high) / 2 == pytest.approx(0.51 - 0.47)


def test_one_seed_beside_several_and_unequal_spreads():
    flat = np.full((3, 2), 0.5)
    values = np.array([0.4, 0.5, 0.6])  # variance 0.01
    low, high = difference_interval(values, flat, 0.3, flat[0], Support(10**9))
    assert (high - low) / 2 == pytest.approx(stats.t.ppf(0.975, 2) * math.sqrt(0.01 * (1 / 3 + 1)), rel=1e-6)
    # Spreads that an F test tells apart are not pooled: the degrees of freedom are those of the wide one.
    low, high = difference_interval(values, flat, np.full(3, 0.3), flat, Support(10**9))
    assert (high - low) / 2 == pytest.approx(stats.t.ppf(0.975, 2) * math.sqrt(0.01 / 3), rel=1e-6)
    with pytest.raises(ValueError, match="3 values and replicates of 1 seeds"):
        metric_interval(values, flat[0], Support(50))


def test_ends_stay_on_the_scale_and_hold_the_value():
    for value in (0.0, 0.003, 0.5, 0.999, 1.0):
        for sd in (0.0, 0.01, 0.4):
            low, high = metric_interval(value, replicates(sd)[0], Support(7, freedom=6))
            assert 0 <= low <= value <= high <= 1


def test_every_class_has_its_own():
    drawn = np.random.default_rng(2).normal(0.5, 0.05, (300, 4))
    values, counts = np.array([0.5, 0.25, 0.7, math.nan]), np.array([2, 8, 5, 0])
    low, high = of.class_intervals(values, drawn, counts)
    assert np.isnan(low).tolist() == np.isnan(high).tolist() == [True, False, False, True]
    assert (low[1], high[1]) == metric_interval(0.25, drawn[:, 1], of.classes_support([8], drawn[:, [1]]))
    low, high = of.class_intervals(values, drawn, counts, shares=True)
    expected = stats.binomtest(2, 8).proportion_ci(method="wilson")
    assert (low[1], high[1]) == pytest.approx((expected.low, expected.high), abs=1e-12)
