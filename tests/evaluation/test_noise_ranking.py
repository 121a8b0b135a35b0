"""Which labels a model of label noise believes to be wrong."""

from __future__ import annotations

import numpy as np
import pytest

from nlcli.evaluation.noise_ranking import rank_noise


def test_figures_of_a_noise_ranking_by_hand():
    n = 150
    confusing = np.linspace(0, 1, n, dtype=np.float32)
    wrong = confusing > 0.5  # the upper 75
    types = np.stack([1 - confusing, np.zeros(n), confusing], axis=1)
    ranking = rank_noise(np.array([f"k{i}" for i in range(n)], object), np.zeros(n, int), wrong.astype(int), types)
    assert ranking.keys[0] == "k149"
    found = ranking.figures(20, 0, 0.95)
    assert found["precision_at"] == {"100": pytest.approx(0.75)}
    assert (found["images"], found["wrong"], found["base_rate"]) == (150, 75, 0.5)
    assert found["average_precision"] == pytest.approx(1.0)
    assert found["average_precision_interval"] == pytest.approx([1.0, 1.0])
    none = rank_noise(ranking.keys, ranking.true, ranking.true, ranking.probabilities).figures(20, 0, 0.95)
    assert (none["wrong"], none["average_precision"]) == (0, None)
