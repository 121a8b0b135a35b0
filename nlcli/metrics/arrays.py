"""Arrays as metrics take them, checked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nlcli.errors import NlcliError

Array = NDArray[Any]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Scores = NDArray[np.floating[Any]]

BLOCK = 1 << 17
"""Entries that are copied, compared or searched at a time; no result depends on it."""


def as_floats(scores: ArrayLike) -> Scores:
    """float32 and float64 as they are, anything else in a type that holds it exactly."""
    scores = np.asarray(scores)
    if scores.dtype in (np.float32, np.float64):
        return scores
    return scores.astype(np.float32 if scores.dtype == np.float16 else np.float64)


def dense_arrays(labels: ArrayLike, scores: ArrayLike, mask: ArrayLike | None) -> tuple[Array, Scores, Array | None]:
    """Labels, scores and mask as (N, C) arrays; ValueError where their shapes or the labels are none."""
    labels, scores = np.asarray(labels), as_floats(scores)
    verified = None if mask is None else np.asarray(mask)
    shapes = [a.shape for a in (scores, labels, verified) if a is not None]
    if scores.ndim != 2 or len(set(shapes)) > 1:
        raise ValueError(f"scores, labels and mask must be (N, C) arrays of one shape: {shapes}")
    check_binary(labels)
    return labels, scores, verified


def check_binary(labels: Array) -> None:
    """ValueError unless all labels are 0 or 1."""
    if labels.size and not (labels.min() >= 0 and labels.max() <= 1):
        raise ValueError(f"labels must be 0 or 1, not {labels.min()} .. {labels.max()}")


def check_nan(scores: Scores, mask: Array | None, first_row: int = 0) -> None:
    """Raise, naming the place, if a score that counts is NaN."""
    for block in row_blocks(scores):
        bad = np.isnan(scores[block])
        if mask is not None:
            bad &= mask[block] != 0
        if bad.any():
            row, *column = (int(i) for i in np.argwhere(bad)[0])
            place = f"row {first_row + block.start + row}" + "".join(f", class {c}" for c in column)
            raise NlcliError(f"the score of {place} is NaN; look for NaN in the features or weights")


def slices(length: int, step: int) -> Iterator[slice]:
    """``range(length)`` cut into slices of ``step``."""
    for start in range(0, length, step):
        yield slice(start, min(start + step, length))


def row_blocks(array: Array) -> Iterator[slice]:
    """The rows of an array of one or two dimensions, so many at a time that they hold ``BLOCK`` entries."""
    yield from slices(len(array), max(1, BLOCK // max(1, array[:1].size)))
