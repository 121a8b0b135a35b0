"""Labels and scores at random, and how exact metrics of them are."""

from __future__ import annotations

import numpy as np

EXACT = 1e-12


def random_case(rows=300, columns=17, *, levels=None, dtype=np.float32, seed=0):
    """Labels of uneven frequency, scores with ties when ``levels`` is given, and a mask."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(rows, columns)).astype(dtype)
    if levels:
        scores = np.round(scores * levels) / dtype(levels)
    labels = (rng.random((rows, columns)) < rng.uniform(0.02, 0.6, columns)).astype(np.uint8)
    mask = (rng.random((rows, columns)) < 0.7).astype(np.uint8)
    return labels, scores, mask
