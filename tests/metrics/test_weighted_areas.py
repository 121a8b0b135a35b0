"""Areas of drawn entries equal scikit-learn's with sample weights, ties included."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from nlcli.metrics.weighted_areas import WeightedAreas


@pytest.mark.parametrize("different", [3, 1000])
def test_like_scikit_learn_with_weights_and_ties(different):
    rng = np.random.default_rng(different)
    wrong, suspicion = rng.random(200) < 0.3, rng.integers(0, different, 200) / different
    weights = rng.integers(0, 4, 200).astype(float)
    area, precision = WeightedAreas(wrong, suspicion)(weights)
    assert area == pytest.approx(roc_auc_score(wrong, suspicion, sample_weight=weights), abs=1e-12)
    assert precision == pytest.approx(average_precision_score(wrong, suspicion, sample_weight=weights), abs=1e-12)


def test_what_is_not_defined():
    areas = WeightedAreas(np.array([True, False]), np.array([0.9, 0.1]))
    assert all(math.isnan(value) for value in areas(np.array([0.0, 1.0])))  # nothing wrong is drawn
    area, precision = areas(np.array([1.0, 0.0]))
    assert math.isnan(area)  # nothing right is
    assert precision == 1.0
    assert all(math.isnan(value) for value in WeightedAreas(np.empty(0, bool), np.empty(0))(np.empty(0)))
