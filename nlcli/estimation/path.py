"""A path of regularisation, strong to weak with warm starts, and the point to take on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from nlcli.estimation.design import RowBlocks, as_blocks
from nlcli.estimation.linear_model import LinearModel, Task
from nlcli.estimation.objective import Term
from nlcli.estimation.solver import TOLERANCE, Solution, centre_of, solve

STRENGTHS: tuple[float, ...] = tuple(float(10.0 ** (-0.5 * i)) for i in range(4, 13))
"""Of a path, as parts of the features' variance: 1e-2 to 1e-6."""


def path_values(features: np.ndarray | RowBlocks, strengths: Sequence[float] = STRENGTHS) -> tuple[float, ...]:
    """Values of l2 from strong to weak: ``strengths`` times the mean square distance of the features from their mean.

    Features that are all multiplied by a number have the same path of classifiers.
    """
    design = as_blocks(features)
    centre = centre_of(design)
    squares = 0.0
    for _, part in design.blocks():
        away = part - centre.astype(part.dtype)
        squares += float(np.einsum("ij,ij->", away, away, dtype=np.float64))
    variance = squares / max(1, design.shape[0]) or 1.0
    return tuple(variance * strength for strength in strengths)


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
) -> Iterator[Solution]:
    """The solutions at ``values``, each started from the one before; whoever has seen enough takes no more."""
    design = as_blocks(features)
    for value in values:
        solution = solve(design, terms, task, classes, value, start=start, towards=towards, tolerance=tolerance)
        yield solution
        start = solution.model


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
