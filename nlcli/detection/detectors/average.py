"""Cosine to the mean of a class's references: the average baseline of Lee 2018, section 4.2."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field

from nlcli.detection.base import Data, Detector, DetectorConfig
from nlcli.detection.references import Selection, class_references
from nlcli.methods.citations import LEE_2018


class AverageConfig(DetectorConfig):
    """Options of the average baseline."""

    references: int = Field(
        50, ge=0, description="K-means centroids of a class, whose mean is its embedding (0: the mean of its images)."
    )
    selection: Selection = Field(
        "kmeans", description="References: centroids, or images drawn at random (Lee 2018, section 3.1)."
    )


class Average(Detector):
    """The class embedding is the mean of the class's references, the query embedding the image's features."""

    name = "average"
    title = "average baseline"
    citation = LEE_2018
    Config = AverageConfig
    uses_verification = False
    soft = True
    config: AverageConfig

    def fit(self, data: Data, seed: int, work: Path) -> None:
        if self.config.references:
            self._means = class_references(
                data, self.config.references, seed, work, selection=self.config.selection
            ).means()
        else:
            self._means = class_means(data)
        self._norms = np.linalg.norm(self._means, axis=1)
        empty = np.setdiff1d(np.arange(len(data.classes)), data.train.noisy)
        self.notes["classes_without_images"] = [data.classes[c] for c in empty]

    def score(self, features: np.ndarray, noisy: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        dots = np.einsum("nd,nd->n", features, self._means[noisy])
        norms = np.linalg.norm(features, axis=1) * self._norms[noisy]
        cosines: np.ndarray = np.divide(dots, norms, out=np.zeros_like(dots), where=norms > 0)
        return cosines  # a zero vector resembles nothing


def class_means(data: Data) -> np.ndarray:
    """(C, D) float32 mean features of each class's training images; zeros for a class without any."""
    means = np.zeros((len(data.classes), data.num_features), np.float32)
    for c in np.unique(data.train.noisy):
        positions = data.train.of_class(c)
        total = np.zeros(data.num_features)
        for _, features in data.parts(data.train, positions):
            total += features.sum(axis=0, dtype=np.float64)
        means[c] = total / len(positions)
    return means
