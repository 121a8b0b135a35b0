"""The least value between bounds, step by step as SciPy finds it."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from nlcli.estimation.bounded_minimum import bounded_minimum

COSTS = {
    "parabola": lambda x: (x - 1.25) ** 2,
    "steep on one side": lambda x: np.exp(3 * x) - x,
    "least at the lower bound": lambda x: x,
    "least at the upper bound": lambda x: -x,
    "with a corner": lambda x: abs(x - 0.3) + 0.1 * x,
    "flat": lambda x: 1.0,
    "of steps": lambda x: float(np.floor(8 * (x - 2) ** 2)),
    "log-loss": lambda x: float(np.logaddexp(0, -2 * np.exp(x)) + np.logaddexp(0, 0.7 * np.exp(x))),
}


@pytest.mark.parametrize("tolerance", [1e-2, 1e-3, 1e-8])
@pytest.mark.parametrize("cost", COSTS.values(), ids=COSTS)
def test_the_same_bits_as_scipys(cost, tolerance):
    theirs, ours = [], []
    best = minimize_scalar(
        lambda x: theirs.append(float(x)) or cost(x), bounds=(-4, 4), method="bounded", options={"xatol": tolerance}
    )
    found = bounded_minimum(lambda x: ours.append(float(x)) or cost(x), -4.0, 4.0, tolerance)
    assert ours == theirs
    assert found == best.x


def test_by_hand():
    assert bounded_minimum(COSTS["parabola"], -4.0, 4.0, 1e-6) == pytest.approx(1.25, abs=1e-6)
