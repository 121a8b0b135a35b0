"""What the curvature of a linear classifier's loss is nearly: that of its features, class by class."""

from __future__ import annotations

import numpy as np

from nlcli.estimation.design import RowBlocks
from nlcli.estimation.in_order import in_order
from nlcli.runtime import one_blas_thread
from nlcli.seeds import stream

PRINCIPAL = 512
"""Features up to which all directions are looked at; of more than that, this half as many long ones."""
MOST_FEATURES = 16_384
"""Features above which no covariance is made."""
_ROWS_PER_FEATURE = 2
_LEAST_ROWS = 4096
_ROUNDS, _SPARE = 4, 32


class Preconditioner:
    """The mean of features, and the inverse of ``curvature_c * covariance + l2_c`` for each class c.

    With it a quasi-Newton method begins where it otherwise has to come to: features of networks are so correlated that
    most of its iterations go into finding their few long directions. It decides how long a solution takes, not what it
    is: one made of all images serves their folds, too.

    Args:
        design: Of many rows evenly spaced ones are looked at, for the covariance.

    Attributes:
        centre: (D,) mean of the features.
    """

    @one_blas_thread()
    def __init__(self, design: RowBlocks) -> None:
        rows, width = design.shape
        total = np.zeros(width)
        for _, part in design.blocks():
            total += part.sum(axis=0, dtype=np.float64)
        self.centre = total / max(1, rows)
        self._vectors: np.ndarray | None = None
        if width <= MOST_FEATURES:
            every = max(1, rows // max(_LEAST_ROWS, _ROWS_PER_FEATURE * width))
            covariance = self._covariance(design, every)
            values, self._vectors = _directions(covariance)
            self._values = np.maximum(values.astype(np.float64), 0.0)
            left = max(float(np.trace(covariance)) - float(self._values.sum()), 0.0)
            self._rest = left / max(1, width - len(values))

    def _covariance(self, design: RowBlocks, every: int) -> np.ndarray:
        # In double precision only where that costs nothing; products of single precision are enough for a guess.
        kind = np.float64 if len(self.centre) <= PRINCIPAL else np.float32
        gram, count = np.zeros((len(self.centre), len(self.centre)), kind), 0

        def of_block(block: tuple[int, np.ndarray]) -> tuple[np.ndarray, int]:
            some = block[1][::every] - self.centre.astype(block[1].dtype)
            return (some.T @ some).astype(kind, copy=False), len(some)

        for product, rows in in_order(of_block, design.blocks()):
            gram += product
            count += rows
        gram /= max(1, count)
        return gram

    def __call__(self, gradient: np.ndarray, *, curvature: np.ndarray, l2: np.ndarray, joint: bool) -> np.ndarray:
        """(D + 1, C) of a gradient of kernels and, in its last row, of biases.

        Args:
            curvature, l2: (C,)
            joint: Of a softmax: nothing that is added to all classes alike.
        """
        out = self._of_each(gradient, curvature, np.maximum(l2, 1e-12))
        return out - out.mean(axis=1, keepdims=True) if joint else out

    def _of_each(self, gradient: np.ndarray, curvature: np.ndarray, l2: np.ndarray) -> np.ndarray:
        out = np.empty(gradient.shape)
        out[-1] = gradient[-1] / curvature
        if self._vectors is None:
            out[:-1] = gradient[:-1] / np.maximum(curvature, l2)
            return out
        own = gradient[:-1].astype(self._vectors.dtype)
        turned = self._vectors.T @ own
        scaled = turned / (self._values[:, None] * curvature + l2).astype(turned.dtype)
        if len(self._values) == len(self.centre):
            out[:-1] = self._vectors @ scaled
        else:
            rest = (self._rest * curvature + l2).astype(turned.dtype)
            out[:-1] = self._vectors @ (scaled - turned / rest) + own / rest
        return out


def _directions(covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues and eigenvectors: all of few features, else the largest by subspace iteration.

    References:
        Halko et al. 2011, algorithm 4.4, on a covariance.
    """
    width = len(covariance)
    if width <= PRINCIPAL:
        values, vectors = np.linalg.eigh(covariance)
        return values, vectors
    basis = stream(0, "directions").normal(size=(width, PRINCIPAL // 2 + _SPARE)).astype(covariance.dtype)
    for _ in range(_ROUNDS):
        basis = np.linalg.qr(covariance @ basis)[0]
    values, turned = np.linalg.eigh(basis.T @ covariance @ basis)
    return values[_SPARE:], basis @ turned[:, _SPARE:]
