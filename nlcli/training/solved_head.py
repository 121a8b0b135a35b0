"""Heads that are solved: what the method is given, and what came of it as the outcome of a training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.sparse import csr_array

from nlcli.data.labels import NONE, only_class
from nlcli.errors import NlcliError
from nlcli.estimation.criterion import RANKING_COST, SCALED_LOG_LOSS
from nlcli.estimation.design import SMALL, ArrayBlocks, block_rows
from nlcli.estimation.linear_model import LinearModel, probabilities
from nlcli.estimation.linear_search import Checked, Point, Witnesses
from nlcli.runtime import one_blas_thread
from nlcli.seeds import stream
from nlcli.training.loop.contract import Outcome
from nlcli.training.loop.feature_source import RowFeatures
from nlcli.training.loop.history import Evaluation, write_history
from nlcli.training.loop.pools import CachedFeatures, TrainingRows
from nlcli.training.result import SelectedBy, SolvedBy, SolvedPoint
from nlcli.training.validation import Validation

if TYPE_CHECKING:
    from nlcli.data.labels import LabelTable
    from nlcli.estimation.design import RowBlocks
    from nlcli.estimation.scale import FeatureScale
    from nlcli.methods.base.method import Method
    from nlcli.methods.base.solution import Labelled, Solved
    from nlcli.networks.linear_layer import LinearLayer

NOISY_IMAGES = 6000
"""Images whose noisy labels choose where nothing is verified."""
WITNESSES = 3000
"""Most images whose noisy labels help verified ones to choose."""
_LEFT_OUT = 0.25
_WITNESS_VALUES = 1 << 20


@dataclass
class SolvedOutcome(Outcome):
    """What came of solving: a point of a path is a step of ``history``, a candidate is a phase."""

    solved: Solved
    chosen_on: Literal["validation", "train", "noisy"]
    chose: int

    def selected(self) -> SelectedBy:
        """What chose the point."""
        if self.selected_by is None:
            return SelectedBy(split=None, why="no verified label; noisy labels left out in turn chose l2")
        split: Literal["validation", "train"] = "train" if self.chosen_on == "train" else "validation"
        return SelectedBy(split=split, metric=self.selected_by, value=self.value)

    def record(self) -> SolvedBy:
        """For the result."""
        points = (
            SolvedPoint(phase=p.candidate, l2=p.l2, iterations=p.iterations, cost=p.cost) for p in self.solved.points
        )
        return SolvedBy(
            l2=self.solved.l2,
            iterations=self.solved.iterations,
            converged=self.solved.converged,
            chosen_on=self.chosen_on,
            path=tuple(points),
            details=dict(self.solved.details),
        )

    def remarks(self) -> list[str]:
        """What should not be taken as it is."""
        own = [point for point in self.solved.points if point.candidate == self.phase]
        told = list(self.solved.remarks)
        if len(own) > 1 and self.solved.l2 in (own[0].l2, own[-1].l2):
            which = "strongest" if self.solved.l2 == own[0].l2 else "weakest"
            told.append(f"the best l2, {self.solved.l2:.2e}, is the {which} that was tried; look at the labels")
        return told

    def summary(self, name: str, metrics: Mapping[str, float]) -> str:
        """A line for people."""
        shown = ", ".join(f"{metric} {value:.4f}" for metric, value in metrics.items())
        of = f"'{self.phase}', " if len({point.candidate for point in self.solved.points}) > 1 else ""
        return (
            f"{name}: solved in {self.solved.iterations} iterations; {of}l2 {self.solved.l2:.2e}, "
            f"chosen on {_CHOSEN[self.chosen_on]}; validation {shown or 'has no verified labels'}"
        )


_CHOSEN = {
    "validation": "validation",
    "train": "verified training images left out in turn",
    "noisy": "noisy labels left out in turn, as nothing is verified",
}


class ScaledFeatures:
    """Features of some rows on a scale that are read again each time, in the blocks of ``ArrayBlocks``."""

    def __init__(self, data: RowFeatures, shape: tuple[int, int], scale: FeatureScale) -> None:
        self.shape, self._data, self._scale = shape, data, scale
        self._dtype = np.dtype(np.float64 if shape[0] * shape[1] <= SMALL else np.float32)

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """(first row, features)."""
        size = block_rows(self.shape[1], self._dtype.itemsize)
        block, filled, first = np.empty((min(size, self.shape[0]), self.shape[1]), self._dtype), 0, 0
        for _, part in self._data.parts():
            scaled, taken = self._scale.apply(part), 0
            while taken < len(scaled):
                count = min(len(scaled) - taken, len(block) - filled)
                block[filled : filled + count] = scaled[taken : taken + count]
                filled, taken = filled + count, taken + count
                if filled == len(block):
                    yield first, block
                    first += filled
                    block, filled = np.empty((min(size, self.shape[0] - first), self.shape[1]), self._dtype), 0


def scaled_features(
    store: CachedFeatures, data: RowFeatures, scale: FeatureScale, budget: int
) -> ScaledFeatures | ArrayBlocks:
    """Blocks of ``data``, all of them scaled in memory where ``budget`` bytes hold them."""
    shape = (len(data.rows), store.shape[1])
    if 4 * shape[0] * shape[1] > budget:
        return ScaledFeatures(data, shape, scale)
    whole = np.empty(shape, np.float32)
    for first, part in data.parts():
        whole[first : first + len(part)] = scale.apply(part)
    return ArrayBlocks(whole)


def labelled(
    method: Method,
    table: LabelTable,
    store: CachedFeatures,
    rows: TrainingRows,
    validation: RowFeatures,
    *,
    clean: np.ndarray,
    weights: np.ndarray | None,
    counts: np.ndarray | None,
    start: LinearLayer | None,
    budget: int,
) -> Labelled:
    """What ``method`` is given.

    Args:
        clean: Dataset rows of the run's clean set, which choose where validation has no verified image.
        weights: Of each of ``rows.used``, see ``detected_weights``.
        counts: Of each of these, see ``image_weights``.
        start: On the method's scale.
    """
    from nlcli.methods.base.solution import Labelled

    used = rows.used.dataset
    data = RowFeatures(store, table, rows.used, 0)
    method.scale.fit(part for _, part in data.parts())
    scale = method.scale.of_arrays()
    design = scaled_features(store, data, scale, budget * 3 // 4)
    of_clean, of_noisy = np.zeros(len(used), bool), np.zeros(len(used), bool)
    of_clean[np.isin(used, rows.chosen)] = True
    of_noisy[rows.labelled] = True
    verified, known = table.verified_matrices(used, of_clean)
    counted = weights if counts is None else counts
    checked, choosers, unverified = _checked(table, store, rows, validation, scale, clean, counted, budget // 4)
    return Labelled(
        design=design,
        task=table.task,
        classes=table.num_classes,
        noisy=csr_array(table.noisy[used] > 0),
        of_noisy=of_noisy,
        weights=weights,
        counts=counts,
        verified=verified,
        known=known,
        of_clean=of_clean,
        checked=checked,
        unverified=unverified,
        measure=_measure(table, choosers, unverified),
        start=None if start is None else LinearModel(start.kernel, start.bias, table.task),
    )


def _checked(
    table: LabelTable,
    store: CachedFeatures,
    rows: TrainingRows,
    validation: RowFeatures,
    scale: FeatureScale,
    clean: np.ndarray,
    weights: np.ndarray | None,
    budget: int,
) -> tuple[Checked, np.ndarray, bool]:
    """The images that choose, their rows in the data set, and whether nothing is verified at all."""
    images = validation.rows.dataset
    v, m = table.verified_targets(images)
    if _tells(v, m):
        design: RowBlocks = scaled_features(store, validation, scale, budget)
        return Checked(v, m, design, noisy=csr_array(table.noisy[images] > 0)), images, False
    places = np.flatnonzero(np.isin(rows.used.dataset, clean))
    v, m = table.verified_targets(rows.used.dataset[places])
    if _tells(v, m):
        checked = Checked(
            v, m, rows=places, fitted_on=len(rows.clean) > 0, witnesses=_witnesses(table, rows, places, weights)
        )
        return checked, rows.used.dataset[places], False
    every = max(1, len(rows.labelled) // NOISY_IMAGES)
    places = rows.labelled[::every].astype(np.int64)
    v = table.noisy_targets(rows.used.dataset[places])
    return Checked(v, np.ones_like(v), rows=places), rows.used.dataset[places], True


def _witnesses(
    table: LabelTable, rows: TrainingRows, checked: np.ndarray, weights: np.ndarray | None
) -> Witnesses | None:
    """Images of T of which nothing is verified; None of several labels, or where some images count more than others."""
    if table.task == "multi-label" or weights is not None:
        return None
    used = rows.used.dataset
    free = rows.labelled[table.verification[used[rows.labelled]] == NONE].astype(np.int64)
    most = min(WITNESSES, int(len(free) * _LEFT_OUT), _WITNESS_VALUES // table.num_classes)
    if most < 1:
        return None
    chosen = np.sort(stream(0, "witnesses").permutation(free)[:most])
    noisy = only_class(csr_array(table.noisy[used] > 0))
    return Witnesses(chosen, noisy[chosen], noisy[checked])


def _tells(verified: np.ndarray, known: np.ndarray) -> bool:
    """Whether a class is known to be there on an image, and not to be there on another."""
    return bool(verified.any() and (known > verified).any())


def _measure(table: LabelTable, images: np.ndarray, unverified: bool) -> Callable[[np.ndarray], Mapping[str, float]]:
    scores = [np.empty((0, table.num_classes), np.float32)]
    validation = Validation(table, images, lambda: iter([(0, scores[0])]))

    def measure(logits: np.ndarray) -> Mapping[str, float]:
        scores[0] = probabilities(logits, table.task)
        return validation.metrics()

    return (lambda logits: {}) if unverified else measure


@one_blas_thread()  # a head has the same bits on any number of threads
def solve_head(
    method: Method, data: Labelled, validate: Callable[[], Mapping[str, float]] | None, work: Path
) -> SolvedOutcome:
    """Solve ``method`` and write ``metrics.jsonl``.

    Args:
        validate: Metrics of the solved head on validation; None where nothing is verified there.

    Raises:
        NlcliError: the run weighs images or their labels, and the method has not asked for it.
    """
    from nlcli.methods.base.solution import Watched

    watched = Watched.of(data)
    solved = method.solve(watched)
    passed_over = watched.passed_over()
    if passed_over:
        weighs = {
            "counts": "what each image counts (--image-weights)",
            "weights": "what a detection makes labels weigh",
        }
        raise NlcliError(
            f"method {method.name} passes over {weighs[passed_over[0]]}: its solve() asks neither for "
            f"labelled.{passed_over[0]} nor for labelled.noisy_term() or clean_term(), which heed it; correct the "
            "method, or leave the weights out"
        )
    by = SCALED_LOG_LOSS if data.task == "single-label" else RANKING_COST
    steps: dict[str, int] = {}
    history = []
    for number, point in enumerate(solved.points):
        step = steps[point.candidate] = steps.get(point.candidate, -1) + 1
        history.append(_evaluation(point, step, by, solved.crossed))
        if number == solved.chosen and validate is not None:
            told = history[-1].validation | dict(validate())
            history[-1] = history[-1].model_copy(update={"validation": told})
    write_history(work, history)
    chosen, point = history[solved.chosen], solved.points[solved.chosen]
    return SolvedOutcome(
        history=history,
        phase=chosen.phase,
        step=chosen.step,
        selected_by=None if data.unverified else by,
        value=point.cost,
        steps=solved.iterations,
        stopped="converged" if solved.converged else "iterations",
        steps_per_second=0.0,
        solved=solved,
        chosen_on="noisy" if data.unverified else "train" if solved.crossed else "validation",
        chose=0 if data.unverified else len(data.checked.verified),
    )


def _evaluation(point: Point, step: int, by: str, crossed: bool) -> Evaluation:
    """The line of one point: metrics of validation, or of training images left out in turn."""
    about = {"l2": point.l2, "iterations": float(point.iterations)}
    metrics = dict(point.metrics) | ({} if point.cost is None else {by: point.cost})
    if crossed:
        about |= {f"left_out_{name}": value for name, value in metrics.items()}
    return Evaluation(phase=point.candidate, step=step, train=about, validation={} if crossed else metrics)
