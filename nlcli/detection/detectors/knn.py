"""Nearest neighbours among a class's verified images: Lee 2018, section 4.2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from nlcli.detection.base import DetectorConfig
from nlcli.detection.per_class import ClassImages, PerClass, Setting, State
from nlcli.detection.verification import RIGHT
from nlcli.methods.citations import LEE_2018
from nlcli.runtime import cpu_count


class KnnConfig(DetectorConfig):
    """Options of the nearest neighbours."""

    neighbours: int | None = Field(
        None, ge=1, description="Verified images that vote (default: 1, 3, 5, 9, 15, 25 or 51, chosen on validation)."
    )
    weights: Literal["uniform", "distance"] = Field(
        "uniform", description="Whether votes count alike, or by the inverse of the distance."
    )


class Knn(PerClass):
    """scikit-learn's ``KNeighborsClassifier``; the score is the share of votes for right."""

    name = "knn"
    title = "kNN"
    citation = LEE_2018
    Config = KnnConfig
    config: KnnConfig

    def settings(self) -> Sequence[Setting]:
        given = self.config.neighbours
        return [{"neighbours": k} for k in ((5, 1, 3, 9, 15, 25, 51) if given is None else (given,))]

    def fit_class(self, images: ClassImages, settings: Sequence[Setting], seed: int) -> list[State]:
        return [{} for _ in settings]  # the images are all it knows

    def score_class(self, images: ClassImages, state: State, setting: Setting, features: np.ndarray) -> np.ndarray:
        from sklearn.neighbors import KNeighborsClassifier

        count = min(setting["neighbours"], len(images.label))
        model = KNeighborsClassifier(count, weights=self.config.weights, algorithm="brute", n_jobs=cpu_count())
        votes = model.fit(images.features, images.label).predict_proba(features)
        share: np.ndarray = votes[:, model.classes_.tolist().index(RIGHT)]
        return share
