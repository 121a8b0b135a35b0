"""The margin of a noisy label in regularised classifiers of the noisy labels that have not seen it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field

from nlcli.detection.base import Data, Detector, DetectorConfig
from nlcli.detection.fold_classifiers import FOLDS, WEIGHTS, FoldSettings, fold_classifiers, margins
from nlcli.methods.citations import NORTHCUTT_2021


class MarginConfig(DetectorConfig):
    """Options of the margin."""

    folds: int = Field(
        FOLDS, ge=2, description="Parts of the training images; each is scored by a classifier solved on the others."
    )
    l2: float | None = Field(
        None, gt=0, description="L2, as a part of the features' variance (default: chosen on a path, out of fold)."
    )
    weight: float | None = Field(
        None, gt=0, description="What a verified image counts (default: 1, 5 or 20, chosen out of fold)."
    )

    def classifiers(self) -> FoldSettings:
        """How the classifiers are solved."""
        return FoldSettings(self.folds, self.l2, WEIGHTS if self.weight is None else (self.weight,))


class Margin(Detector):
    """The label's own probability less the largest other one, out of fold."""

    name = "margin"
    title = "regularised margin"
    citation = NORTHCUTT_2021
    Config = MarginConfig
    uses_verification = False
    takes_verification = True
    out_of_fold = True
    soft = True
    config: MarginConfig

    def fit(self, data: Data, seed: int, work: Path) -> None:
        self._classifiers = fold_classifiers(data, seed, work, self.config.classifiers())
        self.notes |= self._classifiers.notes
        self.natural_threshold = 0.0  # no other class is more likely

    def score(self, features: np.ndarray, noisy: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        return margins(self._classifiers.probabilities(features, rows), noisy).astype(np.float32)

    def class_probabilities(
        self, features: np.ndarray, noisy: np.ndarray, rows: np.ndarray | None = None
    ) -> np.ndarray:
        return self._classifiers.probabilities(features, rows).astype(np.float32)
