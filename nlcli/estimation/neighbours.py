"""The k images whose features point most nearly the same way, and how they vote."""

from __future__ import annotations

import numpy as np

from nlcli.estimation.in_order import in_order
from nlcli.estimation.scale import FeatureScale
from nlcli.runtime import one_blas_thread

_CELLS = 1 << 22
"""Cosines that are held at a time: 16 MiB of them, and some times that to choose among them."""
_REFERENCES = 1 << 14
"""References that a block of queries is compared with at a time."""
_MOST_THREADS = 4  # each holds cosines of its own


class Neighbours:
    """Search among reference images by cosine, exact.

    Products are made block by block, and of each only the k best are kept: memory is that of the references, the
    result and some tens of megabytes, however many are asked for.

    Args:
        features: (m, D) of the references; they are brought to unit length and held so.
    """

    def __init__(self, features: np.ndarray) -> None:
        self._unit = np.ascontiguousarray(_directions(features))

    def __len__(self) -> int:
        return len(self._unit)

    @one_blas_thread()
    def nearest(self, features: np.ndarray, k: int, own: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The ``k`` references nearest to each of ``features``, the nearest first; of equals the first.

        Args:
            features: (n, D).
            own: (n,) number of the reference that a row is itself, and that is left out; -1 where it is none.

        Returns:
            (n, j) int64 numbers of references, and (n, j) float32 cosines; j is ``k``, or how many references there
            are to each row where these are fewer.
        """
        count = len(features)
        itself = np.full(count, -1) if own is None else np.asarray(own, np.int64)
        most = min(k, len(self) - int((itself >= 0).any()))
        nearest, cosines = np.empty((count, max(0, most)), np.int64), np.empty((count, max(0, most)), np.float32)
        if most < 1:
            return nearest, cosines
        block = max(1, _CELLS // min(len(self), _REFERENCES))
        parts = [slice(first, first + block) for first in range(0, count, block)]

        def of_part(rows: slice) -> tuple[np.ndarray, np.ndarray]:
            return self._block(_directions(features[rows]), most, itself[rows])

        for rows, (numbers, values) in zip(parts, in_order(of_part, parts, _MOST_THREADS), strict=True):
            nearest[rows], cosines[rows] = numbers, values
        return nearest, cosines

    def _block(self, queries: np.ndarray, k: int, own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        best = np.empty((len(queries), 0), np.int64)
        values = np.empty((len(queries), 0), np.float32)
        for first in range(0, len(self), _REFERENCES):
            part = self._unit[first : first + _REFERENCES]
            cosines = queries @ part.T
            inside = np.flatnonzero((own >= first) & (own < first + len(part)))
            cosines[inside, own[inside] - first] = -np.inf
            chosen = _largest(cosines, k)
            best = np.concatenate([best, chosen + first], axis=1)
            values = np.concatenate([values, np.take_along_axis(cosines, chosen, axis=1)], axis=1)
            if best.shape[1] > k:
                kept = _largest(values, k)
                best, values = np.take_along_axis(best, kept, axis=1), np.take_along_axis(values, kept, axis=1)
        return best, values


def votes(labels: np.ndarray, classes: int) -> np.ndarray:
    """(n, C) float32 share of each class among the neighbours' ``labels`` (n, k); -1 votes for none.

    Where none of them votes every class has the same share.
    """
    count = len(labels)
    cells = np.arange(count)[:, None] * (classes + 1) + np.where(labels < 0, classes, labels)
    counts = np.bincount(cells.ravel(), minlength=count * (classes + 1)).reshape(count, classes + 1)[:, :classes]
    voting = counts.sum(axis=1, keepdims=True)
    shares = np.where(voting > 0, counts / np.maximum(voting, 1), 1.0 / classes)
    return np.asarray(shares, np.float32)


def _directions(features: np.ndarray) -> np.ndarray:
    unit: np.ndarray = FeatureScale("unit").apply(features).astype(np.float32, copy=False)
    return unit


def _largest(values: np.ndarray, k: int) -> np.ndarray:
    """(n, at most k) columns of the largest values of each row, the largest first; of equals the first column."""
    if k < values.shape[1]:
        # Of values equal to the k-th, those in the first columns: what a sort of the whole row would take.
        least = -np.partition(-values, k - 1, axis=1)[:, k - 1 : k]
        above = values > least
        room = k - above.sum(axis=1, keepdims=True)
        at = values == least
        taken = above | (at & (np.cumsum(at, axis=1) <= room))
        columns = np.nonzero(taken)[1].reshape(len(values), k)
    else:
        columns = np.broadcast_to(np.arange(values.shape[1]), values.shape)
    order = np.argsort(-np.take_along_axis(values, columns, axis=1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1)
