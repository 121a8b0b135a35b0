"""Thresholds and error rates of detections."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from nlcli.detection.threshold import (
    best_threshold,
    class_errors,
    class_weights,
    cross_fitted,
    error_rates,
    folds,
    own_unless_believing,
)
from nlcli.metrics.bootstrap import resample_weights
from nlcli.metrics.intervals import Support, metric_interval


def average_error(score: np.ndarray, label: np.ndarray, noisy: np.ndarray, delta: float) -> float:
    """Mean over classes of the error rate, written as the paper says it."""
    wrong = (score >= delta) != (label == 1)
    return float(np.mean([wrong[noisy == c].mean() for c in np.unique(noisy)]))


# --- the threshold ---------------------------------------------------------------------------

_images = st.lists(st.tuples(st.integers(-4, 4), st.booleans(), st.integers(0, 3)), min_size=1, max_size=25)


@given(_images)
@settings(max_examples=300, deadline=None)
def test_threshold_is_the_best_of_all(images: list[tuple[int, bool, int]]) -> None:
    score, label, noisy = (np.array(column) for column in zip(*images, strict=True))
    label = label.astype(np.int8)
    delta, error = best_threshold(score, label, noisy)
    tried = [average_error(score, label, noisy, d) for d in np.arange(-5, 6) - 0.5]
    assert error == pytest.approx(min(tried), abs=1e-12)
    assert average_error(score, label, noisy, delta) == pytest.approx(error, abs=1e-12)
    assert delta not in score  # where rounding would decide


def test_threshold_weighs_classes_alike() -> None:
    # Class 0: one wrong label at 0.6. Class 1: 10 right ones at 0.5, one at 0.9. Below 0.5 class 0 is all wrong;
    # between 0.6 and 0.9 class 1 has 10 of 11 wrong: 0.5 against 5/11.
    score = np.array([0.6] + [0.5] * 10 + [0.9])
    label, noisy = np.array([0] + [1] * 11), np.array([0] + [1] * 11)
    delta, error = best_threshold(score, label, noisy)
    assert delta == pytest.approx(0.75)
    assert error == pytest.approx(5 / 11)
    delta, error = best_threshold(score, label, np.zeros(12))  # by images, one error is better than ten
    assert delta < 0.5
    assert error == pytest.approx(1 / 12)
    np.testing.assert_allclose(class_weights(noisy), [1 / 2] + [1 / 22] * 11)


def test_of_equal_thresholds_the_widest_gap() -> None:
    score = np.array([0.0, 0.1, 0.4, 0.6])
    delta, error = best_threshold(score, np.array([0, 1, 0, 1]), np.zeros(4))  # one error at 0.05 and at 0.5
    assert error == 0.25
    assert delta == pytest.approx(0.5)
    delta, _ = best_threshold(score, np.array([0, 0, 1, 1]), np.zeros(4))
    assert delta == pytest.approx(0.25)
    delta, error = best_threshold(score, np.ones(4), np.zeros(4))  # nothing to part: all are right
    assert delta < 0
    assert error == 0
    delta, error = best_threshold(np.ones(3), np.zeros(3), np.zeros(3))
    assert delta > 1
    assert error == 0


def test_threshold_of_many_images_needs_no_quadratic_time() -> None:
    rng = np.random.default_rng(0)
    label, noisy = (rng.random(400_000) < 0.7).astype(np.int8), rng.integers(100, size=400_000)
    score = (rng.normal(size=400_000) + 2 * label).astype(np.float32)
    delta, error = best_threshold(score, label, noisy)
    assert error == pytest.approx(average_error(score, label, noisy, delta), abs=1e-9)
    assert 0.3 < delta < 0.9  # where 0.7 N(2, 1) and 0.3 N(0, 1) cross: 1 - log(7/3)/2


def test_folds_part_every_class_alike() -> None:
    noisy = np.repeat([0, 1, 2], [23, 10, 4])
    fold = folds(noisy, 0)
    for c in range(3):
        counts = np.bincount(fold[noisy == c], minlength=5)
        assert counts.max() - counts.min() <= 1
    assert np.array_equal(np.sort(np.bincount(fold)), [7, 7, 7, 8, 8])
    assert not np.array_equal(fold, folds(noisy, 1))
    np.testing.assert_array_equal(fold, folds(noisy, 0))


def test_its_own_threshold_stands_where_it_errs_less_than_believing() -> None:
    # Class 0: two of four wrong, both below 0.5, and a right one, too: 1/4 instead of 2/4. Class 1: one right label below.
    score = np.array([0.1, 0.4, 0.3, 0.9, 0.8, 0.2])
    label, noisy = np.array([0, 0, 1, 1, 1, 1]), np.array([0, 0, 0, 0, 1, 1])
    assert own_unless_believing(score, label, noisy, 0.5) == (
        -np.inf,
        0.25,
    )  # (1/4 + 1/2) / 2 is more than (2/4 + 0) / 2
    assert own_unless_believing(score[:5], label[:5], noisy[:5], 0.5) == (0.5, 0.125)
    assert own_unless_believing(score, label, noisy, 0.25) == (-np.inf, 0.25)
    assert own_unless_believing(score, np.ones(6, int), noisy, 0.05) == (
        -np.inf,
        0.0,
    )  # as good as believing is no reason


def test_cross_fitting_by_another_choice() -> None:
    # Eight of one class in folds of two, three or fewer: without a wrong label among the others every one is believed.
    score, label, noisy = np.linspace(0.1, 0.8, 8), np.array([0, 1, 1, 1, 1, 1, 1, 1]), np.zeros(8, int)
    found = cross_fitted(score, label, noisy, 3, lambda s, l, n: own_unless_believing(s, l, n, 0.15))
    assert found is not None
    alone = folds(noisy, 3)[0]
    for place, fold in enumerate(folds(noisy, 3)):
        assert found[place] == (fold == alone or score[place] >= 0.15)


def test_cross_fitting_judges_no_image_by_itself() -> None:
    rng = np.random.default_rng(3)
    noisy = rng.integers(4, size=60)
    label = (rng.random(60) < 0.6).astype(np.int8)
    score = rng.normal(size=60) + label
    found, fold = cross_fitted(score, label, noisy, 7), folds(noisy, 7)
    for number in range(5):
        inside, other = fold == number, fold != number
        delta, _ = best_threshold(score[other], label[other], noisy[other])
        np.testing.assert_array_equal(found[inside], score[inside] >= delta)
        changed = np.where(inside, 1 - label, label)
        np.testing.assert_array_equal(cross_fitted(score, changed, noisy, 7)[inside], found[inside])
    assert cross_fitted(score[:1], label[:1], noisy[:1], 0) is None
    assert len(cross_fitted(score[:2], label[:2], noisy[:2], 0)) == 2


# --- error rates -----------------------------------------------------------------------------


def test_error_rates_by_hand() -> None:
    # Class 2: four images, one wrong label missed, one right label rejected. Class 5: one image, well judged.
    verdict, label = np.array([1, 1, 0, 1, 0]), np.array([1, 0, 1, 1, 0])
    noisy, held_out = np.array([2, 2, 2, 2, 5]), np.arange(6) == 5
    of_classes = class_errors(verdict, label, noisy, "abcdef", held_out)
    rates = error_rates(of_classes)
    assert rates is not None
    wilson = binomtest(2, 5).proportion_ci(method="wilson")
    assert rates.micro_interval == pytest.approx((wilson.low, wilson.high))
    assert rates.average_interval is not None
    assert rates.average_interval[0] <= 0.25 <= rates.average_interval[1]
    assert rates.model_dump(exclude={"micro_interval", "average_interval"}) == {
        "images": 5,
        "wrong": 2,
        "classes": 2,
        "average": pytest.approx(0.25),
        "micro": pytest.approx(0.4),
        "naive_average": pytest.approx((0.25 + 1) / 2),
        "naive_micro": pytest.approx(0.4),
    }
    assert [c.model_dump() for c in of_classes] == [
        {
            "name": "c",
            "held_out": False,
            "images": 4,
            "wrong": 1,
            "error": 0.5,
            "naive_error": 0.25,
            "missed": 1,
            "rejected": 1,
        },
        {
            "name": "f",
            "held_out": True,
            "images": 1,
            "wrong": 1,
            "error": 0.0,
            "naive_error": 1.0,
            "missed": 0,
            "rejected": 0,
        },
    ]
    assert error_rates(()) is None
    assert class_errors(verdict[:0], label[:0], noisy[:0], "abcdef", held_out) == ()


def test_intervals_of_error_rates_are_those_of_resampled_images() -> None:
    """Resampling the counts of classes and verdicts is resampling the images."""
    rng = np.random.default_rng(0)
    noisy = rng.integers(4, size=160)
    label, verdict = (rng.random(160) < 0.7).astype(np.int8), (rng.random(160) < 0.8).astype(np.int8)
    rates = error_rates(class_errors(verdict, label, noisy, "abcd", np.zeros(4, bool)))
    assert rates is not None
    assert rates.average_interval is not None
    wrongly, average = verdict != label, []
    for weights in resample_weights(160, 0, 2000, 1):
        of_classes = [np.average(wrongly[noisy == c], weights=weights[noisy == c]) for c in range(4)]
        average.append(np.mean(of_classes))
    support = Support(160, counted="images")
    expected = metric_interval(rates.average, np.array(average), support)
    assert rates.average_interval == pytest.approx(expected, abs=0.006)


def test_too_few_images_have_no_interval() -> None:
    verdict, label = np.array([1, 1, 0, 1]), np.array([1, 0, 1, 1])
    rates = error_rates(class_errors(verdict, label, np.array([0, 0, 1, 1]), "ab", np.zeros(2, bool)))
    assert rates is not None
    assert (rates.images, rates.average_interval, rates.micro_interval) == (4, None, None)
