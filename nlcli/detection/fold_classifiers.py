"""Linear classifiers of all folds, solved on the noisy labels: number f does not see the images of fold f.

Where true classes are known of training images, these take the place of the noisy ones, with a weight; an image of
which only is known that its label is wrong counts as one of any other class.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nlcli.console import progress
from nlcli.detection.base import READ_ROWS, Data
from nlcli.detection.verification import UNVERIFIED, WRONG
from nlcli.errors import NlcliError
from nlcli.estimation.cross_fitting import stratified_folds
from nlcli.estimation.design import ChosenBlocks, RowBlocks
from nlcli.estimation.linear_model import LinearModel
from nlcli.estimation.objective import Term
from nlcli.estimation.path import STRENGTHS, clearly_worse, path_values, simplest_near_best, solve_path
from nlcli.estimation.preconditioner import Preconditioner
from nlcli.estimation.random_features import RandomFeatures, WithRandomFeatures
from nlcli.estimation.scale import FeatureScale
from nlcli.estimation.solver import Solution, solve
from nlcli.estimation.tempering import tempered_class_losses
from nlcli.runtime import memory_available
from nlcli.stages.files import read_arrays, write_arrays

FOLDS = 5
WEIGHTS = (1.0, 5.0, 20.0)
"""What a verified image may count, one of which is chosen."""
_ENOUGH = 2000
"""Held-out images by which a point of the path is chosen: folds are added until there are so many."""
_FEWEST = 50
"""Images with a known true class from which on they choose what they count."""
WORK = 2e10
"""Multiplications of one pass over the images: of more images than that takes a part is drawn."""


@dataclass(frozen=True)
class FoldSettings:
    """How such classifiers are solved; equal ones of the same data and seed give the same classifiers.

    Attributes:
        folds: How many.
        strength: L2, as a part of the features' variance; None: the value of a path that predicts noisy labels best.
        weights: What a verified image counts: one of these, chosen where there are several. Empty: no verified label
            is looked at.
    """

    folds: int = FOLDS
    strength: float | None = None
    weights: tuple[float, ...] = WEIGHTS


@dataclass(frozen=True, eq=False)
class FoldClassifiers:
    """The classifiers.

    Attributes:
        kernels, biases: (folds, D, C) and (folds, C) float32, for features of unit length.
        fold_of: (N,) int64 by row of the data set: the fold that a training image is in, -1 for all others.
        notes: What was chosen, as JSON values.
    """

    kernels: np.ndarray
    biases: np.ndarray
    fold_of: np.ndarray
    notes: dict[str, Any]

    def probabilities(self, features: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """(n, C) float64: of an image in a fold by the classifier that has not seen it, else the mean of all.

        Args:
            features: (n, D).
            rows: (n,) of the data set; None: images that are not in it.
        """
        fold = np.full(len(features), -1) if rows is None else self.fold_of[rows]
        unit = FeatureScale("unit").apply(features)
        shares = np.zeros((len(features), self.biases.shape[1]))
        for number, (kernel, bias) in enumerate(zip(self.kernels, self.biases, strict=True)):
            inside = np.flatnonzero((fold == number) | (fold < 0))
            share = np.where(fold[inside] < 0, 1 / len(self.biases), 1.0)[:, None]
            shares[inside] += share * _probabilities(LinearModel(kernel, bias, "single-label"), unit[inside])
        return shares


def fold_classifiers(data: Data, seed: int, work: Path, settings: FoldSettings | None = None) -> FoldClassifiers:
    """The classifiers of the training images of ``data``; those that another detector made, or that lie in ``work``.

    Raises:
        NlcliError: fewer training images than folds.
    """
    settings = FoldSettings() if settings is None else settings
    if len(data.train) < settings.folds:
        raise NlcliError(
            f"the training images are parted into {settings.folds} folds, and only {len(data.train)} have a noisy "
            "label and features; set fewer folds, or label more images"
        )
    key = ("fold classifiers", seed, settings)
    if key not in data.shared:
        data.shared[key] = _kept_or_solved(data, seed, work / "folds.npz", settings)
    shared: FoldClassifiers = data.shared[key]
    return shared


def margins(probabilities: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """(n,) probability of ``classes`` (n,) less the largest of the others, of (n, C)."""
    own: np.ndarray = np.take_along_axis(probabilities, classes[:, None], axis=1)[:, 0]
    others = probabilities.copy()
    np.put_along_axis(others, classes[:, None], -np.inf, axis=1)
    best: np.ndarray = others.max(axis=1) if others.shape[1] > 1 else np.zeros(len(own))
    margin: np.ndarray = own - best
    return margin


def _kept_or_solved(data: Data, seed: int, path: Path, settings: FoldSettings) -> FoldClassifiers:
    problem = _Problem(data, seed, settings)
    if not path.exists():
        solutions, strength, weight, curve = problem.solved(settings)
        solved = {
            "kernels": np.stack([solution.model.kernel for solution in solutions]).astype(np.float32),
            "biases": np.stack([solution.model.bias for solution in solutions]).astype(np.float32),
            "chosen": np.array([strength, weight]),
            "iterations": np.array([solution.iterations for solution in solutions]),
            "curve": curve,
        }
        write_arrays(path, solved)
    arrays = read_arrays(path)
    strength, weight = arrays["chosen"].tolist()
    fold_of = np.full(len(data.table), -1)
    fold_of[data.train.rows[problem.positions]] = problem.fold
    notes = {
        "l2_strength": strength,
        "weight_of_verified": weight if settings.weights else None,
        "iterations": arrays["iterations"].tolist(),
        "path": [{"l2_strength": s, "out_of_fold_loss": loss} for s, loss in arrays["curve"].tolist()],
        "fitted_on": len(problem.positions),
    }
    return FoldClassifiers(arrays["kernels"], arrays["biases"], fold_of, notes)


def _probabilities(model: LinearModel, unit: np.ndarray) -> np.ndarray:
    return np.exp(model.log_probabilities(unit).astype(np.float64))


class _Problem:
    """The images that are fitted on, in folds.

    Attributes:
        positions: (n,) int64 of ``data.train``.
        fold: (n,) int64.
    """

    def __init__(self, data: Data, seed: int, settings: FoldSettings) -> None:
        self._data, train = data, data.train
        known = train.label != UNVERIFIED
        self.positions = _drawn(data, known, seed)
        noisy = train.noisy[self.positions]
        visible = bool(settings.weights)
        strata = 2 * noisy + (known[self.positions] if visible else 0)
        self.fold = stratified_folds(strata, settings.folds, seed)
        self._noisy, self._classes = noisy, len(data.classes)
        self._true = data.true[train.rows[self.positions]] if visible else np.full(len(noisy), -1)
        self._no_more = (train.label[self.positions] == WRONG) & visible & (self._true < 0)

    def solved(self, settings: FoldSettings) -> tuple[list[Solution], float, float, np.ndarray]:
        """Solutions by fold, the strength and the weight that were chosen, and (points, 2) the path and its losses."""
        design = self._design()
        preconditioner = Preconditioner(design)
        weights = settings.weights or (1.0,)
        if (self._true >= 0).sum() < _FEWEST:
            weights = weights[:1]
        total = (len(STRENGTHS) if settings.strength is None else 0) + settings.folds * len(weights)
        with progress(total, "solving classifiers of the noisy labels", unit="fits") as bar:
            curve = np.empty((0, 2))
            strength = settings.strength
            if strength is None:
                strength, curve = self._chosen_strength(design, preconditioner, bar)
            value = path_values(design, (strength,))[0]
            solutions: list[list[Solution]] = []  # by fold, then by weight
            for number in range(settings.folds):
                others, kept = self._others(design, number), self.fold != number
                start, of_fold = None, []
                for weight in weights:
                    term = self._term(kept, weight)
                    of_fold.append(
                        solve(
                            others,
                            term,
                            "single-label",
                            self._classes,
                            value,
                            start=start,
                            preconditioner=preconditioner,
                        )
                    )
                    start = of_fold[-1].model
                    bar.advance(1)
                solutions.append(of_fold)
        which = 0
        if len(weights) > 1:
            costs = [self._costs(design, [of_fold[i] for of_fold in solutions]) for i in range(len(weights))]
            which = simplest_near_best(np.array(costs))
        return [of_fold[which] for of_fold in solutions], strength, weights[which], curve

    def _chosen_strength(self, design: RowBlocks, preconditioner: Preconditioner, bar: Any) -> tuple[float, np.ndarray]:
        """The strength whose classifiers predict the noisy labels of images of other folds best, and the path."""
        costs: dict[int, list[np.ndarray]] = {}
        values = path_values(design)
        seen, points = 0, len(values)
        for number in range(int(self.fold.max()) + 1):
            kept, of_fold = self.fold != number, np.flatnonzero(self.fold == number)
            others, term = self._others(design, number), self._term(kept, 1.0)
            path = solve_path(
                others, term, "single-label", self._classes, values[:points], preconditioner=preconditioner
            )
            curve: list[np.ndarray] = []
            for point, solution in enumerate(path):
                curve.append(_losses(design, solution.model, ~kept, self._noisy[of_fold]))
                costs.setdefault(point, []).append(curve[-1])
                bar.advance(1 if not seen else 0)
                if clearly_worse(np.array(curve)):
                    break
            points = min(points, len(curve))
            seen += len(of_fold)
            if seen >= _ENOUGH:
                break
        table = np.array([np.concatenate(costs[point]) for point in range(points)])
        best = simplest_near_best(table, standard_errors=0.0)
        return STRENGTHS[best], np.stack([STRENGTHS[:points], table.mean(axis=1)], axis=1)

    def _term(self, kept: np.ndarray, weight: float) -> Term:
        """Labels of the images ``kept`` (n,) bool, verified ones counting ``weight``."""
        from scipy.sparse import csr_array

        classes = np.where(self._true >= 0, self._true, self._noisy)
        count, every = len(classes), np.ones(len(classes), np.float32)
        places = np.arange(count + 1)
        # An image that is known to be of another class than its label's has no target, only a class that it is not.
        targets = csr_array((np.where(self._no_more, 0.0, every), classes, places), shape=(count, self._classes))
        mask = csr_array((every, classes, places), shape=targets.shape) if self._no_more.any() else None
        verified = (self._true >= 0) | self._no_more
        weights = np.where(verified, weight, 1.0)
        return Term(targets, weights, mask).of_rows(np.flatnonzero(kept))

    def _costs(self, design: RowBlocks, solutions: list[Solution]) -> np.ndarray:
        """(m,) -log p of the known true classes, by the classifiers that have not seen them.

        At the temperature that suits them best: a large weight makes classifiers surer, which tells no right label from
        a wrong one.
        """
        known = self._true >= 0
        log_p = np.empty((int(known.sum()), self._classes))
        for number, solution in enumerate(solutions):
            asked = (self.fold == number) & known
            places = np.flatnonzero(asked[known])
            for first, part in ChosenBlocks(design, asked).blocks():
                log_p[places[first : first + len(part)]] = solution.model.log_probabilities(part)
        return tempered_class_losses(log_p, self._true[known])[1]

    def _design(self) -> RowBlocks:
        return unit_design(self._data, self.positions)

    def _others(self, design: RowBlocks, number: int) -> RowBlocks:
        """The images of the other folds."""
        kept = self.fold != number
        if isinstance(design, _HeldBlocks):
            return _HeldBlocks(design.features[kept])
        return ChosenBlocks(design, kept)


def unit_design(data: Data, positions: np.ndarray, more: RandomFeatures | None = None) -> RowBlocks:
    """Features of training images, of unit length: in memory where that has room for them, else read each time.

    Args:
        more: What stands beside them.
    """
    width = data.num_features + (0 if more is None else more.count)
    if 8 * len(positions) * width <= memory_available() // 2:  # and the part of a fold beside it
        held = np.empty((len(positions), width), np.float32)
        first = 0
        for part, features in data.parts(data.train, positions):
            unit = FeatureScale("unit").apply(features)
            held[first : first + len(part)] = unit if more is None else more.apply(unit)
            first += len(part)
        return _HeldBlocks(held)
    read = _ReadBlocks(data, positions)
    return read if more is None else WithRandomFeatures(read, more)


class _HeldBlocks:
    """Features in memory; in float32, as no digit beyond tells a right label from a wrong one."""

    def __init__(self, features: np.ndarray) -> None:
        self.features = features
        self.shape: tuple[int, int] = features.shape

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        for first in range(0, len(self.features), READ_ROWS):
            yield first, self.features[first : first + READ_ROWS]


class _ReadBlocks:
    """Features of training images of unit length, read again each time that they are gone through."""

    def __init__(self, data: Data, positions: np.ndarray) -> None:
        self._data, self._positions = data, positions
        self.shape: tuple[int, int] = (len(positions), data.num_features)

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        first = 0
        for part, features in self._data.parts(self._data.train, self._positions):
            yield first, FeatureScale("unit").apply(features)
            first += len(part)


def _losses(design: RowBlocks, model: LinearModel, chosen: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """(m,) -log p of ``classes`` (m,) of the rows ``chosen`` (n,) bool."""
    losses = np.empty(len(classes))
    for first, part in ChosenBlocks(design, chosen).blocks():
        asked = classes[first : first + len(part)]
        losses[first : first + len(part)] = -model.log_probabilities(part)[np.arange(len(part)), asked]
    return losses


def _drawn(data: Data, known: np.ndarray, seed: int) -> np.ndarray:
    """Positions of the training images to fit on: all verified ones and of the others as many as are bearable."""
    train, classes = data.train, len(data.classes)
    most = max(100, int(WORK / (data.num_features * classes * classes)))
    parts = []
    for c in range(classes):
        of_class = train.of_class(c)
        parts.append(of_class[known[of_class]])
        parts.append(data.at_most(of_class[~known[of_class]], c, seed, most))
    return np.sort(np.concatenate(parts))
