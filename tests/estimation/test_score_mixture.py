"""Mixtures of scores, against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression

from nlcli.estimation.score_mixture import NormalScores, ScoreMixture


def test_normal_scores_by_ranks() -> None:
    scores = np.array([3.0, -1.0, 3.0, 10.0, 0.5])
    scale = NormalScores.of(scores)
    np.testing.assert_allclose(scale(scores), ndtri((rankdata(scores) - 0.5) / 5))
    assert scale(np.array([-1e9, 1e9])).tolist() == [ndtri(0.1), ndtri(0.9)]
    assert scale(np.array([-1.0]))[0] < scale(np.array([-0.9]))[0] < scale(np.array([0.5]))[0]
    same = NormalScores.of(np.full(4, 2.0))(np.array([1.0, 2.0, 3.0]))
    assert same.tolist() == [0.0, 0.0, 0.0]


def drawn(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three scores, and labels that the first two tell."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(count, 3))
    return z, rng.random(count) < 1 / (1 + np.exp(-(2 * z[:, 0] + z[:, 1] + 0.3)))


def test_with_many_labels_it_is_a_logistic_regression() -> None:
    z, labels = drawn(4000)
    model = LogisticRegression(C=np.inf).fit(z, labels)
    mixture = ScoreMixture.fitted(z, labels, (1, 1, 1), ridge=1e-6)
    np.testing.assert_allclose(mixture.weights, model.coef_[0], atol=1e-2)
    assert mixture.intercept == pytest.approx(model.intercept_[0], abs=1e-2)
    odds = z[:5] @ mixture.weights + mixture.intercept
    np.testing.assert_allclose(mixture.log_odds(z[:5]), odds)


def test_with_few_labels_it_is_the_expected_one() -> None:
    z, labels = drawn(30)
    mixture = ScoreMixture.fitted(z, labels, (3, 1, 0), ridge=1e4)
    np.testing.assert_allclose(mixture.weights / mixture.weights.sum(), [0.75, 0.25, 0], atol=1e-2)
    assert mixture.weights[0] > 0.5


def test_labels_that_are_parted_completely_have_a_mixture() -> None:
    z = np.linspace(-2, 2, 40)[:, None]
    mixture = ScoreMixture.fitted(z, z[:, 0] > 0, (1,))
    assert np.isfinite(mixture.weights).all()
    assert mixture.weights[0] > 1
