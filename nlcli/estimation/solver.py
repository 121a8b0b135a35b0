"""Linear classifiers solved to convergence by L-BFGS: no seed, no rate, no number of steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from nlcli.estimation.design import RowBlocks, as_blocks
from nlcli.estimation.linear_model import LinearModel, Task
from nlcli.estimation.objective import Objective, Term, dense
from nlcli.estimation.preconditioner import Preconditioner
from nlcli.runtime import one_blas_thread

TOLERANCE = 1e-8
MOST_ITERATIONS = 500
_MEMORY = 10
_TRIALS = 15


@dataclass(frozen=True)
class Solution:
    """A solved classifier.

    Attributes:
        loss: Of the last parameters, the penalty included; of several labels summed over the classes.
        iterations: The most that a class took.
        converged: Whether every class met the tolerance, or could not be lowered any more in this precision.
    """

    model: LinearModel
    l2: float
    loss: float
    iterations: int
    evaluations: int
    converged: bool


@one_blas_thread()  # the blocks of rows are worked on by several threads; what they come to depends on none
def solve(
    features: np.ndarray | RowBlocks,
    terms: Term | Sequence[Term],
    task: Task,
    classes: int,
    l2: float | np.ndarray,
    *,
    start: LinearModel | None = None,
    towards: np.ndarray | None = None,
    tolerance: float = TOLERANCE,
    most_iterations: int = MOST_ITERATIONS,
    preconditioner: Preconditioner | None = None,
) -> Solution:
    """The linear classifier that minimises the weighted mean of the rows' losses and ``l2 / 2 * ||kernel||^2``.

    The mean is over the rows of all terms together, by their weights (a row that two terms weigh counts twice); on
    several labels the loss of a row is the sum over its classes, each of which is then a problem of its own.
    scikit-learn's ``C`` is ``1 / (l2 * sum of weights)``. Biases are free. The same numbers give the same bits
    with any number of threads.

    Args:
        features: (n, D), or a provider of rows in blocks.
        terms: What the rows are labelled with.
        classes: C.
        l2: One number, or on several labels (C,) one for each class.
        start: Where to begin; by default with a kernel of zeros and the classes' shares.
        towards: (D, C) kernel that the penalty is centred at, instead of zeros.
        tolerance: The expected decrease of the loss below which it ends, as a part of that at the start.
        preconditioner: Of these features, where it was made before; of other images of the same kind will do.
    """
    design = as_blocks(features)
    listed = (terms,) if isinstance(terms, Term) else tuple(terms)
    preconditioner = preconditioner or Preconditioner(design)
    centre = preconditioner.centre
    objective = Objective(design, listed, task, classes, l2, centre, towards)
    shares = base_logits(listed, task, classes, design.shape[0])
    if start is None:
        first = np.concatenate([np.zeros((design.shape[1], classes)), shares[None]])
        if towards is not None:
            first[:-1] = towards
    else:
        kernel = start.kernel.astype(np.float64)
        first = np.concatenate([kernel, (start.bias + centre @ kernel)[None]])
    parameters, values, iterations, converged = minimise(objective, first, preconditioner, tolerance, most_iterations)
    model = LinearModel(parameters[:-1], parameters[-1] - centre @ parameters[:-1], task)
    return Solution(model, float(np.mean(l2)), float(values.sum()), iterations, objective.evaluations, bool(converged))


def base_logits(terms: Sequence[Term], task: Task, classes: int, count: int) -> np.ndarray:
    """(C,) logits of the classes' shares among the labels, those of a row without features."""
    positive, known = np.zeros(classes), np.zeros(classes)
    for term in terms:
        if term.transition is not None:
            continue  # shares of noisy labels are not those of classes
        for first in range(0, count, 4096):
            rows = slice(first, min(first + 4096, count))
            targets = dense(term.targets, rows, None, np.float64)
            weights = np.ones(len(targets)) if term.weights is None else term.weights[rows].astype(np.float64)
            mask = np.ones_like(targets) if term.mask is None else dense(term.mask, rows, None, np.float64)
            positive += weights @ (targets * mask)
            known += weights @ mask
    if task == "multi-label":
        share = (positive + 0.5) / (known + 1.0)
        return np.asarray(np.log(share) - np.log1p(-share))
    logits: np.ndarray = np.log(positive + 0.5)
    return np.asarray(logits - logits.mean())


# --- L-BFGS ----------------------------------------------------------------------------------


