"""Which of several linear classifiers, at which regularisation, verified images prefer; and that one, solved.

Few verified images choose a strength half by chance: with labels that were all right 110 of them chose one that lost 7
points. So where verified images of one label are left out of training all at once, images that nobody verified may be
left out with them, and their noisy labels are a control variate (``control``) of what classifiers cost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nlcli.estimation.control import controlled, noisy_scores, share_believed
from nlcli.estimation.criterion import cost
from nlcli.estimation.cross_fitting import Beginning, out_of_fold_path, strata_of_tags, stratified_folds
from nlcli.estimation.design import RowBlocks
from nlcli.estimation.linear_model import LinearModel, Task, log_softmax
from nlcli.estimation.objective import Term
from nlcli.estimation.path import solve_path
from nlcli.estimation.preconditioner import Preconditioner
from nlcli.estimation.solver import Solution, solve
from nlcli.estimation.tempering import temperature, tempered_losses

PATH_TOLERANCE = 1e-4
"""Of points that are only compared: the metrics of a solution to 1e-6 differ by less than its images tell."""
PATIENCE = 3
FOLDS = 5
_NOTHING_SAID = 0.1
_APART = 1 / 3
"""Share of the images that may all be left out of training at once, where they have no other part in it."""


@dataclass(frozen=True, eq=False)
class Witnesses:
    """Training images that nobody verified, of one noisy label each.

    Attributes:
        rows: (N,) their places among the training images, rising.
        labels: (N,) int64 their noisy labels.
        of_checked: (m,) int64 those of the verified images, -1 where one has none.
    """

    rows: np.ndarray
    labels: np.ndarray
    of_checked: np.ndarray


@dataclass(frozen=True)
class Checked:
    """Verified images that choose among classifiers.

    Attributes:
        verified, known: (m, C) as in ``Term``.
        design: Their features, where they are not trained on.
        rows: (m,) their places among the training images, where they are: each is then judged by classifiers that
            were solved without it.
        fitted_on: Of those, whether candidates are fitted on what is verified of them.
        noisy: (m, C) CSR, the noisy labels of images that are not trained on; None where nobody asks.
        witnesses: Training images that nobody verified and that are left out with ``rows``; None where none is.
    """

    verified: np.ndarray
    known: np.ndarray
    design: RowBlocks | None = None
    rows: np.ndarray | None = None
    fitted_on: bool = True
    noisy: Any = None
    witnesses: Witnesses | None = None

    def folds(self, images: int) -> np.ndarray:
        """(images,) the fold of each training image, -1 of those that are always fitted on."""
        assert self.rows is not None
        folds = np.full(images, -1)
        strata = strata_of_tags(self.verified * self.known)
        folds[self.rows] = 0 if self.apart(images) else stratified_folds(strata, FOLDS)
        if self.asked(images) is not None:
            assert self.witnesses is not None
            folds[self.witnesses.rows] = 0
        return folds

    def apart(self, images: int) -> bool:
        """Whether ``rows`` are left out of training all at once."""
        return self.rows is not None and not self.fitted_on and len(self.rows) <= _APART * images

    def asked(self, images: int) -> Witnesses | None:
        """The witnesses, where they can be left out with ``rows``."""
        return self.witnesses if self.apart(images) else None


@dataclass(frozen=True)
class Point:
    """One classifier that was compared.

    Attributes:
        cost: By ``nlcli.estimation.criterion.cost``; None where no image could tell.
        metrics: More about it, by name.
    """

    candidate: str
    l2: float
    iterations: int
    cost: float | None
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Attributes:
        points: All that were compared, in their order.
        chosen: Which of them.
        solution: That classifier, solved on all training images.
        crossed: Whether the points' metrics come from classifiers solved without the images.
    """

    points: tuple[Point, ...]
    chosen: int
    solution: Solution
    crossed: bool


Measure = Callable[[np.ndarray], Mapping[str, float]]


