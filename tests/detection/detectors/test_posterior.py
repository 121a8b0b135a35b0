"""The posterior beside the margin, which it starts from."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from worlds.detection import World


def test_it_is_better_than_the_margin_and_its_suggestions_are_right(world: World, fitted: Any) -> None:
    detector, data, _ = fitted("posterior")
    margin, _, _ = fitted("margin")
    rows = data.train.rows[data.train.label < 0]
    features, noisy = world.features[rows], world.noisy[rows]
    score = detector.score(features, noisy, rows)
    of_margin = margin.score(features, noisy, rows)
    assert roc_auc_score(world.right[rows], score) >= roc_auc_score(world.right[rows], of_margin)
    p = detector.class_probabilities(features, noisy, rows)
    np.testing.assert_allclose(score, p[np.arange(len(rows)), noisy])
    wrong = np.flatnonzero(world.right[rows] == 0)
    others = p[wrong].copy()
    others[np.arange(len(wrong)), noisy[wrong]] = -1
    assert np.mean(others.argmax(axis=1) == world.true[rows[wrong]]) > 0.8


def test_probabilities_are_as_often_right_as_they_say(world: World, fitted: Any) -> None:
    detector, data, _ = fitted("posterior")
    rows = data.train.rows[data.train.label < 0]
    score = detector.score(world.features[rows], world.noisy[rows], rows)
    assert abs(score.mean() - world.right[rows].mean()) < 0.08
    sure = score > 0.9
    assert world.right[rows][sure].mean() > 0.85
