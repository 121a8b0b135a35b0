"""What the curvature of a linear classifier's loss is nearly: that of its features, class by class."""

from __future__ import annotations

import numpy as np

from nlcli.estimation.design import RowBlocks

MOST_FEATURES = 4096
"""Features above which the covariance's eigenvectors take longer than they save."""
_ROWS_PER_FEATURE = 4
_LEAST_ROWS = 4096
_EXACT_FEATURES = 512


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

    def __init__(self, design: RowBlocks) -> None:
        rows, width = design.shape
        total = np.zeros(width)
        for _, part in design.blocks():
            total += part.sum(axis=0, dtype=np.float64)
        self.centre = total / max(1, rows)
        self._values: np.ndarray | None = None
        if width <= MOST_FEATURES:
            every = max(1, rows // max(_LEAST_ROWS, _ROWS_PER_FEATURE * width))
            values, self._vectors = np.linalg.eigh(self._covariance(design, every))
            self._values = np.maximum(values.astype(np.float64), 0.0)

    def _covariance(self, design: RowBlocks, every: int) -> np.ndarray:
        gram, count = np.zeros((len(self.centre), len(self.centre))), 0
        for _, part in design.blocks():
            some = part[::every] - self.centre.astype(part.dtype)
            gram += some.T @ some
            count += len(some)
        gram /= max(1, count)
        return gram.astype(np.float32) if len(gram) > _EXACT_FEATURES else gram

    def __call__(self, gradient: np.ndarray, *, curvature: np.ndarray, l2: np.ndarray, joint: bool) -> np.ndarray:
        """(D + 1, C) of a gradient of kernels and, in its last row, of biases.

        Args:
            curvature, l2: (C,)
            joint: Of a softmax: nothing that is added to all classes alike.
        """
        out = self._of_each(gradient, curvature, l2)
        return out - out.mean(axis=1, keepdims=True) if joint else out

    def _of_each(self, gradient: np.ndarray, curvature: np.ndarray, l2: np.ndarray) -> np.ndarray:
        out = np.empty(gradient.shape)
        out[-1] = gradient[-1] / curvature
        if self._values is None:
            out[:-1] = gradient[:-1] / np.maximum(curvature, l2)
            return out
        turned = self._vectors.T @ gradient[:-1].astype(self._vectors.dtype)
        turned /= (self._values[:, None] * curvature + np.maximum(l2, 1e-12)).astype(turned.dtype)
        out[:-1] = self._vectors @ turned
        return out
