"""How well noisy labels are foretold where nothing is verified, by another program, and what is not kept."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from nlcli.estimation import foretelling
from nlcli.estimation.candidates import Candidates
from nlcli.estimation.foretelling import foretold
from nlcli.estimation.linear_model import log_softmax
from nlcli.estimation.transition import confident_transition
from worlds.classes_taken_for_others import CLASSES, WIDTH, drawn


def fitted(features: np.ndarray, noisy: np.ndarray, matrix: np.ndarray, l2: float) -> np.ndarray:
    """(WIDTH + 1, CLASSES) kernel and bias behind ``matrix``, by SciPy."""
    wide = np.column_stack([features, np.ones(len(features))])
    onehot = np.eye(CLASSES)[noisy]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        kernel = flat.reshape(WIDTH + 1, CLASSES)
        p = np.exp(log_softmax(wide @ kernel))
        through = p * matrix[:, noisy].T
        believed = through / through.sum(axis=1, keepdims=True)
        gradient = wide.T @ (p - believed) / len(wide)
        gradient[:-1] += l2 * kernel[:-1]
        own = -np.log((p @ matrix)[onehot > 0]).mean() + l2 / 2 * (kernel[:-1] ** 2).sum()
        return float(own), gradient.ravel()

    best = minimize(loss, np.zeros((WIDTH + 1) * CLASSES), jac=True, method="BFGS", options={"gtol": 1e-7})
    kernel: np.ndarray = best.x.reshape(WIDTH + 1, CLASSES)
    return kernel


def test_how_far_it_is_ahead_is_another_programs() -> None:
    images, features, _, noisy = drawn(count=240, checked=0, wrong=0.3)
    candidates = Candidates(images)
    told = foretold(candidates)
    assert told is not None
    plain, corrected = np.empty((240, CLASSES)), np.empty((240, CLASSES))
    for fold in range(4):
        held = candidates.folds == fold
        wide = np.column_stack([features, np.ones(240)])[held]
        plain[held] = wide @ fitted(features[~held], noisy[~held], np.eye(CLASSES), candidates.l2)
        corrected[held] = wide @ fitted(features[~held], noisy[~held], told.transition, told.points[0].l2)
    # An image at the edge of being confident is one in fifty of a row.
    np.testing.assert_allclose(told.transition, confident_transition(np.exp(log_softmax(plain)), noisy), atol=0.05)

    def best(logits: np.ndarray, matrix: np.ndarray) -> float:
        factors = np.exp(np.linspace(-3, 3, 601))
        of_factors = [(np.exp(log_softmax(f * logits)) @ matrix)[np.arange(240), noisy] for f in factors]
        return max(float(np.log(own).mean()) for own in of_factors)

    expected = best(corrected, told.transition) - best(plain, np.eye(CLASSES))
    assert told.points[0].ahead.mean == pytest.approx(expected, abs=2e-3)


def test_what_loses_a_class_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    images, *_ = drawn(checked=0, wrong=0.3)
    kept = foretold(Candidates(images))
    assert kept is not None
    assert kept.kept is not None
    monkeypatch.setattr(foretelling, "lost_classes", lambda *_: np.array([2]))
    told = foretold(Candidates(images))
    assert told is not None
    assert told.kept is None
    assert [point.lost for point in told.points] == [(2,)] * len(foretelling.STRENGTHS)


def test_it_is_not_asked_where_something_is_verified() -> None:
    assert foretold(Candidates(drawn(count=200, checked=40)[0])) is None
