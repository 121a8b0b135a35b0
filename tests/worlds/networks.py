"""Networks as after training, and images for them."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers


def randomise_norms(model: keras.Model, seed: int = 0) -> int:
    """Statistics as after training (fresh ones fold to nearly nothing); returns their number."""
    rng = np.random.default_rng(seed)
    norms = [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
    for norm in norms:
        count = norm.moving_mean.shape
        norm.moving_mean.assign(rng.normal(0, 0.3, count))
        norm.moving_variance.assign(rng.uniform(0.5, 2, count))
        if norm.center:
            norm.beta.assign(rng.normal(0, 0.3, count))
        if norm.scale:
            norm.gamma.assign(rng.uniform(0.5, 1.5, count))
    return len(norms)


def pixels(size: int, count: int = 2) -> np.ndarray:
    """(count, size, size, 3) uint8."""
    return np.random.default_rng(1).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def relative(computed: np.ndarray, expected: np.ndarray) -> float:
    """Length of the difference, in lengths of ``expected``."""
    return float(np.linalg.norm(computed - expected) / np.linalg.norm(expected))
