"""Calibrated probabilities against hand-computed values, scikit-learn and simulated truth."""

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from nlcli.estimation.calibration import calibrate, cross_calibrated, log_odds, sigmoid


def simulated(rng, count, shifts):
    classes = rng.integers(len(shifts), size=count)
    z = rng.normal(-0.5, 2.0, count)
    labels = rng.random(count) < sigmoid(z + shifts[classes])
    return z, labels, classes


def test_an_isotonic_curve_by_hand():
    # Scores 1 to 6 with labels 0 1 0 1 1 1: the pair 1, 0 is pooled to 1/2; ends have Laplace's rule (blocks of 1 and 3).
    curve = calibrate([1, 2, 3, 4, 5, 6], [0, 1, 0, 1, 1, 1], enough=1)
    assert curve.kind == "isotonic"
    expected = [1 / 3, 1 / 2, 1 / 2, 4 / 5, 4 / 5, 4 / 5]
    np.testing.assert_allclose(curve.probability([1, 2, 3, 4, 5, 6]), expected, atol=1e-3)
    assert (np.diff(curve.probability([4, 5, 6])) > 0).all()  # equal ones keep the order of their scores
    # Between blocks the log-odds are linear, outside of them constant.
    np.testing.assert_allclose(curve.probability([0, 3.5, 9]), [1 / 3, sigmoid(0.5 * np.log(4)), 4 / 5], atol=1e-3)


def test_an_isotonic_curve_is_scikit_learns_between_its_ends():
    rng = np.random.default_rng(0)
    z, labels, _ = simulated(rng, 4000, np.zeros(1))
    ours = calibrate(z, labels)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(z, labels).predict(z)
    assert ours.kind == "isotonic"
    inside = (theirs > 0) & (theirs < 1)
    assert inside.sum() > 2000
    np.testing.assert_allclose(ours.probability(z)[inside], theirs[inside], atol=2e-3)
    ends = ours.probability([-99, 99])
    assert 0 < ends[0] < 0.05
    assert 0.9 < ends[1] < 1


def test_a_sigmoid_is_the_optimum_of_the_smoothed_targets():
    rng = np.random.default_rng(1)
    z, labels, _ = simulated(rng, 300, np.zeros(1))
    ours = calibrate(z, labels)
    assert ours.kind == "sigmoid"
    ones, zeros = int(labels.sum()), int((~labels).sum())
    target = np.where(labels, (ones + 1) / (ones + 2), 1 / (zeros + 2))
    # A soft target is a one and a zero, weighted.
    x = np.concatenate([z, z])[:, None]
    weight = np.concatenate([target, 1 - target])
    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
    theirs.fit(x, np.repeat([1, 0], len(z)), sample_weight=weight)
    assert ours.slope == pytest.approx(theirs.coef_[0, 0], rel=1e-4)
    assert ours.intercept == pytest.approx(theirs.intercept_[0], abs=1e-4)


@pytest.mark.parametrize("labels", [[1, 1, 1], [0, 0, 0]])
def test_labels_of_one_kind_give_laplaces_rule(labels):
    probability = calibrate([3.0, 2.0, 1.0], labels).probability([0.0, 9.0])
    np.testing.assert_allclose(probability, [4 / 5, 4 / 5] if labels[0] else [1 / 5, 1 / 5], rtol=1e-6)


def test_equal_scores_and_scores_that_run_backwards_give_the_share():
    for scores in ([1, 1, 1, 1], [1, 2, 3, 4]):
        curve = calibrate(scores, [1, 1, 0, 0])
        assert curve.slope == 0
        np.testing.assert_allclose(curve.probability([-5, 5]), [0.5, 0.5], atol=1e-9)


@pytest.mark.parametrize("count", [600, 20_000])
def test_probabilities_are_as_often_right_as_they_say(count):
    rng = np.random.default_rng(2)
    shifts = np.array([-1.5, 0.0, 0.5, 1.5])
    curve = calibrate(*simulated(rng, count, shifts), 4)
    z, labels, classes = simulated(rng, 40_000, shifts)
    p = curve.probability(z, classes)
    tenth = np.minimum((10 * p).astype(int), 9)
    gaps = [abs(float(np.sum(labels[tenth == i] - p[tenth == i]))) for i in range(10)]
    assert sum(gaps) / len(p) < (0.06 if count == 600 else 0.015)  # the expected calibration error
    for c in range(4):  # the classes' shares, too, which the curve alone does not have
        assert abs(labels[classes == c].mean() - p[classes == c].mean()) < (0.08 if count == 600 else 0.02)


def test_shifts_shrink_with_what_classes_have_to_tell():
    rng = np.random.default_rng(3)
    truth = np.array([-2.0, 2.0, *np.zeros(8)])
    many = calibrate(*simulated(rng, 40_000, truth), 12).shifts
    np.testing.assert_allclose(many[:10] - many[2:10].mean(), truth, atol=0.25)
    assert (many[10:] == 0).all()  # classes without an entry
    alike = calibrate(*simulated(rng, 2000, np.zeros(10)), 10).shifts
    assert np.abs(alike).max() < 0.2


def test_a_cross_fitted_probability_owes_nothing_to_its_own_fold():
    rng = np.random.default_rng(4)
    z, labels, classes = simulated(rng, 400, np.zeros(3))
    fold = np.arange(400) % 4
    before = cross_calibrated(z, labels, fold, classes, 3)
    changed = np.where(fold == 1, ~labels, labels)
    after = cross_calibrated(z, changed, fold, classes, 3)
    np.testing.assert_array_equal(before[fold == 1], after[fold == 1])
    assert not np.array_equal(before[fold == 0], after[fold == 0])
    expected = calibrate(z[fold != 2], labels[fold != 2], classes[fold != 2], 3).probability(z, classes)
    np.testing.assert_array_equal(before[fold == 2], expected[fold == 2])
    with pytest.raises(ValueError, match="two folds"):
        cross_calibrated(z, labels, np.zeros(400))


def test_log_odds_and_sigmoid_are_inverse():
    p = np.array([0.0, 1e-3, 0.5, 0.999, 1.0])
    np.testing.assert_allclose(sigmoid(log_odds(p)), [1e-6, 1e-3, 0.5, 0.999, 1 - 1e-6])
    assert np.isfinite(sigmoid([-1e9, 1e9])).all()


def test_very_many_labels_are_fitted_in_groups_as_each_alone(monkeypatch):
    rng = np.random.default_rng(5)
    z, labels, classes = simulated(rng, 30_000, rng.normal(0, 0.7, 20))
    alone = calibrate(z, labels, classes, 20, enough=10**9)
    monkeypatch.setattr("nlcli.estimation.calibration.MOST_ALONE", 1000)
    grouped = calibrate(z, labels, classes, 20, enough=10**9)
    assert grouped.slope != alone.slope, "the patch has an effect"
    assert grouped.slope == pytest.approx(alone.slope, rel=1e-3)
    np.testing.assert_allclose(grouped.shifts, alone.shifts, atol=2e-3)
    np.testing.assert_allclose(grouped.probability(z, classes), alone.probability(z, classes), atol=5e-4)
