"""The factor that makes a classifier as sure as it should be."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, log_softmax

from nlcli.estimation.tempering import temperature, tempered_class_losses, tempered_losses


def _labels() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(400, 4))
    chances = np.exp(log_softmax(2.5 * logits, axis=1))
    targets = np.eye(4)[[rng.choice(4, p=p) for p in chances]]
    return logits, targets, np.ones_like(targets)


def test_the_factor_is_the_best_of_a_grid() -> None:
    logits, targets, known = _labels()
    grid = np.exp(np.linspace(-1, 2, 3001))
    costs = [-(targets * log_softmax(factor * logits, axis=1)).sum(axis=1).mean() for factor in grid]
    assert temperature("single-label", logits, targets, known) == pytest.approx(grid[int(np.argmin(costs))], rel=2e-3)
    losses = tempered_losses("single-label", logits, targets, known)
    assert losses.mean() == pytest.approx(min(costs), abs=1e-6)


def test_how_sure_a_classifier_is_costs_nothing() -> None:
    logits, targets, known = _labels()
    for sureness in (0.05, 3.0):
        losses = tempered_losses("single-label", sureness * logits, targets, known)
        assert losses.mean() == pytest.approx(tempered_losses("single-label", logits, targets, known).mean(), abs=1e-6)


def test_of_several_labels_the_known_ones_count() -> None:
    logits = np.array([[1.0, -2.0], [0.5, 3.0]])
    targets, known = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[1.0, 1.0], [1.0, 0.0]])
    losses = tempered_losses("multi-label", logits, targets, known, 2.0)
    by_hand = [-np.log(expit(2.0)) - np.log(expit(4.0)), -np.log(1 - expit(1.0))]
    np.testing.assert_allclose(losses, by_hand)


def test_a_class_that_an_image_is_not_of() -> None:
    logits = np.log([[0.2, 0.3, 0.5]])
    losses = tempered_losses("single-label", logits, np.zeros((1, 3)), np.array([[0.0, 0.0, 1.0]]), 1.0)
    np.testing.assert_allclose(losses, -np.log(0.5))


def test_without_images_nothing_changes() -> None:
    assert temperature("single-label", np.empty((0, 3)), np.empty((0, 3)), np.empty((0, 3))) == 1.0


def test_known_classes_by_hand() -> None:
    log_p = np.log(np.array([[0.75, 0.25], [0.75, 0.25], [0.75, 0.25], [0.75, 0.25]]))
    factor, losses = tempered_class_losses(log_p, np.array([0, 0, 0, 1]))
    assert factor == pytest.approx(1.0, abs=1e-2)
    np.testing.assert_allclose(losses, -np.log([0.75, 0.75, 0.75, 0.25]), atol=1e-2)