def choose(
    design: RowBlocks,
    candidates: Mapping[str, Sequence[Term]],
    task: Task,
    classes: int,
    values: Sequence[float],
    checked: Checked,
    *,
    start: LinearModel | Beginning | None = None,
    towards: np.ndarray | None = None,
    measure: Measure = lambda logits: {},
    preconditioner: Preconditioner | None = None,
    afresh: bool = False,
) -> Choice:
    """The candidate and the point of its path that cost least on ``checked``.

    Args:
        candidates: By name, the simplest first, what each is fitted to.
        values: Of l2, from strong to weak. A path ends when ``PATIENCE`` points after its best one were no better.
        measure: Of (m, C) logits of the checked images, what is to be recorded besides.
        start: Of each path: a classifier that has seen no label of the checked images, or a ``Beginning``.
        towards: As of ``solve``.
        afresh: As of ``solve_path``.
    """
    preconditioner = preconditioner or Preconditioner(design)
    whole = start.model if isinstance(start, Beginning) else start
    begun: LinearModel | Mapping[int, LinearModel] | None = whole
    if isinstance(start, Beginning) and checked.design is None:
        begun = start.without(design, checked.folds(design.shape[0]), PATH_TOLERANCE, preconditioner)
    points: list[Point] = []
    best: Solution | None = None
    chosen = 0
    costs = _Costs(task, classes, checked, design.shape[0])
    for name, terms in candidates.items():
        first = len(points)
        for l2, solution, logits in _path(
            design, terms, task, classes, values, checked, begun, towards, preconditioner, afresh
        ):
            now = costs.with_one(logits)
            iterations = 0 if solution is None else solution.iterations
            points.append(Point(name, l2, iterations, None, dict(measure(logits[: len(checked.verified)]))))
            if int(np.argmin(now)) == len(points) - 1:
                best = solution
            if len(points) - 1 - first - int(np.argmin(now[first:])) >= PATIENCE:
                break
    told = costs.all()
    points = [replace(point, cost=value) for point, value in zip(points, told, strict=True)]
    chosen = int(np.argmin(told))
    point = points[chosen]
    final = solve(
        design,
        candidates[point.candidate],
        task,
        classes,
        point.l2,
        start=whole if best is None else best.model,
        towards=towards,
        preconditioner=preconditioner,
        after=best,
    )
    points[chosen] = replace(point, iterations=final.iterations + point.iterations)
    return Choice(tuple(points), chosen, final, checked.rows is not None)


class _Costs:
    """What points cost on the verified images, and on witnesses where there are some."""

    def __init__(self, task: Task, classes: int, checked: Checked, images: int) -> None:
        self._task, self._checked, self._classes = task, checked, classes
        self._witnesses = checked.asked(images)
        self._plain: list[float] = []
        self._true: list[np.ndarray] = []
        self._noisy: list[np.ndarray] = []

    def with_one(self, logits: np.ndarray) -> list[float]:
        """Those of all points, one more among them: (m, C) logits of the verified images, or (m + N, C)."""
        checked, count = self._checked, len(self._checked.verified)
        self._plain.append(cost(self._task, logits[:count], checked.verified, checked.known))
        if self._witnesses is not None:
            factor = temperature(self._task, logits[:count], checked.verified, checked.known)
            mixed = factor * logits.astype(np.float64)
            self._true.append(-tempered_losses(self._task, mixed[:count], checked.verified, checked.known, 1.0))
            labels = np.concatenate([self._witnesses.of_checked, self._witnesses.labels])
            scores = noisy_scores(log_softmax(mixed), np.maximum(labels, 0), _doubt(self._classes))
            self._noisy.append(np.where(labels >= 0, scores, np.nan))
        return self.all()

    def all(self) -> list[float]:
        """By how far noisy labels are believed now."""
        if len(self._true) < 2:
            return self._plain
        count = len(self._checked.verified)
        there = np.isfinite(self._noisy[0][:count])
        share = share_believed([own[there] for own in self._true], [own[:count][there] for own in self._noisy])
        pairs = zip(self._true, self._noisy, strict=True)
        return [-float(controlled(true, noisy[:count], noisy[count:], share).mean()) for true, noisy in pairs]


def _doubt(classes: int) -> np.ndarray:
    """(C, C) T under which a tenth of the labels say nothing: no classifier that is sure pays without end for one."""
    return (1 - _NOTHING_SAID) * np.eye(classes) + _NOTHING_SAID / classes


def _path(
    design: RowBlocks,
    terms: Sequence[Term],
    task: Task,
    classes: int,
    values: Sequence[float],
    checked: Checked,
    start: LinearModel | Mapping[int, LinearModel] | None,
    towards: np.ndarray | None,
    preconditioner: Preconditioner,
    afresh: bool,
) -> Iterator[tuple[float, Solution | None, np.ndarray]]:
    """(l2, solution or None, logits of the checked images, then of witnesses) along a path."""
    if checked.design is None:
        folds = checked.folds(design.shape[0])
        assert checked.rows is not None
        asked = checked.asked(design.shape[0])
        rows = checked.rows if asked is None else np.concatenate([checked.rows, asked.rows])
        place = np.argsort(np.argsort(rows))  # out-of-fold logits come in the order of the rows
        path = out_of_fold_path(
            design,
            terms,
            task,
            classes,
            values,
            folds,
            start=start,
            towards=towards,
            tolerance=PATH_TOLERANCE,
            preconditioner=preconditioner,
            afresh=afresh,
        )
        for l2, own in zip(values, path, strict=False):
            yield l2, None, own[place]
        return
    assert not isinstance(start, Mapping)
    for solution in solve_path(
        design,
        terms,
        task,
        classes,
        values,
        start=start,
        towards=towards,
        tolerance=PATH_TOLERANCE,
        preconditioner=preconditioner,
        afresh=afresh,
    ):
        parts = [solution.model.logits(part) for _, part in checked.design.blocks()]
        yield solution.l2, solution, np.concatenate(parts)
