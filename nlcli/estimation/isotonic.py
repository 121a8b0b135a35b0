"""Weighted isotonic regression, in plain Python: SciPy's has to be imported, which takes longer than all of it.

References:
    Busing 2022, monotone regression: a simple and fast O(n) PAVA implementation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nlcli.metrics.arrays import Floats


def isotonic_blocks(values: Floats, weights: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Where each block of the rising sequence nearest to ``values`` begins, and what it is there.

    Nearest by the weighted sum of squares; neighbours that do not rise are one block, their weighted mean.

    Args:
        values, weights: (n,) float64, n at least 1, weights above 0.

    Returns:
        (b,) int64 and (b,) float64.
    """
    starts: list[int] = []
    means: list[float] = []
    sizes: list[float] = []
    for at, (value, weight) in enumerate(zip(values.tolist(), weights.tolist(), strict=True)):
        start, mean, size, total = at, value, weight, weight * value
        while means and means[-1] >= mean:
            start, before, more = starts.pop(), means.pop(), sizes.pop()
            total += more * before
            size += more
            mean = total / size
        starts.append(start)
        means.append(mean)
        sizes.append(size)
    return np.array(starts, np.int64), np.array(means)
