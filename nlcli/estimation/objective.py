"""What a linear classifier is fitted to: terms of losses on logits, with their gradients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nlcli.estimation.design import RowBlocks
from nlcli.estimation.in_order import in_order
from nlcli.estimation.linear_model import Task, log_softmax, probabilities, sigmoid
from nlcli.estimation.products import times, transposed_times

_TINY = 1e-30
_DENSE = 1 << 20
"""Entries of labels up to which they are made dense once instead of in every pass."""
_LEAST_CURVATURE = 1e-6


@dataclass(frozen=True)
class Term:
    """Labels of the rows of a design, and what each of them counts.

    On single-label data a row costs ``-sum_c t_c log p_c``. A row without a target of a class that ``mask`` says is
    known is one of which only is known what it is *not*: it costs ``-log`` of the probability of all other classes.
    On several labels a row costs the sum over its classes of ``-t log p - (1 - t) log(1 - p)``.

    Attributes:
        targets: (n, L), hard or soft; an array, or anything whose slices of rows have ``toarray`` (a CSR matrix).
        weights: (n,) from 0 on, of the rows; ones when None.
        mask: (n, L) 1 where the target is known; all of them when None. An array or a CSR matrix.
        transition: What happens to a true label before it is seen, so that the targets are such of noisy labels.
            One label: (C, L) T [true, noisy], a row costs ``-sum_l t_l log (p T)_l``. Several: (C, 2), P(tag | class
            absent) and P(tag | class present).

    References:
        Patrini et al. 2017, section 4.2 (forward correction), for ``transition``.
    """

    targets: Any
    weights: np.ndarray | None = None
    mask: Any = None
    transition: np.ndarray | None = None

    def total(self, count: int) -> float:
        """Sum of the weights of its rows, which the loss is divided by."""
        return float(count if self.weights is None else self.weights.sum(dtype=np.float64))

    def made_dense(self, count: int, dtype: Any) -> Term:
        """The same with arrays in place of matrices, where those of its ``count`` rows are small."""
        if count * self.targets.shape[1] > _DENSE:
            return self
        rows = slice(0, count)
        mask = None if self.mask is None else dense(self.mask, rows, None, dtype)
        return Term(dense(self.targets, rows, None, dtype), self.weights, mask, self.transition)

    def of_rows(self, chosen: np.ndarray) -> Term:
        """The term of some rows, by number or by (n,) truth."""
        weights = None if self.weights is None else self.weights[chosen]
        return Term(self.targets[chosen], weights, None if self.mask is None else self.mask[chosen], self.transition)


@dataclass(frozen=True)
class Unknown:
    """Ones where a CSR matrix has zeros, made dense some rows at a time: the ``mask`` of what stands in elsewhere."""

    known: Any

    def __getitem__(self, rows: Any) -> Unknown:
        return Unknown(self.known[rows])

    def toarray(self) -> np.ndarray:
        """The rows as an array."""
        return np.asarray(self.known.toarray() == 0)


def dense(matrix: Any, rows: slice, columns: np.ndarray | None, dtype: Any) -> np.ndarray:
    """Some rows of an array or a CSR matrix as an array of ``dtype``."""
    part = matrix[rows]
    part = part.toarray() if hasattr(part, "toarray") else part
    values: np.ndarray = np.asarray(part if columns is None else part[:, columns], dtype)
    return values


def row_losses(
    task: Task, logits: np.ndarray, term: Term, rows: slice, columns: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Losses and their derivatives by the logits of some rows, weighted.

    Args:
        logits: (b, C) of ``rows``.
        columns: Of several labels: the classes that ``logits`` are of.

    Returns:
        Losses (b, C) of several labels or (b, 1) of one, and derivatives (b, C).
    """
    targets = dense(term.targets, rows, columns, logits.dtype)
    mask = None if term.mask is None else dense(term.mask, rows, columns, logits.dtype)
    if task == "multi-label":
        losses, slopes = _of_several(logits, targets, mask, term.transition, columns)
    elif term.transition is None:
        losses, slopes = _of_one(logits, targets, mask)
    else:
        if mask is not None:
            raise ValueError("on one label a term has a mask or a transition matrix, not both")
        losses, slopes = _of_one_noisy(logits, targets, term.transition)
    if term.weights is not None:
        weights = term.weights[rows, None].astype(logits.dtype, copy=False)
        losses, slopes = losses * weights, slopes * weights
    return losses, slopes


