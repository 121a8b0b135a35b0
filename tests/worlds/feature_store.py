"""Features in memory."""

from __future__ import annotations

import numpy as np


class Store:
    """Features in memory, as a FeatureStore gives them."""

    def __init__(self, features: np.ndarray) -> None:
        self.features = features
        self.shape = features.shape

    def read(self, rows: np.ndarray) -> np.ndarray:
        return self.features[rows]
