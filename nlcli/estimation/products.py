"""Products of many rows with a few columns, in runs of rows that a core's own cache holds.

BLAS goes through a narrow product as through a wide one and waits for memory: with 256 features and 10 classes runs
take half of the time. Wide rows gain nothing and are multiplied at once.
"""

from __future__ import annotations

import numpy as np

_RUN = 256
"""Rows of a run."""
_CACHE = 1 << 19
"""Bytes that a run may have."""


def times(rows: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """``rows @ kernel``, (n, C) of (n, D) and (D, C)."""
    if not _in_runs(rows):
        return np.asarray(rows @ kernel)
    product = np.empty((len(rows), kernel.shape[1]), np.result_type(rows, kernel))
    for first in range(0, len(rows), _RUN):
        np.matmul(rows[first : first + _RUN], kernel, out=product[first : first + _RUN])
    return product


def transposed_times(rows: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """``rows.T @ slopes``, (D, C) of (n, D) and (n, C)."""
    if not _in_runs(rows):
        return np.asarray(rows.T @ slopes)
    product = np.zeros((rows.shape[1], slopes.shape[1]), np.result_type(rows, slopes))
    for first in range(0, len(rows), _RUN):
        product += rows[first : first + _RUN].T @ slopes[first : first + _RUN]
    return product


def _in_runs(rows: np.ndarray) -> bool:
    return len(rows) > _RUN and _RUN * rows.shape[1] * rows.itemsize <= _CACHE
