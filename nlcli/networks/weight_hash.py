"""One hash of many arrays of weights."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np


def hash_weights(weights: Iterable[np.ndarray]) -> str:
    """Of types, shapes and numbers, in their order."""
    hashed = hashlib.sha256()
    for weight in weights:
        value = np.ascontiguousarray(weight)
        hashed.update(f"{value.dtype}{value.shape}".encode())
        hashed.update(value.data)
    return hashed.hexdigest()
