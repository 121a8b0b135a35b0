"""Linear classifiers solved to convergence by L-BFGS: no seed, no rate, no number of steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
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
_CARRIED = 1 << 28
"""Bytes of pairs that are carried from one solution to the next."""

Pair = tuple[np.ndarray, np.ndarray, np.ndarray]
"""A step (D + 1, C), by how much it changed the gradient, and one over their product for each class (0: not used)."""


@dataclass(frozen=True, eq=False)
class Progress:
    """Where a solution ended, without its penalty: where one of the same labels with another l2 may go on.

    Attributes:
        parameters, gradient: (D + 1, C) as ``Objective`` has them.
        value: (C,) or (1,).
        curvature, rounding: As ``Objective`` knew them.
        pairs: The last ones, the newest last.
    """

    parameters: np.ndarray
    value: np.ndarray
    gradient: np.ndarray
    curvature: np.ndarray
    rounding: float
    pairs: Sequence[Pair]


@dataclass(frozen=True)
class Solution:
    """A solved classifier.

    Attributes:
        loss: Of the last parameters, the penalty included; of several labels summed over the classes.
        iterations: The most that a class took.
        converged: Whether every class met the tolerance, or could not be lowered any more in this precision.
        progress: Where it ended; kept where that was asked for.
    """

    model: LinearModel
    l2: float
    loss: float
    iterations: int
    evaluations: int
    converged: bool
    progress: Progress | None = field(default=None, repr=False, compare=False)


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
    after: Solution | None = None,
    keep: bool = False,
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
        after: A solution of the same rows, labels and ``towards`` by the same preconditioner, with its progress: its
            last pass over the data and what it knows of their curvature are taken over. ``start`` then says nothing.
        keep: Whether the progress is kept.
    """
    design = as_blocks(features)
    listed = (terms,) if isinstance(terms, Term) else tuple(terms)
    preconditioner = preconditioner or Preconditioner(design)
    centre = preconditioner.centre
    objective = Objective(design, listed, task, classes, l2, centre, towards)
    before = None if after is None else after.progress
    first = None
    if before is None:
        first = _first(design.shape[1], base_logits(listed, task, classes, design.shape[0]), start, towards, centre)
    found = minimise(objective, first, preconditioner, tolerance, most_iterations, before=before, keep=keep)
    model = LinearModel(found.parameters[:-1], found.parameters[-1] - centre @ found.parameters[:-1], task)
    return Solution(
        model,
        float(np.mean(l2)),
        float(found.values.sum()),
        found.iterations,
        objective.evaluations,
        found.converged,
        found.progress,
    )


def _first(
    width: int, shares: np.ndarray, start: LinearModel | None, towards: np.ndarray | None, centre: np.ndarray
) -> np.ndarray:
    """(D + 1, C) to begin with."""
    if start is not None:
        kernel = start.kernel.astype(np.float64)
        return np.concatenate([kernel, (start.bias + centre @ kernel)[None]])
    first = np.concatenate([np.zeros((width, len(shares))), shares[None]])
    if towards is not None:
        first[:-1] = towards
    return first


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


@dataclass(frozen=True, eq=False)
class Found:
    """What minimising came to.

    Attributes:
        parameters: (D + 1, C).
        values: (C,) or (1,), the penalty included.
        converged: Whether all classes did.
    """

    parameters: np.ndarray
    values: np.ndarray
    iterations: int
    converged: bool
    progress: Progress | None


