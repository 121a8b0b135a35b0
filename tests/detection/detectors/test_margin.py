"""The regularised margin, by hand and beside scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from nlcli.detection.fold_classifiers import margins
from worlds.detection import World


def test_margins_by_hand() -> None:
    p = np.array([[0.7, 0.2, 0.1], [0.7, 0.2, 0.1], [0.3, 0.3, 0.4]])
    np.testing.assert_allclose(margins(p, np.array([0, 1, 2])), [0.5, -0.5, 0.1])
    np.testing.assert_array_equal(p[0], [0.7, 0.2, 0.1])
    assert margins(np.ones((1, 1)), np.array([0])).tolist() == [1]


def test_it_parts_right_from_wrong(world: World, fitted: Any) -> None:
    detector, data, _ = fitted("margin")
    rows = data.train.rows[data.train.label < 0]
    score = detector.score(world.features[rows], world.noisy[rows], rows)
    assert roc_auc_score(world.right[rows], score) > 0.9
    p = detector.class_probabilities(world.features[rows], world.noisy[rows], rows)
    np.testing.assert_allclose(score, margins(p, world.noisy[rows]), atol=1e-6)
    assert np.mean(p.argmax(axis=1) == world.true[rows]) > 0.8
