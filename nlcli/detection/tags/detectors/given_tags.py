"""Believing every tag."""

from __future__ import annotations

import numpy as np

from nlcli.detection.tags.base import TagData, TagDetector
from nlcli.methods.citations import LEE_2018


class GivenTags(TagDetector):
    """Believe that every given tag is right and none is missing."""

    name = "naive"
    title = "every tag right"
    citation = LEE_2018
    uses_verification = False
    believes = True

    def fit(self, data: TagData, seed: int) -> None:
        """Nothing to learn."""

    def score(self, features: np.ndarray, given: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        return np.where(given > 0, 1.0, -1.0).astype(np.float32)
