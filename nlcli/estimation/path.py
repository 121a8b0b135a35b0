"""A path of regularisation, strong to weak with warm starts, and the point to take on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from nlcli.estimation.design import RowBlocks, as_blocks
from nlcli.estimation.linear_model import LinearModel, Task
from nlcli.estimation.objective import Term
from nlcli.estimation.preconditioner import Preconditioner
from nlcli.estimation.solver import TOLERANCE, Solution, solve

STRENGTHS: tuple[float, ...] = tuple(float(10.0 ** (-0.5 * i)) for i in range(4, 13))
"""Of a path, as parts of the features' variance: 1e-2 to 1e-6."""


def path_values(features: np.ndarray | RowBlocks, strengths: Sequence[float] = STRENGTHS) -> tuple[float, ...]:
    """Values of l2 from strong to weak: ``strengths`` times the mean square distance of the features from their mean.

    Features that are all multiplied by a number have the same path of classifiers.
    """
    variance = variance_of(as_blocks(features))
    return tuple(variance * strength for strength in strengths)


def variance_of(design: RowBlocks) -> float:
    """Mean square distance of the features from their mean; 1 where there is none."""
    count, shift = 0, np.zeros(design.shape[1])
    total, squares = np.zeros(design.shape[1]), 0.0
    for _, part in design.blocks():
        if not count:
            shift = part[0].astype(np.float64)  # so that a large mean does not swallow a small variance
        away = part - shift.astype(part.dtype)
        total += away.sum(axis=0, dtype=np.float64)
        squares += float(np.einsum("ij,ij->i", away, away).sum(dtype=np.float64))
        count += len(part)
    mean = total / max(1, count)
    variance = squares / max(1, count) - float(mean @ mean)
    return variance if variance > 0 else 1.0


def solve_path(
    features: np.ndarray | RowBlocks,
    terms: Term | Sequence[Term],
    task: Task,
    classes: int,
    values: Sequence[float],
    *,
    start: LinearModel | None = None,
    towards: np.ndarray | None = None,
    tolerance: float = TOLERANCE,
    preconditioner: Preconditioner | None = None,
    afresh: bool = False,
) -> Iterator[Solution]:
    """The solutions at ``values``, each started from the one before; whoever has seen enough takes no more.

    Args:
        afresh: Each starts from ``start`` instead. The loss behind a transition matrix has several optima: where a
            strong penalty makes classes vanish, the points after it would not find them again.
    """
    design = as_blocks(features)
    preconditioner = preconditioner or Preconditioner(design)
    before: Solution | None = None
    for value in values:
        solution = solve(
            design,
            terms,
            task,
            classes,
            value,
            start=start,
            towards=towards,
            tolerance=tolerance,
            preconditioner=preconditioner,
            after=before,
            keep=not afresh,
        )
        yield solution
        if not afresh:
            before = solution


def simplest_near_best(costs: np.ndarray, standard_errors: float = 1.0) -> int:
    """Which point of a path to take: the first whose mean cost is hardly above the least.

    Args:
        costs: (points, images) of each image by each point, simple (strong) points first; lower is better.
        standard_errors: How many standard errors of the paired difference to the best point are hardly anything;
            0 takes the best itself, the simpler of equals.
    """
    means = costs.mean(axis=1)
    best = int(means.argmin())
    if costs.shape[1] < 2:
        return best
    for point in range(best):
        difference = costs[point] - costs[best]
        error = float(difference.std(ddof=1)) / np.sqrt(len(difference))
        if means[point] - means[best] <= standard_errors * error:
            return point
    return best


def clearly_worse(costs: np.ndarray, standard_errors: float = 2.0) -> bool:
    """Whether the last two points of a path both cost that many standard errors more than its best one."""
    if len(costs) < 3 or costs.shape[1] < 2:
        return False
    best = costs[int(costs.mean(axis=1).argmin())]
    for last in costs[-2:]:
        difference = last - best
        if difference.mean() <= standard_errors * difference.std(ddof=1) / np.sqrt(len(difference)):
            return False
    return True
