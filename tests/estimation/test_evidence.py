"""Evidence put together, beside scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression

from nlcli.estimation.evidence import FEWEST, Combination, bounded_log, combine, fit_combination
from nlcli.seeds import stream


def test_bayes_rule_is_weights_of_one() -> None:
    prior, channel = np.array([[0.5, 0.3, 0.2]]), np.array([[0.1, 0.6, 0.3]])
    whole = Combination(np.ones(2), np.zeros(3)).log_probabilities([np.log(prior), np.log(channel)])
    np.testing.assert_allclose(np.exp(whole), [[0.05 / 0.29, 0.18 / 0.29, 0.06 / 0.29]])


def test_no_piece_rules_a_class_out() -> None:
    np.testing.assert_allclose(bounded_log(np.array([0.0, 1e-6, 1.0])), [np.log(1e-6), np.log(1e-6), 0.0])


def test_two_classes_are_a_logistic_regression_of_the_differences() -> None:
    """With the shift as hard to move as the weight of a constant: half of the log-odds' shift goes to each class."""
    random = stream(0, "evidence")
    pieces = [random.normal(size=(200, 2)) for _ in range(3)]
    x = np.stack([piece[:, 1] - piece[:, 0] for piece in pieces], axis=1)
    y = (x @ np.array([1.0, -0.5, 0.2]) + random.logistic(size=200) > 0.3).astype(int)
    fitted = fit_combination(pieces, y, np.zeros(3), (2.0, 1e9))
    reference = LogisticRegression(C=0.5, fit_intercept=False, tol=1e-10).fit(x, y)
    np.testing.assert_allclose(fitted.weights, reference.coef_[0], atol=1e-5)
    np.testing.assert_allclose(fitted.shifts, 0, atol=1e-6)


def test_a_class_that_is_said_too_seldom_is_shifted() -> None:
    piece = np.log(np.tile([[0.5, 0.5]], (100, 1)))
    fitted = fit_combination([piece], np.repeat([0, 1], [20, 80]), np.ones(1), (1.0, 1e-6))
    np.testing.assert_allclose(np.exp(fitted.log_probabilities([piece[:1]])), [[0.2, 0.8]], atol=1e-4)


def test_few_verified_images_change_nothing_and_many_do() -> None:
    random = stream(1, "evidence")
    y = random.integers(3, size=400)
    good = 3.0 * (np.eye(3)[y] + 0.3 * random.normal(size=(400, 3)))
    noise = random.normal(size=(400, 3))
    folds = np.arange(400) % 5
    few = np.where(np.arange(400) < FEWEST - 1, y, -1)
    expected = np.array([0.2, 1.0])
    prior = Combination(expected, np.zeros(3)).log_probabilities([good, noise])
    result = combine([good, noise], few, folds, expected)
    assert result.ridge is None
    np.testing.assert_allclose(result.log_probabilities, prior)
    np.testing.assert_allclose(result.losses, -prior[np.arange(FEWEST - 1), y[: FEWEST - 1]])
    many = np.where(np.arange(400) < 200, y, -1)
    result = combine([good, noise], many, folds, expected)
    assert result.combination.weights[0] > 0.8
    assert abs(result.combination.weights[1]) < 0.4
    assert result.losses.mean() < -prior[np.arange(200), y[:200]].mean()


def test_a_verified_image_has_no_part_in_what_is_said_of_it() -> None:
    random = stream(2, "evidence")
    pieces, y = [random.normal(size=(120, 3)) for _ in range(2)], random.integers(3, size=120)
    folds = np.arange(120) % 4
    before = combine(pieces, y, folds, np.ones(2))
    changed = y.copy()
    changed[folds == 0] = (y[folds == 0] + 1) % 3
    after = combine(pieces, changed, folds, np.ones(2))
    assert after.ridge == before.ridge
    np.testing.assert_allclose(after.log_probabilities[folds == 0], before.log_probabilities[folds == 0])
    assert not np.allclose(after.log_probabilities[folds == 1], before.log_probabilities[folds == 1])
