"""Out-of-fold regressions on given tags with the checked ones put in."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from nlcli.detection.tags.base import TagData, TagDetector, TagDetectorConfig
from nlcli.detection.tags.fold_regressions import tag_folds
from nlcli.detection.tags.scorers import CHECKED_WEIGHTS, WEIGHT, Scorer, scores_of_checked, scores_of_given


class CheckedMarginConfig(TagDetectorConfig):
    """Options of ``margin``."""

    weight: float | None = Field(None, gt=0, description=WEIGHT)


class CheckedMargin(TagDetector):
    """Score an entry by a solved logistic regression of its class that did not see the image."""

    name = "margin"
    title = "out-of-fold regressions"
    citation = """@inproceedings{zadrozny2002transforming,
  title = {Transforming classifier scores into accurate multiclass probability estimates},
  author = {Zadrozny, Bianca and Elkan, Charles},
  booktitle = {KDD},
  year = {2002}
}"""
    Config = CheckedMarginConfig
    uses_verification = False
    config: CheckedMarginConfig

    def fit(self, data: TagData, seed: int) -> None:
        fitted = data.fitted_on(self.config.images, seed)
        folds = tag_folds(fitted.given, seed)
        self._scores: Scorer
        if fitted.verified.any():
            scores = scores_of_checked(data.table, fitted, folds, self.config.weight, data.kept("checked"))
        else:
            scores = scores_of_given(fitted, folds, data.kept("given"))
        self._scores = scores
        if fitted.verified.any():
            self.notes["weight"] = self.config.weight or CHECKED_WEIGHTS[scores.chosen]
        self.notes |= {"l2": scores.strength, "images": len(fitted.rows), "checked": int(fitted.verified.sum())}

    def score(self, features: np.ndarray, given: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        return self._scores.logits(features, rows)