def minimise(
    objective: Objective,
    start: np.ndarray,
    preconditioner: Preconditioner,
    tolerance: float,
    most_iterations: int,
) -> tuple[np.ndarray, np.ndarray, int, bool]:
    """Parameters (D + 1, C), values, iterations, whether all converged.

    Where each class is a problem of its own, each has its own curvature and step, and leaves the products when it has
    converged; what it comes to does not depend on the others.

    References:
        Nocedal and Wright 2006, algorithm 7.4, whose first matrix is the preconditioner. A step is accepted by Armijo's
        rule or, where the loss no longer
        tells, by its slope (Hager and Zhang 2005, the approximate Wolfe conditions).
    """
    if not objective.separable:  # what all classes have in common is no softmax's business
        start = start - start.mean(axis=1, keepdims=True)
        if objective.towards is not None:
            start[:-1] += objective.towards.mean(axis=1, keepdims=True)
    solved = start.copy()
    columns = np.arange(start.shape[1])  # the classes that are still worked on
    x = start
    value, gradient = objective(x, with_curvature=True)
    if objective.single:
        tolerance = max(tolerance, objective.rounding)  # what single precision can tell
    final, scale = value.copy(), np.maximum(np.abs(value), 1e-3)
    whole = not objective.separable
    pairs: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    stuck = np.zeros(len(value), bool)
    for iteration in range(most_iterations):
        curvature, l2 = objective.curvature[columns], objective.l2[columns]
        inverse = partial(preconditioner, curvature=curvature, l2=l2, joint=whole)
        direction = _direction(gradient, pairs, whole, inverse)
        slope = _dot(gradient, direction, whole)
        met = -0.5 * slope <= tolerance * scale
        done = met | stuck
        if done.any():
            if whole or done.all():
                return _placed(solved, x, columns), _placed(final, value, None if whole else columns), iteration, True
            solved[:, columns[done]], final[columns[done]] = x[:, done], value[done]
            keep = ~done
            columns, x, gradient, direction = columns[keep], x[:, keep], gradient[:, keep], direction[:, keep]
            value, slope, scale, stuck = value[keep], slope[keep], scale[keep], stuck[keep]
            pairs = [(s[:, keep], y[:, keep], rho[keep]) for s, y, rho in pairs]
        at = None if whole or len(columns) == start.shape[1] else columns
        moved, new_value, new_gradient, stuck = _search(
            objective, at, x, value, slope, direction, whole, with_curvature=iteration & (iteration + 1) == 0
        )
        s, y = moved - x, new_gradient - gradient
        bend = _dot(s, y, whole)
        sound = bend > 1e-12 * np.sqrt(_dot(s, s, whole) * _dot(y, y, whole))
        # A pair without curvature counts nothing in the class that it is of.
        rho = np.where(sound, 1.0 / np.where(sound, bend, 1.0), 0.0)
        pairs = [*pairs[-(_MEMORY - 1) :], (s, y, rho)]
        x, value, gradient = moved, new_value, new_gradient
    return _placed(solved, x, columns), _placed(final, value, None if whole else columns), most_iterations, False


def _placed(whole: np.ndarray, part: np.ndarray, columns: np.ndarray | None) -> np.ndarray:
    if columns is None:
        return part
    whole[..., columns] = part
    return whole


def _dot(a: np.ndarray, b: np.ndarray, whole: bool) -> np.ndarray:
    of_class: np.ndarray = np.einsum("ij,ij->j", a, b)
    return of_class.sum(keepdims=True) if whole else of_class


def _direction(
    gradient: np.ndarray,
    pairs: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]],
    whole: bool,
    inverse: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """The two loops of Nocedal and Wright around the preconditioner ``inverse``."""
    direction = -gradient
    if not pairs:
        return inverse(direction)
    factors = []
    for s, y, rho in reversed(pairs):
        factor = rho * _dot(s, direction, whole)
        direction = direction - factor * y
        factors.append(factor)
    _, y, rho = pairs[-1]
    expected = rho * _dot(y, inverse(y), whole)
    direction = inverse(direction) * np.where(expected > 0, 1.0 / np.where(expected > 0, expected, 1.0), 1.0)
    for (s, y, rho), factor in zip(pairs, reversed(factors), strict=True):
        direction = direction + (factor - rho * _dot(y, direction, whole)) * s
    return np.asarray(direction)


def _search(
    objective: Objective,
    columns: np.ndarray | None,
    x: np.ndarray,
    value: np.ndarray,
    slope: np.ndarray,
    direction: np.ndarray,
    whole: bool,
    with_curvature: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A step along ``direction``: new parameters, values, gradient, and which class could not be lowered."""
    step = np.ones(len(value))
    rounding = objective.rounding * np.abs(value)
    for _ in range(_TRIALS):
        moved = x + step * direction
        new_value, gradient = objective(moved, columns, with_curvature=with_curvature)
        new_slope = _dot(gradient, direction, whole)
        lower = new_value <= value + 1e-4 * step * slope
        flat = (new_value <= value + rounding) & (np.abs(new_slope) <= 0.9 * np.abs(slope))
        accepted = lower | flat
        if accepted.all():
            return moved, new_value, gradient, np.zeros(len(value), bool)
        with np.errstate(all="ignore"):
            best = -0.5 * slope * step**2 / (new_value - value - slope * step)
        best = np.where(np.isfinite(best), best, 0.0)
        step = np.where(accepted, step, np.clip(best, 0.1 * step, 0.5 * step))
    stuck = ~accepted
    moved = np.where(stuck, x, moved)
    new_value, gradient = objective(moved, columns, with_curvature=with_curvature)
    return moved, new_value, gradient, stuck
