"""Isotonic regression by hand, and beside SciPy's."""

import numpy as np
import pytest
from scipy.optimize import isotonic_regression

from nlcli.estimation.isotonic import isotonic_blocks


def test_by_hand():
    # 3 and 1 weigh 1 and 3: their mean is 1.5, which is no more than the 2 before them.
    starts, means = isotonic_blocks(np.array([0.0, 2.0, 3.0, 1.0, 4.0]), np.array([1.0, 4.0, 1.0, 3.0, 1.0]))
    np.testing.assert_array_equal(starts, [0, 1, 4])
    np.testing.assert_allclose(means, [0, (4 * 2 + 3 + 3) / 8, 4])


@pytest.mark.parametrize("seed", range(20))
def test_beside_scipys(seed):
    rng = np.random.default_rng(seed)
    values, weights = rng.integers(0, 9, 400) / 8 + 0.01 * np.arange(400), rng.integers(1, 5, 400).astype(float)
    starts, means = isotonic_blocks(values, weights)
    theirs = isotonic_regression(values, weights=weights)
    np.testing.assert_array_equal(starts, theirs.blocks[:-1])
    np.testing.assert_allclose(means, theirs.x[starts], rtol=1e-14)
