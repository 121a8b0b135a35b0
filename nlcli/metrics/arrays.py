"""Arrays as metrics take them, checked."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nlcli.errors import NlcliError

Floats = NDArray[np.float64]

_BLOCK = 1 << 17  # entries that are copied, compared or searched at a time


def _floats(scores: ArrayLike) -> NDArray[np.floating]:
    """float32 and float64 as they are, anything else in a type that holds it exactly."""
    scores = np.asarray(scores)
    if scores.dtype in (np.float32, np.float64):
        return scores
    return scores.astype(np.float32 if scores.dtype == np.float16 else np.float64)


def _dense(
    labels: ArrayLike, scores: ArrayLike, mask: ArrayLike | None
) -> tuple[NDArray, NDArray[np.floating], NDArray | None]:
    labels, scores = np.asarray(labels), _floats(scores)
    verified = None if mask is None else np.asarray(mask)
    shapes = [a.shape for a in (scores, labels, verified) if a is not None]
    if scores.ndim != 2 or len(set(shapes)) > 1:
        raise ValueError(f"scores, labels and mask must be (N, C) arrays of one shape: {shapes}")
    _check_binary(labels)
    return labels, scores, verified


def _check_binary(labels: NDArray) -> None:
    if labels.size and not (labels.min() >= 0 and labels.max() <= 1):
        raise ValueError(f"labels must be 0 or 1, not {labels.min()} .. {labels.max()}")


def _parts(length: int, step: int = _BLOCK) -> Iterator[slice]:
    for start in range(0, length, step):
        yield slice(start, min(start + step, length))


def _check_nan(scores: NDArray[np.floating], mask: NDArray | None, first_row: int = 0) -> None:
    """Raise, naming the place, if a score that counts is NaN."""
    for part in _parts(len(scores), max(1, _BLOCK // max(1, scores[:1].size))):
        bad = np.isnan(scores[part])
        if mask is not None:
            bad &= mask[part] != 0
        if bad.any():
            row, *column = (int(i) for i in np.argwhere(bad)[0])
            place = f"row {first_row + part.start + row}" + "".join(f", class {c}" for c in column)
            raise NlcliError(f"the score of {place} is NaN; look for NaN in the features or weights")
