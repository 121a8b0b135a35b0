"""Whether another program computes what TensorFlow does in float32, on a few made-up pictures."""

from __future__ import annotations

import numpy as np

TOLERANCE = {"float32": 1e-4, "bfloat16": 0.04, "float16": 0.04}
"""By precision: most that the result of a picture may differ, as a part of its length. Vectors of the same length that
differ by 0.04 have a cosine of 0.9992."""
PICTURES = 4


def made_up_pictures(size: int, count: int = PICTURES) -> np.ndarray:
    """(count, size, size, 3) uint8: coarse shapes under fine ones, the same on every machine."""
    rng = np.random.default_rng(0)
    total = np.zeros((count, size, size, 3), np.float32)
    for cells in (2, 7, 16):
        places = np.arange(size) * cells // size
        coarse = rng.integers(0, 256, (count, cells, cells, 3), dtype=np.uint8).astype(np.float32)
        total += coarse[:, places][:, :, places]
    return (total / 3).astype(np.uint8)


def largest_difference(computed: np.ndarray, expected: np.ndarray) -> float:
    """Most that a row of ``computed`` (n, D) differs from ``expected``, as a part of its length; inf for NaN."""
    if computed.shape != expected.shape or not np.isfinite(computed).all():
        return float("inf")
    lengths = np.maximum(np.linalg.norm(expected.astype(np.float64), axis=1), 1e-30)
    return float((np.linalg.norm(computed.astype(np.float64) - expected, axis=1) / lengths).max())