def _of_several(
    logits: np.ndarray,
    targets: np.ndarray,
    mask: np.ndarray | None,
    transition: np.ndarray | None,
    columns: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    if transition is None:
        small = np.exp(-np.abs(logits))
        losses = np.maximum(logits, 0.0) - targets * logits + np.log1p(small)
        slopes = np.maximum(small, logits >= 0) / (1.0 + small) - targets
    else:
        channel = (transition if columns is None else transition[columns]).astype(logits.dtype)
        spread = channel[:, 1] - channel[:, 0]
        p = sigmoid(logits)
        tagged = channel[:, 0] + spread * p
        given, missing = np.maximum(tagged, _TINY), np.maximum(1.0 - tagged, _TINY)
        losses = -targets * np.log(given) - (1.0 - targets) * np.log(missing)
        slopes = ((1.0 - targets) / missing - targets / given) * spread * p * (1.0 - p)
    return (losses, slopes) if mask is None else (losses * mask, slopes * mask)


def _of_one(logits: np.ndarray, targets: np.ndarray, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    log_p = log_softmax(logits)
    p = np.exp(log_p)
    if mask is None:
        return -(targets * log_p).sum(axis=1, keepdims=True), p * targets.sum(axis=1, keepdims=True) - targets
    named = targets * mask
    count = named.sum(axis=1, keepdims=True)
    losses, slopes = -(named * log_p).sum(axis=1, keepdims=True), p * count - named
    unnamed = (count[:, 0] == 0) & mask.any(axis=1) & ~mask.all(axis=1)
    if unnamed.any():
        possible = p[unnamed] * (mask[unnamed] == 0)
        whole = np.maximum(possible.sum(axis=1, keepdims=True), _TINY)
        losses[unnamed] = -np.log(whole)
        slopes[unnamed] = p[unnamed] - possible / whole
    return losses, slopes


def _of_one_noisy(logits: np.ndarray, targets: np.ndarray, transition: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # In float64: p of the only classes that may have a label can be far below what float32 tells from 0.
    p = np.exp(log_softmax(logits.astype(np.float64)))
    matrix = transition.astype(np.float64)
    noisy = np.maximum(p @ matrix, 1e-300)
    possible = targets * matrix.any(axis=0)  # a label that no class can have says nothing
    losses = -(possible * np.log(noisy)).sum(axis=1, keepdims=True)
    slopes = p * (possible.sum(axis=1, keepdims=True) - (possible / noisy) @ matrix.T)
    return losses.astype(logits.dtype), slopes.astype(logits.dtype)


class Objective:
    """Loss and gradient of a linear classifier in its centred parameters.

    ``parameters`` (D + 1, C) are the kernel and, below it, the logits of the mean image: with features centred in
    this way kernel and bias hardly depend on each other, and what is solved is the same.

    Args:
        l2: (C,) or a number: ``l2 / 2 * ||kernel||^2`` is added for each class.
        centre: (D,) float64, the mean of the features.
        towards: (D, C) kernel from which the squares are measured; 0 when None.
    """

    def __init__(
        self,
        design: RowBlocks,
        terms: Sequence[Term],
        task: Task,
        classes: int,
        l2: np.ndarray | float,
        centre: np.ndarray,
        towards: np.ndarray | None = None,
    ) -> None:
        self.design, self.terms, self.task = design, terms, task
        self.l2 = np.broadcast_to(np.asarray(l2, np.float64), (classes,))
        self.centre, self.towards = centre, towards
        self.total = sum(term.total(design.shape[0]) for term in terms)
        if not self.total > 0:
            raise ValueError("no row has a weight")
        self._terms: dict[np.dtype[Any], Sequence[Term]] = {}
        self.evaluations = 0
        self.rounding = 1e-12
        """Part of a value that its sums may be off by."""
        self.curvature = np.ones(classes)
        """(C,) mean of ``p (1 - p)`` over the rows, where it was last asked for."""

    @property
    def single(self) -> bool:
        """Whether products are in single precision; known once it was called."""
        return self.rounding > 1e-9

    @property
    def separable(self) -> bool:
        """Whether each class is a problem of its own."""
        return self.task == "multi-label"

    def __call__(
        self, parameters: np.ndarray, columns: np.ndarray | None = None, *, with_curvature: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Values (C,) of several labels, (1,) of one, and the gradient (D + 1, C), of the classes ``columns``."""
        self.evaluations += 1
        width = parameters.shape[1]
        kernel, bias = parameters[:-1], parameters[-1] - self.centre @ parameters[:-1]
        values = np.zeros(width if self.separable else 1)
        gradient = np.zeros(parameters.shape)
        spread = np.zeros(width)
        narrow: dict[np.dtype[Any], np.ndarray] = {}

        def blocks() -> Iterator[tuple[int, np.ndarray]]:
            for first, part in self.design.blocks():
                if part.dtype not in narrow:
                    narrow[part.dtype] = np.ascontiguousarray(kernel, part.dtype)
                    if part.dtype not in self._terms:
                        count = self.design.shape[0]
                        self._terms[part.dtype] = [term.made_dense(count, part.dtype) for term in self.terms]
                    self.rounding = 1e-12 if part.dtype == np.float64 else 1e-7
                yield first, part

        def of_block(block: tuple[int, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
            first, part = block
            logits = times(part, narrow[part.dtype])
            logits += bias.astype(part.dtype)
            rows = slice(first, first + len(part))
            own_spread: np.ndarray | None = None
            if with_curvature:
                p = probabilities(logits, self.task)
                own_spread = (p * (1.0 - p)).sum(axis=0, dtype=np.float64)
            own_values = np.zeros(len(values))
            slopes: np.ndarray | None = None
            for term in self._terms[part.dtype]:
                losses, own = row_losses(self.task, logits, term, rows, columns)
                own_values += losses.sum(axis=0, dtype=np.float64)
                slopes = own if slopes is None else slopes + own
            assert slopes is not None
            return own_values, transposed_times(part, slopes), slopes.sum(axis=0, dtype=np.float64), own_spread

        for own_values, products, sums, own_spread in in_order(of_block, blocks()):
            values += own_values
            gradient[:-1] += products
            gradient[-1] += sums
            if own_spread is not None:
                spread += own_spread
        gradient[:-1] -= np.outer(self.centre, gradient[-1])
        if with_curvature:
            spread = np.maximum(spread / self.design.shape[0], _LEAST_CURVATURE)
            self.curvature[slice(None) if columns is None else columns] = spread
        values, gradient = values / self.total, gradient / self.total
        penalty, slope = self._penalty(kernel, columns)
        gradient[:-1] += slope
        return values + penalty, gradient

    def _penalty(self, kernel: np.ndarray, columns: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """(C,) or (1,), and its gradient (D, C)."""
        l2 = self.l2 if columns is None else self.l2[columns]
        away = kernel
        if self.towards is not None:
            away = kernel - (self.towards if columns is None else self.towards[:, columns])
        penalty = 0.5 * l2 * (away * away).sum(axis=0)
        return penalty if self.separable else penalty.sum(keepdims=True), l2 * away

    def without_penalty(
        self, parameters: np.ndarray, value: np.ndarray, gradient: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """What of a value and a gradient at ``parameters`` comes from the data."""
        penalty, slope = self._penalty(parameters[:-1])
        return value - penalty, np.concatenate([gradient[:-1] - slope, gradient[-1:]])

    def resumed(
        self, parameters: np.ndarray, value: np.ndarray, gradient: np.ndarray, curvature: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Value and gradient at ``parameters`` of which the data's part is known, without a pass over them."""
        self.curvature = curvature.copy()
        penalty, slope = self._penalty(parameters[:-1])
        return value + penalty, np.concatenate([gradient[:-1] + slope, gradient[-1:]])
