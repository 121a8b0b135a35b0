"""The control variate against worked-out values, and what it must not change."""

from __future__ import annotations

import numpy as np
import pytest

from nlcli.estimation.control import controlled, noisy_scores, share_believed


def test_noisy_labels_go_through_the_matrix() -> None:
    p = np.array([[0.7, 0.3], [0.2, 0.8]])
    transition = np.array([[0.9, 0.1], [0.4, 0.6]])
    scores = noisy_scores(np.log(p), np.array([1, 0]), transition)
    np.testing.assert_allclose(np.exp(scores), [0.7 * 0.1 + 0.3 * 0.6, 0.2 * 0.9 + 0.8 * 0.4])


def test_the_mean_is_corrected_by_what_the_other_images_say() -> None:
    """By hand: the noisy mean of the two is 3, of all five 5; half of the difference is added."""
    scores = controlled(np.array([1.0, 2.0]), np.array([2.0, 4.0]), np.array([6.0, 6.0, 7.0]), 0.5)
    assert scores.mean() == pytest.approx(1.5 + 0.5 * (5.0 - 3.0))
    # Dealt in turn: 6 and 7 to the first, 6 to the second.
    np.testing.assert_allclose(scores, [1 + 0.5 * ((2 + 13) * 2 / 5 - 2), 2 + 0.5 * ((4 + 6) * 2 / 5 - 4)])


def test_an_image_without_a_noisy_label_keeps_its_score() -> None:
    scores = controlled(np.array([1.0, 2.0, 5.0]), np.array([2.0, 4.0, np.nan]), np.array([6.0, 6.0, 7.0]), 0.5)
    np.testing.assert_allclose(scores[:2], [1 + 0.5 * (6 - 2), 2 + 0.5 * (4 - 4)])
    assert scores[2] == 5.0
    true = np.array([1.0, 2.0])
    np.testing.assert_array_equal(controlled(true, np.full(2, np.nan), np.ones(3), 0.5), true)


def test_right_labels_are_believed_and_others_are_not() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(size=(3, 400))
    assert share_believed(list(true), list(true)) == pytest.approx(1.0)
    assert share_believed(list(true), list(rng.normal(size=(3, 400)))) < 0.1
    assert share_believed(list(true), list(-true)) == 0.0
    # e = d + noise of the same size: cov(d, e) / var(e) is 1/2.
    assert share_believed(list(true), list(true + rng.normal(size=(3, 400)))) == pytest.approx(0.5, abs=0.06)
    assert share_believed([true[0], true[0]], [true[0], true[0]]) == 0.0


@pytest.mark.parametrize("wrong", [0.0, 0.3, 1.0])
def test_it_is_right_on_average_and_its_spread_is_told(wrong: float) -> None:
    """Of 4,000 drawn sets of 50 verified and 500 other images: no bias, less variance, the standard error it has."""
    rng = np.random.default_rng(1)
    true = rng.normal(0.2, 1.0, size=(4000, 550))
    noisy = np.where(rng.random(true.shape) < wrong, rng.normal(-0.5, 1.0, size=true.shape), true)
    share = np.cov(true.ravel(), noisy.ravel())[0, 1] / noisy.var()
    scores = np.array([controlled(t[:50], n[:50], n[50:], share) for t, n in zip(true, noisy, strict=True)])
    means = scores.mean(axis=1)
    assert means.mean() == pytest.approx(0.2, abs=0.01)
    told = np.sqrt((scores.var(axis=1, ddof=1) / 50).mean())
    assert means.std() == pytest.approx(told, rel=0.05)
    expected = np.sqrt(1 / 550 + (1 - share * np.cov(true.ravel(), noisy.ravel())[0, 1]) * (1 / 50 - 1 / 550))
    assert means.std() == pytest.approx(expected, rel=0.05)
