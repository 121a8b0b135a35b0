"""Operations on NumPy arrays under Keras's names: those that scores and cleaned labels are written in.

Scoring cached features is a few matrix products, as is a step of a linear head: TensorFlow need not be imported. Where
everything that an operation is given is an array, ``ops`` takes these; they keep the arrays' precision.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np


def sigmoid(x: np.ndarray) -> np.ndarray:
    """``1 / (1 + exp(-x))``, without overflow."""
    small = np.exp(-np.abs(x))
    one = x.dtype.type(1)
    value: np.ndarray = np.where(x >= 0, one, small) / (one + small)
    return value


def log_sigmoid(x: np.ndarray) -> np.ndarray:
    """``-log(1 + exp(-x))``, without overflow."""
    value: np.ndarray = np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))
    return value


def softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    """``exp(x) / sum exp(x)`` along ``axis``."""
    powers: np.ndarray = np.exp(x - x.max(axis=axis, keepdims=True))
    powers /= powers.sum(axis=axis, keepdims=True)
    return powers


def log_softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    """``x - log sum exp(x)`` along ``axis``."""
    shifted = x - x.max(axis=axis, keepdims=True)
    value: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))
    return value


def relu(x: np.ndarray) -> np.ndarray:
    """``max(x, 0)``."""
    value: np.ndarray = np.maximum(x, 0)
    return value


def log(x: np.ndarray) -> np.ndarray:
    """Natural logarithm; that of 0 is -inf and no reason to complain, as in a graph."""
    with np.errstate(divide="ignore"):
        value: np.ndarray = np.log(x)
    return value


def one_hot(x: np.ndarray, classes: int, dtype: Any = np.float32) -> np.ndarray:
    """Rows with a 1 at ``x``."""
    rows: np.ndarray = np.eye(classes, dtype=dtype)[x]
    return rows


ARRAY_OPS: Mapping[str, Callable[..., Any]] = {
    "abs": np.abs,
    "argmax": np.argmax,
    "cast": lambda x, dtype: np.asarray(x).astype(dtype, copy=False),
    "clip": np.clip,
    "concatenate": np.concatenate,
    "exp": np.exp,
    "log": log,
    "log_sigmoid": log_sigmoid,
    "log_softmax": log_softmax,
    "matmul": np.matmul,
    "max": np.max,
    "maximum": np.maximum,
    "mean": np.mean,
    "minimum": np.minimum,
    "one_hot": one_hot,
    "ones_like": np.ones_like,
    "relu": relu,
    "reshape": np.reshape,
    "sigmoid": sigmoid,
    "sign": np.sign,
    "softmax": softmax,
    "sqrt": np.sqrt,
    "square": np.square,
    "stack": np.stack,
    "stop_gradient": lambda x: x,
    "sum": np.sum,
    "tanh": np.tanh,
    "transpose": np.transpose,
    "where": np.where,
    "zeros_like": np.zeros_like,
}
"""By the name that they have in ``keras.ops``."""


def of_arrays(given: Sequence[Any]) -> bool:
    """Whether there are NumPy arrays among what an operation is given, and no other kind of tensor."""
    found = False
    for value in given:
        if isinstance(value, (np.ndarray, np.generic)):  # a sum of all is no array any more
            found = True
        elif isinstance(value, (list, tuple)):
            if value and not all(isinstance(part, (int, float)) for part in value):
                if not of_arrays(value):
                    return False
                found = True
        elif not (value is None or isinstance(value, (int, float, str, np.dtype))):
            return False
    return found
