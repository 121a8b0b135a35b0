"""Features that came as an array or as a sparse matrix, as dense rows, some at a time.

Heads and detectors work on dense rows, and features lie dense on disk: of a sparse matrix no more than a part is ever
dense in memory, and the results are those of the same numbers in an array, to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from scipy.sparse import csr_array, issparse, vstack

Features: TypeAlias = Any
"""(n, D) float32: an array or a CSR matrix; SciPy states no types."""
PART_BYTES = 1 << 26
"""Of dense rows that are made at a time."""


def dense_rows(features: Features, first: int, end: int) -> np.ndarray:
    """(end - first, D) float32 rows; a view of an array."""
    part = features[first:end]
    rows: np.ndarray = part.toarray() if issparse(part) else part
    return np.ascontiguousarray(rows, np.float32)


def dense_parts(features: Features) -> Iterator[tuple[int, np.ndarray]]:
    """(first row, dense rows) of all rows, some at a time."""
    size = max(1, PART_BYTES // (4 * features.shape[1]))
    for first in range(0, features.shape[0], size):
        yield first, dense_rows(features, first, min(first + size, features.shape[0]))


def one_below_the_other(features: Features, others: Features) -> Features:
    """Rows of both; sparse where the first ones are."""
    if issparse(features):
        return csr_array(vstack([features, csr_array(others)], format="csr"))
    below: Any = others.toarray() if issparse(others) else others
    return np.concatenate([features, below], dtype=np.float32)
