"""Posteriors of entries: what a regression, the tag and the image's other classes say together."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from nlcli.detection.tags.base import TagData, TagDetector, TagDetectorConfig
from nlcli.detection.tags.fold_regressions import tag_folds
from nlcli.detection.tags.scorers import WEIGHT, Scorer, scores_of_checked, scores_of_given
from nlcli.detection.tags.verified import image_folds, within_bounds
from nlcli.estimation.tag_posterior import TagPosterior, fit_tag_posterior
from nlcli.methods.citations import MISRA_2016
from nlcli.seeds import stream

FEWEST = 50
"""Verified entries of either kind, present and absent, below which regressions speak alone."""
_CELLS = 1 << 24


class PosteriorTagsConfig(TagDetectorConfig):
    """Options of ``posterior``."""

    weight: float | None = Field(None, gt=0, description=WEIGHT)


class PosteriorTags(TagDetector):
    """The log-odds of a class given the image, its tag and its other classes, fitted to checked entries."""

    name = "posterior"
    title = "posterior"
    citation = MISRA_2016
    Config = PosteriorTagsConfig
    uses_verification = False
    config: PosteriorTagsConfig

    def fit(self, data: TagData, seed: int) -> None:
        fitted = data.fitted_on(self.config.images, seed)
        folds = tag_folds(fitted.given, seed)
        self._scores: Scorer
        if fitted.verified.any():
            self._scores = scores_of_checked(data.table, fitted, folds, self.config.weight, data.kept("checked"))
        else:
            self._scores = scores_of_given(fitted, folds, data.kept("given"))
        self._fold = np.full(len(data.table), -1)
        self._fits: dict[int, TagPosterior] = {}
        table, fold = data.table, image_folds(data.table, seed)
        known = within_bounds(table, np.flatnonzero((table.verification > 0) & (data.stored >= 0)), seed)
        most = max(1, _CELLS // len(data.classes))
        if len(known) > most:
            known = np.sort(stream(seed, "tags", "posterior").permutation(known)[:most])
        logits, given = (np.empty((len(known), len(data.classes)), np.float32) for _ in range(2))
        for where, features in data.blocks(known):
            logits[where] = self._scores.logits(features, known[where])
            given[where] = table.noisy_targets(known[where]) > 0
        present, seen = table.verified_targets(known)
        for number in [-1, *np.unique(fold[known]).tolist()]:
            kept = fold[known] != number
            there = int((present[kept] * seen[kept]).sum())
            if min(there, int(seen[kept].sum()) - there) < FEWEST:
                self._fits.clear()  # regressions alone: of one fold's images as of others
                break
            self._fits[number] = fit_tag_posterior(logits[kept], given[kept], present[kept], seen[kept])
        if self._fits:
            self._fold[known] = fold[known]
            self.notes["weights"] = self._fits[-1].weights.round(4).tolist()
        self.notes["checked_images"] = len(known)

    def score(self, features: np.ndarray, given: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        logits = self._scores.logits(features, rows)
        if not self._fits:
            return logits
        odds = np.empty(logits.shape, np.float32)
        fold = np.full(len(logits), -1) if rows is None else self._fold[rows]
        for number in np.unique(fold):
            inside = fold == number
            odds[inside] = self._fits[int(number)].log_odds(logits[inside], given[inside] > 0)
        return odds
