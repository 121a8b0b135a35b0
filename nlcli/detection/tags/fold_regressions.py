"""Solved regressions, one a class: images that they were fitted on are scored by those that did not see them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nlcli.estimation.cross_fitting import out_of_fold_path, strata_of_tags, stratified_folds
from nlcli.estimation.linear_model import LinearModel
from nlcli.estimation.objective import Term
from nlcli.estimation.path import path_values
from nlcli.estimation.scale import FeatureScale
from nlcli.estimation.solver import solve
from nlcli.stages.files import read_arrays, write_arrays

FOLDS = 5
STRENGTHS = tuple(float(10.0 ** (-0.5 * i)) for i in range(3, 12, 2))
_CHOICE_CELLS = 1 << 22  # logits in memory at each strength where one is chosen
_TOLERANCE = 1e-4


Judge = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]]
Loss = Callable[[np.ndarray, np.ndarray], float]


@dataclass(frozen=True, eq=False)
class _Strength:
    """The best l2, and the images (m,) that it was judged by with their out-of-fold log-odds (m, C)."""

    l2: float
    images: np.ndarray
    logits: np.ndarray


class SolvedScores:
    """Regressions of all folds, and one of all images for those that nothing was fitted on.

    Args:
        rows: (n,) int64 rows of the data set, increasing, of the images that are fitted on.
        features: (n, D) float32, of unit length.
        targets: (n, C) CSR.
        weights: (n,), or None for ones; or several of these, of which ``loss`` chooses.
        judged: (n,) bool: the images whose out-of-fold loss chooses the regularisation.
        judge: Gives labels (m, C) by which some of the images are judged, and which of them are known (None: all).
        folds: (n,) fold of each image.
        kept: Folder for what is solved: what lies there is not solved again. None: nothing is kept.
        near: Regressions of the same images and folds, on other labels, from which each of these begins.
        loss: Of some of the images (m,) and their out-of-fold log-odds (m, C): by which weights are compared.

    Attributes:
        strength: The l2 that was chosen.
        chosen: Which of the weights.
    """

    def __init__(
        self,
        rows: np.ndarray,
        features: np.ndarray,
        targets: Any,
        weights: np.ndarray | Sequence[np.ndarray] | None,
        judged: np.ndarray,
        judge: Judge,
        folds: np.ndarray,
        kept: Path | None = None,
        near: SolvedScores | None = None,
        loss: Loss | None = None,
    ) -> None:
        self._rows, self._folds = rows, folds
        classes = targets.shape[1]
        terms = [Term(targets, one) for one in (weights if isinstance(weights, Sequence) else [weights])]

        def strength() -> dict[str, np.ndarray]:
            found = [_strength(features, term, classes, judged, judge, folds) for term in terms]
            losses = [0.0 if loss is None else loss(one.images, one.logits) for one in found]
            best = int(np.argmin(losses))
            return {"l2": np.array(found[best].l2), "weights": np.array(best)}

        told = kept_arrays(kept, "strength", strength)
        self.strength, self.chosen = float(told["l2"]), int(told["weights"])
        term = terms[self.chosen]

        def solved(fold: int | None) -> dict[str, np.ndarray]:
            # Not started from the whole: what did not move far would still know the images it must not have seen.
            images, part = features, term
            if fold is not None:
                own = np.flatnonzero(folds != fold)
                images, part = features[own], term.of_rows(own)
            begin = None if near is None else near._whole if fold is None else near._without[fold]
            model = solve(images, part, "multi-label", classes, self.strength, start=begin, tolerance=_TOLERANCE).model
            return {"kernel": model.kernel, "bias": model.bias}

        self._whole = LinearModel(**kept_arrays(kept, "whole", partial(solved, None)), task="multi-label")
        self._without = [
            LinearModel(**kept_arrays(kept, f"without-{fold}", partial(solved, fold)), task="multi-label")
            for fold in range(FOLDS)
        ]

    def logits(self, features: np.ndarray, rows: np.ndarray | None) -> np.ndarray:
        """(n, C) float32 of images as stored; ``rows`` as for ``TagDetector.score``."""
        unit = FeatureScale("unit").apply(np.asarray(features, np.float32))
        if rows is None or not len(self._rows):
            return np.asarray(self._whole.logits(unit), np.float32)
        place = np.minimum(np.searchsorted(self._rows, rows), len(self._rows) - 1)
        fold = np.where(self._rows[place] == rows, self._folds[place], -1)
        logits = np.empty((len(unit), len(self._whole.bias)), np.float32)
        for number in np.unique(fold):
            model = self._whole if number < 0 else self._without[number]
            logits[fold == number] = model.logits(unit[fold == number])
        return logits


def kept_arrays(folder: Path | None, name: str, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """What ``make`` gives, from a file where it was made before: a run that was stopped goes on with the next."""
    if folder is None:
        return make()
    path = folder / f"{name}.npz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_arrays(path, make())
    return read_arrays(path)


def tag_folds(given: Any, seed: int) -> np.ndarray:
    """(n,) folds of images, each with its part of every class's given tags ``(n, C)``."""
    return stratified_folds(strata_of_tags(given), FOLDS, seed)


def _strength(
    features: np.ndarray, term: Term, classes: int, judged: np.ndarray, judge: Judge, folds: np.ndarray
) -> _Strength:
    """The l2 with the least out-of-fold log-loss of the judged images, on as many of the images as memory allows."""
    most = max(1000, _CHOICE_CELLS // classes)
    part = np.arange(len(features))
    if len(part) > most:  # judged ones first; folds were dealt at random, so any part of them will do
        part = np.sort(np.argsort(~judged, kind="stable")[:most])
    design = features[part]
    values = path_values(design, STRENGTHS)
    path = out_of_fold_path(
        design, term.of_rows(part), "multi-label", classes, values, folds[part], tolerance=_TOLERANCE
    )
    which = np.flatnonzero(judged[part])
    least, best = np.inf, _Strength(values[0], part[which], np.empty(0))
    for value, logits in zip(values, path, strict=False):
        loss = sum(_losses(logits, part, which, judge))
        if loss > least:
            break  # weak ones take longest, and behind the best there are only worse ones
        if loss < least:
            least, best = loss, _Strength(float(value), part[which], logits[which])
    return best


def _losses(logits: np.ndarray, part: np.ndarray, which: np.ndarray, judge: Judge) -> Iterator[float]:
    """Log-losses of the judged images, some at a time."""
    for first in range(0, len(which), 4096):
        some = which[first : first + 4096]
        truth, known = judge(part[some])
        z = logits[some].astype(np.float64)
        loss = np.logaddexp(0.0, z) - truth * z
        yield float(np.sum(loss if known is None else loss * known))
