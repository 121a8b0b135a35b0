"""Every label is right: the first row of Lee 2018's table 2."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nlcli.detection.base import Data, Detector
from nlcli.methods.citations import LEE_2018


class Naive(Detector):
    """Believe every label."""

    name = "naive"
    title = "naive baseline"
    citation = LEE_2018
    uses_verification = False
    soft = True
    fixed_threshold = True

    def fit(self, data: Data, seed: int, work: Path) -> None:
        self.natural_threshold = 0.5

    def score(self, features: np.ndarray, noisy: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        return np.ones(len(noisy), np.float32)
