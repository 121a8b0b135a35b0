"""Confident learning (Northcutt et al. 2021) through the cleanlab package, on out-of-fold probabilities."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from nlcli.detection.base import READ_ROWS, Data, Detector, DetectorConfig
from nlcli.detection.fold_classifiers import FOLDS, FoldSettings, fold_classifiers
from nlcli.errors import NlcliError
from nlcli.methods.citations import NORTHCUTT_2021


class ConfidentLearningConfig(DetectorConfig):
    """Options of confident learning."""

    folds: int = Field(
        FOLDS, ge=2, description="Parts of the training images; each is scored by a classifier solved on the others."
    )
    l2: float | None = Field(
        None, gt=0, description="L2, as a part of the features' variance (default: chosen on a path, out of fold)."
    )
    quality: Literal["normalized_margin", "self_confidence"] = Field(
        "normalized_margin", description="The score: margin over the best other class, or the label's own probability."
    )


class ConfidentLearning(Detector):
    """cleanlab's label quality; its own verdict on the training images gives the threshold it has of itself."""

    name = "confident-learning"
    title = "confident learning"
    citation = NORTHCUTT_2021
    Config = ConfidentLearningConfig
    uses_verification = False
    out_of_fold = True
    soft = True
    config: ConfidentLearningConfig

    def check(self) -> None:
        try:
            import cleanlab  # noqa: F401
        except ImportError as error:
            raise NlcliError(
                "confident-learning needs the package cleanlab; install it with: pip install 'nlcli[cleanlab]'"
            ) from error

    def fit(self, data: Data, seed: int, work: Path) -> None:
        self.check()
        # No verified label is looked at: the method is for where there is none.
        settings = FoldSettings(self.config.folds, self.config.l2, weights=())
        self._classifiers = fold_classifiers(data, seed, work, settings)
        self.notes |= self._classifiers.notes
        self.natural_threshold = self._own_threshold(data)

    def _own_threshold(self, data: Data) -> float | None:
        """The score that parts what cleanlab calls label issues of the training images from the others."""
        from cleanlab.experimental.label_issues_batched import LabelInspector

        inspector = LabelInspector(
            num_class=len(data.classes),
            store_results=True,
            verbose=False,
            n_jobs=1,
            quality_score_kwargs={"method": self.config.quality},
        )
        for labels, p in self._out_of_fold(data):
            inspector.update_confident_thresholds(labels, p)
        for labels, p in self._out_of_fold(data):
            inspector.score_label_quality(labels, p)
        score = np.sort(np.asarray(inspector.get_quality_scores(), np.float64))
        issues = len(inspector.get_label_issues())
        self.notes["cleanlab_issues"] = issues
        if issues == 0:
            return float(score[0])
        return float(score[-1] + 1 if issues == len(score) else (score[issues - 1] + score[issues]) / 2)

    def _out_of_fold(self, data: Data) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Noisy classes and probabilities of training images by classifiers that have not seen them, in parts."""
        for positions, features in data.parts(data.train):
            p = self._classifiers.probabilities(features, data.train.rows[positions])
            yield data.train.noisy[positions], p

    def score(self, features: np.ndarray, noisy: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        from cleanlab.rank import get_label_quality_scores

        score = np.empty(len(noisy), np.float32)
        for first in range(0, len(noisy), READ_ROWS):
            part = slice(first, first + READ_ROWS)
            p = self._classifiers.probabilities(features[part], None if rows is None else rows[part])
            score[part] = get_label_quality_scores(noisy[part], p, method=self.config.quality)
        return score

    def class_probabilities(
        self, features: np.ndarray, noisy: np.ndarray, rows: np.ndarray | None = None
    ) -> np.ndarray:
        return self._classifiers.probabilities(features, rows).astype(np.float32)
