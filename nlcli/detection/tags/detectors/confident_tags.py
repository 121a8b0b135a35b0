"""Confident learning of one class against the rest."""

from __future__ import annotations

import numpy as np

from nlcli.detection.tags.base import TagData, TagDetector
from nlcli.detection.tags.fold_regressions import tag_folds
from nlcli.detection.tags.scorers import ConfidentScores, scores_of_given
from nlcli.methods.citations import NORTHCUTT_2021


class ConfidentTags(TagDetector):
    """Hold out-of-fold probabilities of given tags against what they are for the class on average."""

    name = "confident-learning"
    title = "confident learning, a class against the rest"
    citation = NORTHCUTT_2021
    uses_verification = False

    def fit(self, data: TagData, seed: int) -> None:
        fitted = data.fitted_on(self.config.images, seed)
        given = scores_of_given(fitted, tag_folds(fitted.given, seed), data.kept("given"))
        self._scores = ConfidentScores(fitted, given)
        self.notes |= {"l2": given.strength, "images": len(fitted.rows)}

    def score(self, features: np.ndarray, given: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        return self._scores.logits(features, rows)
