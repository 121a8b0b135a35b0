"""Which of several linear classifiers, at which regularisation, verified images prefer; and that one, solved."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nlcli.estimation.criterion import cost
from nlcli.estimation.cross_fitting import out_of_fold_path, strata_of_tags, stratified_folds
from nlcli.estimation.design import RowBlocks
from nlcli.estimation.linear_model import LinearModel, Task
from nlcli.estimation.objective import Term
from nlcli.estimation.path import solve_path
from nlcli.estimation.preconditioner import Preconditioner
from nlcli.estimation.solver import Solution, solve

PATH_TOLERANCE = 1e-4
"""Of points that are only compared: the metrics of a solution to 1e-6 differ by less than its images tell."""
PATIENCE = 3
FOLDS = 5
_APART = 1 / 3
"""Share of the images that may all be left out of training at once, where they have no other part in it."""


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
    """

    verified: np.ndarray
    known: np.ndarray
    design: RowBlocks | None = None
    rows: np.ndarray | None = None
    fitted_on: bool = True
    noisy: Any = None

    def folds(self, images: int) -> np.ndarray:
        """(images,) the fold of each training image, -1 of those that are always fitted on."""
        assert self.rows is not None
        folds = np.full(images, -1)
        apart = not self.fitted_on and len(self.rows) <= _APART * images
        strata = strata_of_tags(self.verified * self.known)
        folds[self.rows] = 0 if apart else stratified_folds(strata, FOLDS)
        return folds


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
    start: LinearModel | None = None,
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
        start, towards: As of ``solve``.
        afresh: As of ``solve_path``.
    """
    preconditioner = preconditioner or Preconditioner(design)
    points: list[Point] = []
    best: Solution | None = None
    chosen = 0
    for name, terms in candidates.items():
        of_path: list[float] = []
        for l2, solution, logits in _path(
            design, terms, task, classes, values, checked, start, towards, preconditioner, afresh
        ):
            value = cost(task, logits, checked.verified, checked.known)
            iterations = 0 if solution is None else solution.iterations
            points.append(Point(name, l2, iterations, value, dict(measure(logits))))
            of_path.append(value)
            least = points[chosen].cost
            if len(points) == 1 or (least is not None and value < least):
                chosen, best = len(points) - 1, solution
            if len(of_path) - 1 - int(np.argmin(of_path)) >= PATIENCE:
                break
    point = points[chosen]
    final = solve(
        design,
        candidates[point.candidate],
        task,
        classes,
        point.l2,
        start=start if best is None else best.model,
        towards=towards,
        preconditioner=preconditioner,
        after=best,
    )
    points[chosen] = replace(point, iterations=final.iterations + point.iterations)
    return Choice(tuple(points), chosen, final, checked.rows is not None)


def _path(
    design: RowBlocks,
    terms: Sequence[Term],
    task: Task,
    classes: int,
    values: Sequence[float],
    checked: Checked,
    start: LinearModel | None,
    towards: np.ndarray | None,
    preconditioner: Preconditioner,
    afresh: bool,
) -> Iterator[tuple[float, Solution | None, np.ndarray]]:
    """(l2, solution or None, logits of the checked images) along a path."""
    if checked.design is None:
        folds = checked.folds(design.shape[0])
        assert checked.rows is not None
        place = np.argsort(np.argsort(checked.rows))  # out-of-fold logits come in the order of the rows
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
