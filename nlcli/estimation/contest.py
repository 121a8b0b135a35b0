"""The candidate that verified images prefer, by classifiers that did not see them, and its classifier.

Verified images that are trained on take turns at being left out, in folds; others judge what was fitted to all. Each
candidate brings the strength of regularisation that it does best with on the *other* folds, so that what is compared is
what was chosen without the image. Of one label an image scores the negative tempered log-loss (``tempering``), the
factor fitted on the other folds, too. On several labels what counts is the order of all entries, which is no mean over
images: there a score is a pseudo-value of the mean of AP_all and mAP, by leaving out a group of images at a time
(the jackknife; Miller 1974).

``select`` then keeps the simplest candidate within one standard error of the best.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from nlcli.estimation.candidates import NOISY, Candidates, Images
from nlcli.estimation.criterion import GROUPS, cost, pseudo_values
from nlcli.estimation.cross_fitting import strata_of_tags, stratified_folds
from nlcli.estimation.design import RowBlocks
from nlcli.estimation.linear_model import LinearModel, Task
from nlcli.estimation.selection import Selection, select
from nlcli.estimation.tempering import temperature, tempered_losses

FOLDS = 5


@dataclass(frozen=True, eq=False)
class Judges:
    """Verified images that are not trained on.

    Attributes:
        design: Their features.
        verified, known: (m, C) arrays, as a ``Term`` has them.
    """

    design: RowBlocks
    verified: np.ndarray
    known: np.ndarray


@dataclass(frozen=True, eq=False)
class Contest:
    """What came of comparing.

    Attributes:
        selection: All candidates; None where no image is verified.
        winner: Name of the one that is kept.
        model: Its classifier, fitted to all training images.
        noisy: That of the noisy labels, at the strength that these prefer.
        l2, iterations, converged: Of that.
        values: Strengths at which candidates were solved.
        costs: By name what each costs at each of ``values``, all judging images together.
        judged: How many images judged.
    """

    selection: Selection | None
    winner: str
    model: LinearModel
    noisy: LinearModel
    l2: float
    iterations: int
    converged: bool
    values: tuple[float, ...]
    costs: Mapping[str, tuple[float, ...]]
    judged: int


def contest(images: Images, judges: Judges | None = None) -> Contest:
    """Compare candidates on all verified images and solve the one to keep."""
    candidates = Candidates(images)
    rows = np.flatnonzero(_tells(images))
    logits, verified, known, folds = _crossed(candidates, rows, judges)
    if not len(verified):
        place = candidates.values.index(candidates.l2)
        model, iterations, converged = candidates.final(NOISY, place)
        return Contest(
            None, NOISY, model, candidates.noisy_model, candidates.l2, iterations, converged, candidates.values, {}, 0
        )
    board = _Board(images.task, logits, verified, known, folds)
    scores = {name: board.scores(name) for name in candidates.names}
    each = len(verified) / len(next(iter(scores.values())))
    selection = select(scores, baseline=NOISY, images_each=each)
    place = board.best(selection.chosen)
    model, iterations, converged = candidates.final(selection.chosen, place)
    costs = {name: tuple(board.costs(name)) for name in candidates.names}
    value = candidates.values[place]
    return Contest(
        selection,
        selection.chosen,
        model,
        candidates.noisy_model,
        value,
        iterations,
        converged,
        candidates.values,
        costs,
        len(verified),
    )


def _tells(images: Images) -> np.ndarray:
    """(n,) bool, which images can judge."""
    if images.task == "multi-label":
        return images.checked
    return images.checked & (images.true_class >= 0)


Logits = Mapping[str, np.ndarray]


def _crossed(
    candidates: Candidates, rows: np.ndarray, judges: Judges | None
) -> tuple[Logits, np.ndarray, np.ndarray, np.ndarray]:
    """By name (values, m, C) logits of all judging images, what is verified of them, and their folds."""
    images = candidates.images
    verified = np.asarray(images.verified[rows].toarray() > 0, np.float64)
    known = np.asarray(images.known[rows].toarray() > 0, np.float64)
    own = len(rows)
    if judges is not None:
        verified = np.concatenate([verified, np.asarray(judges.verified, np.float64)])
        known = np.concatenate([known, np.asarray(judges.known, np.float64)])
    strata = verified.argmax(axis=1) if images.task == "single-label" else strata_of_tags(verified)
    folds = stratified_folds(strata, FOLDS) if len(verified) else np.empty(0, np.int64)
    shape = (len(candidates.values), len(verified), images.classes)
    logits = {name: np.zeros(shape, np.float32) for name in candidates.names}
    for name, place, model in candidates.without():
        if judges is not None:
            parts = [model.logits(part) for _, part in judges.design.blocks()]
            logits[name][place, own:] = np.concatenate(parts)
    for fold in range(FOLDS):
        turn = np.flatnonzero(folds[:own] == fold)
        if not len(turn):
            continue
        held = np.zeros(images.count, bool)
        held[rows[turn]] = True
        for name, place, model in candidates.without(held):
            logits[name][place, turn] = images.logits(model, held)
    return logits, verified, known, folds


class _Board:
    """What candidates cost, fold by fold."""

    def __init__(self, task: Task, logits: Logits, verified: np.ndarray, known: np.ndarray, folds: np.ndarray) -> None:
        self._task, self._logits, self._verified, self._known, self._folds = task, logits, verified, known, folds

    def costs(self, name: str) -> list[float]:
        """At each value, all images together."""
        return [self._cost(name, place, np.arange(len(self._folds))) for place in range(len(self._logits[name]))]

    def best(self, name: str) -> int:
        """Place of the value that costs least."""
        return int(np.argmin(self.costs(name)))

    def scores(self, name: str) -> np.ndarray:
        """One an image, or one a group of images; each at the value that others cost least at."""
        if self._task == "single-label":
            return self._log_likelihoods(name)
        return self._pseudo_values(name)

    def _log_likelihoods(self, name: str) -> np.ndarray:
        scores = np.empty(len(self._folds))
        for fold in np.unique(self._folds):
            own, others = np.flatnonzero(self._folds == fold), np.flatnonzero(self._folds != fold)
            if not len(others):
                others = own
            place = self._place(name, others)
            factor = temperature(self._task, *self._part(name, place, others))
            scores[own] = -tempered_losses(self._task, *self._part(name, place, own), factor)
        return scores

    def _pseudo_values(self, name: str) -> np.ndarray:
        count = len(self._folds)
        chosen = np.empty((count, self._verified.shape[1]), np.float32)
        for fold in np.unique(self._folds):
            own, others = np.flatnonzero(self._folds == fold), np.flatnonzero(self._folds != fold)
            chosen[own] = self._logits[name][self._place(name, others if len(others) else own)][own]
        groups = np.arange(count) % min(GROUPS, count)
        groups = groups[np.argsort(np.argsort(self._folds, kind="stable"), kind="stable")]
        return pseudo_values(chosen, self._verified, self._known, groups)

    def _place(self, name: str, rows: np.ndarray) -> int:
        return int(np.argmin([self._cost(name, place, rows) for place in range(len(self._logits[name]))]))

    def _cost(self, name: str, place: int, rows: np.ndarray) -> float:
        return cost(self._task, *self._part(name, place, rows))

    def _part(self, name: str, place: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self._logits[name][place, rows], self._verified[rows], self._known[rows]
