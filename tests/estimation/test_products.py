"""Narrow products in runs of rows are those of all rows at once."""

from __future__ import annotations

import numpy as np
import pytest

from nlcli.estimation.products import times, transposed_times


@pytest.mark.parametrize(("count", "width"), [(1, 3), (256, 3), (1000, 3), (700, 600)])
def test_every_row_counts_once(count: int, width: int) -> None:
    rng = np.random.default_rng(0)
    rows, kernel, slopes = (
        rng.integers(-9, 9, shape).astype(np.float64) for shape in ((count, width), (width, 4), (count, 4))
    )
    # Sums of whole numbers are exact, however they are parted.
    assert np.array_equal(times(rows, kernel), np.einsum("nd,dc->nc", rows, kernel))
    assert np.array_equal(transposed_times(rows, slopes), np.einsum("nd,nc->dc", rows, slopes))
    assert times(rows.astype(np.float32), kernel.astype(np.float32)).dtype == np.float32
    assert transposed_times(rows.astype(np.float32), slopes.astype(np.float32)).dtype == np.float32
