"""Drawn images of four classes, some of each labelled as the next class."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from nlcli.estimation.design import ArrayBlocks
from nlcli.estimation.images import Images

CLASSES, WIDTH = 4, 6


def drawn(
    count: int = 600, checked: int = 120, wrong: float = 0.4, seed: int = 0
) -> tuple[Images, np.ndarray, np.ndarray, np.ndarray]:
    """Images of four classes, a share ``wrong`` of each labelled as the next one; features, true classes, labels."""
    rng = np.random.default_rng(seed)
    true = rng.integers(CLASSES, size=count)
    features = 1.2 * np.eye(CLASSES, WIDTH)[true] + 0.5 * rng.normal(size=(count, WIDTH))
    noisy = np.where(rng.random(count) < wrong, (true + 1) % CLASSES, true)
    return images_of(features, true, noisy, np.arange(count) < checked), features, true, noisy


def images_of(features: np.ndarray, true: np.ndarray, noisy: np.ndarray, checked: np.ndarray) -> Images:
    onehot = np.eye(CLASSES, dtype=np.uint8)
    return Images(
        design=ArrayBlocks(features),
        task="single-label",
        classes=CLASSES,
        noisy=csr_array(onehot[noisy]),
        labelled=np.ones(len(true)),
        verified=csr_array(onehot[true] * checked[:, None].astype(np.uint8)),
        known=csr_array(np.ones((len(true), CLASSES), np.uint8) * checked[:, None].astype(np.uint8)),
        checked=checked,
    )
