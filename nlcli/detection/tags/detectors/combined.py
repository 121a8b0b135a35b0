"""The default: what explains the checked entries best, of given tags and of missing ones apart."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from nlcli.detection.tags.base import TagData, TagDetector, TagDetectorConfig
from nlcli.detection.tags.fold_regressions import tag_folds
from nlcli.detection.tags.judgement import MOST_ODDS, OfKind, fit_kind, odds_by_kind
from nlcli.detection.tags.scorers import (
    CHECKED_WEIGHTS,
    WEIGHT,
    ConfidentScores,
    NeighbourScores,
    Scorer,
    scores_of_checked,
    scores_of_given,
    scores_of_verified,
)
from nlcli.detection.tags.verified import ScoredEntries, image_folds, within_bounds
from nlcli.methods.citations import NORTHCUTT_2021

FEWEST_VERIFIED = 20
"""Verified training images from which on regressions on these alone are a candidate."""


class CombinedConfig(TagDetectorConfig):
    """Options of ``auto``."""

    weight: float | None = Field(None, gt=0, description=WEIGHT)
    best: int = Field(
        4, ge=1, le=4, description="How many candidates are averaged at most, of those that may be as good as the best."
    )


class Combined(TagDetector):
    """Average the calibrated log-odds of the candidates that checked entries do not tell from the best, by kind."""

    name = "auto"
    title = "the best of several, averaged"
    citation = NORTHCUTT_2021
    Config = CombinedConfig
    uses_verification = False
    config: CombinedConfig

    def fit(self, data: TagData, seed: int) -> None:
        fitted = data.fitted_on(self.config.images, seed)
        folds = tag_folds(fitted.given, seed)
        given = scores_of_given(fitted, folds, data.kept("given"))
        verified = int(fitted.verified.sum())
        if not _known(data).size:
            self._choose(data, {"confident": ConfidentScores(fitted, given)}, seed)
            return
        scorers: dict[str, Scorer] = {"given": given}
        if verified:
            weight, kept = self.config.weight, data.kept("checked")
            checked = scores_of_checked(data.table, fitted, folds, weight, kept, near=given)
            scorers["checked"] = checked
            self.notes["weight"] = weight or CHECKED_WEIGHTS[checked.chosen]
            scorers["neighbours"] = NeighbourScores(data.table, fitted, seed, None)
        if verified >= FEWEST_VERIFIED:
            scorers["verified"] = scores_of_verified(data.table, fitted, folds, data.kept("verified"))
        self._choose(data, scorers, seed)

    def _choose(self, data: TagData, scorers: dict[str, Scorer], seed: int) -> None:
        """Calibrate the candidates on the verified entries and keep, of each kind, those with the least log-loss."""
        table, fold = data.table, image_folds(data.table, seed)
        known = within_bounds(table, _known(data), seed)
        self._fold = np.full(len(table), -1)
        self._fold[known] = fold[known]
        entries = {name: _entries(data, scorer, known, fold) for name, scorer in scorers.items()}
        self._chosen: dict[bool, list[tuple[Scorer, OfKind]]] = {}
        for kind in (True, False):
            losses, judges, costs = {}, {}, {}
            for name, whole in entries.items():
                own = whole.at(whole.given == kind)
                judges[name] = fit_kind(own, table.num_classes, None, None)
                costs[name], count = _costs(judges[name], own)
                losses[name] = float(costs[name].sum()) / max(1, count)
            best = alike(costs, self.config.best)
            self._chosen[kind] = [(scorers[name], judges[name]) for name in best]
            told = "given" if kind else "missing"
            self.notes[f"{told}_by"] = best
            self.notes[f"{told}_log_loss"] = {name: round(loss, 4) for name, loss in losses.items()}

    def score(self, features: np.ndarray, given: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        fold = np.full(len(features), -1) if rows is None else self._fold[rows]
        logits: dict[int, np.ndarray] = {}
        by: dict[bool, list[tuple[np.ndarray, OfKind]]] = {True: [], False: []}
        for kind, members in self._chosen.items():
            for scorer, judge in members:
                if id(scorer) not in logits:
                    logits[id(scorer)] = scorer.logits(features, rows)
                by[kind].append((logits[id(scorer)], judge))
        odds = odds_by_kind(by[True], by[False], given > 0, np.arange(given.shape[1]), fold[:, None])
        return odds.astype(np.float32)


def alike(costs: dict[str, np.ndarray], most: int) -> list[str]:
    """The names that cost least: those within one standard error of the least one, at most so many.

    Args:
        costs: (m,) of the same images each; of none, the first name stands.
    """
    order = sorted(costs, key=lambda name: float(costs[name].sum()))
    least = costs[order[0]]
    if not len(least):
        return order[:1]
    alike = [name for name in order if _within_an_error(costs[name] - least)]
    return alike[:most]


def _within_an_error(more: np.ndarray) -> bool:
    """Whether the sum of what images (m,) cost more is at most its standard error."""
    if len(more) < 2:
        return not more.sum() > 0
    return bool(more.sum() <= more.std(ddof=1) * np.sqrt(len(more)))


def _known(data: TagData) -> np.ndarray:
    """int64 rows of which something is verified, and that have features."""
    return np.flatnonzero((data.table.verification > 0) & (data.stored >= 0))


def _entries(data: TagData, scorer: Scorer, rows: np.ndarray, fold: np.ndarray) -> ScoredEntries:
    """The verified entries of ``rows`` with the scores of one candidate."""
    parts = []
    for where, features in data.blocks(rows):
        some = rows[where]
        position, classes, present = data.table.verified_entries(some)
        given = data.table.noisy_targets(some)[position, classes] > 0
        parts.append((some[position], classes, given, present, scorer.logits(features, some)[position, classes]))
    nothing = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, bool), np.empty(0, bool), np.empty(0))
    image, classes, tagged, there, score = (
        np.concatenate(column) for column in zip(*(parts or [nothing]), strict=True)
    )
    return ScoredEntries(image, classes, tagged, there, score, fold[image])


def _costs(judge: OfKind, entries: ScoredEntries) -> tuple[np.ndarray, int]:
    """Log-losses of images with verified entries, each by a calibration that did not see it; and how many entries."""
    z = np.clip(judge.odds(entries.score, entries.classes, entries.fold), -MOST_ODDS, MOST_ODDS)
    _, image = np.unique(entries.rows, return_inverse=True)
    return np.bincount(image, np.logaddexp(0.0, z) - entries.present * z), len(entries)