def minimise(
    objective: Objective,
    start: np.ndarray | None,
    preconditioner: Preconditioner,
    tolerance: float,
    most_iterations: int,
    *,
    before: Progress | None = None,
    keep: bool = False,
) -> Found:
    """The least of ``objective`` from ``start`` or, without another look at the data, from where ``before`` ended.

    Where each class is a problem of its own, each has its own curvature and step, and leaves the products when it has
    converged; what it comes to does not depend on the others.

    References:
        Nocedal and Wright 2006, algorithm 7.4, whose first matrix is the preconditioner. A step is accepted by Armijo's
        rule or, where the loss no longer
        tells, by its slope (Hager and Zhang 2005, the approximate Wolfe conditions).
    """
    whole = not objective.separable
    pairs: list[Pair] = []
    if before is not None:
        x = before.parameters
        value, gradient = objective.resumed(before.parameters, before.value, before.gradient, before.curvature)
        objective.rounding = before.rounding
        pairs = [_penalised(pair, objective.l2, whole) for pair in before.pairs]
    else:
        assert start is not None
        if whole:  # what all classes have in common is no softmax's business
            start = start - start.mean(axis=1, keepdims=True)
            if objective.towards is not None:
                start[:-1] += objective.towards.mean(axis=1, keepdims=True)
        x = start
        value, gradient = objective(x, with_curvature=True)
    if objective.single:
        tolerance = max(tolerance, objective.rounding)  # what single precision can tell
    columns = np.arange(x.shape[1])  # the classes that are still worked on
    ended = _Ended(objective, x.shape, len(value), keep)
    scale = np.maximum(np.abs(value), 1e-3)
    stuck = np.zeros(len(value), bool)
    for iteration in range(most_iterations):
        curvature, l2 = objective.curvature[columns], objective.l2[columns]
        inverse = partial(preconditioner, curvature=curvature, l2=l2, joint=whole)
        direction = _direction(gradient, pairs, whole, inverse)
        slope = _dot(gradient, direction, whole)
        met = -0.5 * slope <= tolerance * scale
        done = met | stuck
        if done.any():
            every = whole or bool(done.all())
            left = np.ones(len(columns), bool) if every else done
            ended.put(columns, left, x, value, gradient, pairs)
            if every:
                return ended.found(iteration, converged=True)
            kept = ~done
            columns, x, gradient, direction = columns[kept], x[:, kept], gradient[:, kept], direction[:, kept]
            value, slope, scale, stuck = value[kept], slope[kept], scale[kept], stuck[kept]
            pairs = [(s[:, kept], y[:, kept], rho[kept]) for s, y, rho in pairs]
        at = None if whole or len(columns) == len(objective.l2) else columns
        moved, new_value, new_gradient, stuck = _search(
            objective, at, x, value, slope, direction, whole, with_curvature=iteration & (iteration + 1) == 0
        )
        pairs = [*pairs[-(_MEMORY - 1) :], _pair(moved - x, new_gradient - gradient, whole)]
        x, value, gradient = moved, new_value, new_gradient
    ended.put(columns, np.ones(len(columns), bool), x, value, gradient, pairs)
    return ended.found(most_iterations, converged=False)


def _pair(s: np.ndarray, y: np.ndarray, whole: bool) -> Pair:
    bend = _dot(s, y, whole)
    sound = bend > 1e-12 * np.sqrt(_dot(s, s, whole) * _dot(y, y, whole))
    # A pair without curvature counts nothing in the class that it is of.
    return s, y, np.where(sound, 1.0 / np.where(sound, bend, 1.0), 0.0)


def _penalised(pair: Pair, l2: np.ndarray, whole: bool) -> Pair:
    """A pair of the data alone as one of the data and a penalty."""
    s, y, usable = pair
    y = y.copy()
    y[:-1] += l2 * s[:-1]
    s, y, rho = _pair(s, y, whole)
    return s, y, np.where(usable > 0, rho, 0.0)


class _Ended:
    """Where each class ended, put together from when it did.

    Args:
        keep: Whether gradients and pairs are wanted, too.
    """

    def __init__(self, objective: Objective, shape: tuple[int, ...], values: int, keep: bool) -> None:
        self._objective, self._keep = objective, keep
        self._x, self._values = np.zeros(shape), np.zeros(values)
        self._gradient = np.zeros(shape) if keep else np.zeros((0, 0))
        self._most = min(_MEMORY, _CARRIED // (16 * self._x.size)) if keep else 0
        self._pairs: list[Pair] = []  # the newest first

    def put(
        self,
        columns: np.ndarray,
        done: np.ndarray,
        x: np.ndarray,
        value: np.ndarray,
        gradient: np.ndarray,
        pairs: Sequence[Pair],
    ) -> None:
        """Take those of ``columns`` that are ``done``."""
        which = columns[done]
        self._x[:, which] = x[:, done]
        whole = not self._objective.separable
        if whole:
            self._values[:] = value
        else:
            self._values[which] = value[done]
        if not self._keep:
            return
        self._gradient[:, which] = gradient[:, done]
        for number, (s, y, rho) in enumerate(reversed(pairs[-self._most :] if self._most else [])):
            if number == len(self._pairs):
                self._pairs.append((np.zeros(self._x.shape), np.zeros(self._x.shape), np.zeros(len(self._values))))
            kept_s, kept_y, kept_rho = self._pairs[number]
            kept_s[:, which], kept_y[:, which] = s[:, done], y[:, done]
            kept_rho[slice(None) if whole else which] = rho if whole else rho[done]

    def found(self, iterations: int, *, converged: bool) -> Found:
        """All of it."""
        progress = None
        if self._keep:
            l2 = self._objective.l2
            value, gradient = self._objective.without_penalty(self._x, self._values, self._gradient)
            pairs = [(s, np.concatenate([y[:-1] - l2 * s[:-1], y[-1:]]), rho) for s, y, rho in reversed(self._pairs)]
            curvature, rounding = self._objective.curvature, self._objective.rounding
            progress = Progress(self._x, value, gradient, curvature, rounding, pairs)
        return Found(self._x, self._values, iterations, converged, progress)


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
