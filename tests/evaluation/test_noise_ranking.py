"""Which labels a model of label noise believes to be wrong."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from nlcli.evaluation.metrics_file import Estimate
from nlcli.evaluation.noise_ranking import rank_noise


def test_a_noise_ranking_by_hand():
    n = 150
    confusing = np.linspace(0, 1, n, dtype=np.float32)
    wrong = confusing > 0.5  # the upper 75
    types = np.stack([1 - confusing, np.zeros(n), confusing], axis=1)
    ranking = rank_noise(np.array([f"k{i}" for i in range(n)], object), np.zeros(n, int), wrong.astype(int), types)
    assert ranking.keys[0] == "k149"
    noise = ranking.measure(20, 0)
    assert noise.precision_at == {100: pytest.approx(0.75)}
    assert (noise.images, noise.wrong, noise.base_rate) == (150, 75, 0.5)
    assert noise.average_precision.value == pytest.approx(1.0)
    # No resample moves it: what is known are 75 wrong labels, as of a share.
    wilson = binomtest(75, 75).proportion_ci(method="wilson")
    assert noise.average_precision.interval == pytest.approx((wilson.low, 1.0))
    none = rank_noise(ranking.keys, ranking.true, ranking.true, ranking.probabilities).measure(20, 0)
    assert (none.wrong, none.average_precision) == (
        0,
        Estimate(value=None, rests_on=0, counted="labels of the rarer kind"),
    )
