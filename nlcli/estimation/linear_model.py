"""A linear classifier on features, as it is solved, scored and compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Task = Literal["multi-label", "single-label"]

_FEW_CLASSES = 64


@dataclass(frozen=True)
class LinearModel:
    """Logits ``features @ kernel + bias``: a sigmoid a class on several labels, a softmax on one.

    Attributes:
        kernel: (D, C).
        bias: (C,).
    """

    kernel: np.ndarray
    bias: np.ndarray
    task: Task

    def logits(self, features: np.ndarray) -> np.ndarray:
        """(n, C) of (n, D) features, in their precision where that is floating and at least single."""
        wide = features if features.dtype in (np.float32, np.float64) else features.astype(np.float32)
        logits: np.ndarray = wide @ self.kernel.astype(wide.dtype, copy=False)
        logits += self.bias.astype(wide.dtype, copy=False)
        return logits

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """(n, C) of (n, D) features."""
        return probabilities(self.logits(features), self.task)

    def log_probabilities(self, features: np.ndarray) -> np.ndarray:
        """(n, C) ``log p``; of several labels those of presence."""
        logits = self.logits(features)
        if self.task == "multi-label":
            return log_sigmoid(logits)
        return log_softmax(logits)


def probabilities(logits: np.ndarray, task: Task) -> np.ndarray:
    """Sigmoids or soft-max of (n, C) logits, without overflow."""
    if task == "multi-label":
        return sigmoid(logits)
    powers: np.ndarray = np.exp(logits - _largest(logits))
    powers /= powers.sum(axis=1, keepdims=True)
    return powers


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """``1 / (1 + exp(-x))``."""
    small = np.exp(-np.abs(logits))
    value: np.ndarray = np.maximum(small, logits >= 0) / (1.0 + small)  # the greater is 1 from 0 on
    return value.astype(logits.dtype, copy=False)


def log_sigmoid(logits: np.ndarray) -> np.ndarray:
    """``-log(1 + exp(-x))``."""
    value: np.ndarray = np.minimum(logits, 0.0) - np.log1p(np.exp(-np.abs(logits)))
    return value.astype(logits.dtype, copy=False)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """``x - log sum exp(x)`` of each row."""
    shifted = logits - _largest(logits)
    value: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return value


def _largest(logits: np.ndarray) -> np.ndarray:
    """(n, 1) the largest of each row; of few classes one column after the other, which NumPy does ten times faster."""
    if not 0 < logits.shape[1] <= _FEW_CLASSES:
        return np.asarray(logits.max(axis=1, keepdims=True))
    largest = logits[:, 0].copy()
    for column in logits.T[1:]:
        np.maximum(largest, column, out=largest)
    return largest[:, None]
