"""Temperatures: what a known factor is, and that being unsure alone costs nothing."""

from __future__ import annotations

import numpy as np
import pytest

from nlcli.estimation.linear_model import log_softmax
from nlcli.estimation.temperature import tempered_losses


def test_a_factor_that_was_taken_away_is_given_back() -> None:
    rng = np.random.default_rng(0)
    log_p = log_softmax(2 * rng.normal(size=(20_000, 4)))
    true = np.array([rng.choice(4, p=np.exp(row)) for row in log_p])
    factor, losses = tempered_losses(log_softmax(0.4 * log_p), true)
    assert factor == pytest.approx(2.5, rel=0.05)
    assert losses.mean() == pytest.approx(-log_p[np.arange(len(true)), true].mean(), abs=2e-3)


def test_losses_by_hand() -> None:
    log_p = np.log(np.array([[0.75, 0.25], [0.75, 0.25], [0.75, 0.25], [0.75, 0.25]]))
    factor, losses = tempered_losses(log_p, np.array([0, 0, 0, 1]))
    assert factor == pytest.approx(1.0, abs=1e-2)
    np.testing.assert_allclose(losses, -np.log([0.75, 0.75, 0.75, 0.25]), atol=1e-2)
