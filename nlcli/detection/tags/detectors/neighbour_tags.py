"""What the nearest images have."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from nlcli.detection.tags.base import TagData, TagDetector, TagDetectorConfig
from nlcli.detection.tags.scorers import NeighbourScores


class NeighbourTagsConfig(TagDetectorConfig):
    """Options of ``neighbours``."""

    neighbours: int | None = Field(None, ge=1, description="How many vote (default: 10, 20 or 50, chosen).")


class NeighbourTags(TagDetector):
    """Score an entry by the share of the nearest training images that have the class; checked ones vote as checked."""

    name = "neighbours"
    title = "nearest neighbours' tags"
    citation = """@article{zhang2007mlknn,
  title = {{ML-KNN}: A lazy learning approach to multi-label learning},
  author = {Zhang, Min-Ling and Zhou, Zhi-Hua},
  journal = {Pattern Recognition},
  volume = {40},
  number = {7},
  pages = {2038--2048},
  year = {2007}
}"""
    Config = NeighbourTagsConfig
    uses_verification = False
    config: NeighbourTagsConfig

    def fit(self, data: TagData, seed: int) -> None:
        fitted = data.fitted_on(self.config.images, seed)
        self._scores = NeighbourScores(data.table, fitted, seed, self.config.neighbours)
        self.notes |= {"neighbours": self._scores.k, "images": len(fitted.rows)}

    def score(self, features: np.ndarray, given: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        return self._scores.logits(features, rows)
