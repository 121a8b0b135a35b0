"""What an exported model must reproduce: made-up inputs with the scores that ``predict`` gives them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nlcli.errors import NlcliError
from nlcli.stages.files import write_arrays

VECTORS = "test_vectors.npz"
COUNT = 8
FLOAT32, ROUNDED, BFLOAT16 = 1e-4, 1e-2, 5e-2
"""How much a score may differ where features were computed and stored in float32; in or as float16; in bfloat16."""

_INSTEAD = "nothing was written; choose another --format"


def tolerance_of(precision: str, dtype: str) -> float:
    """How much a score of the model, which computes in float32, may differ from that of ``predict``."""
    if precision == "bfloat16":
        return BFLOAT16
    return FLOAT32 if precision == dtype == "float32" else ROUNDED


def made_up_images(size: int) -> np.ndarray:
    """(8, S, S, 3) uint8: black, white, two of noise, and four of soft colours, as photographs rather are."""
    from PIL import Image

    random = np.random.default_rng(0)
    flat = [np.full((size, size, 3), value, np.uint8) for value in (0, 255)]
    noise = list(random.integers(0, 256, (2, size, size, 3), np.uint8))
    coarse = random.integers(0, 256, (COUNT - 4, 4, 4, 3), np.uint8)
    soft = [np.asarray(Image.fromarray(few).resize((size, size), Image.Resampling.BICUBIC)) for few in coarse]
    return np.stack([*flat, *noise, *soft])


def made_up_features(width: int) -> np.ndarray:
    """(8, D) float32: zeros, and values from 0 on as most networks' are, and of both signs."""
    drawn = np.random.default_rng(0).normal(size=(COUNT, width)).astype(np.float32)
    drawn[0] = 0
    drawn[1 : COUNT // 2] = np.abs(drawn[1 : COUNT // 2])
    return drawn


@dataclass(frozen=True)
class Gate:
    """Whether a written model gives the scores that it must.

    Attributes:
        inputs: Rows that it is tried on.
        expected: (n, C) their scores by ``predict``.
        tolerance: Most that a score may differ.
    """

    inputs: np.ndarray
    expected: np.ndarray
    tolerance: float

    def difference(self, apply: Callable[[np.ndarray], np.ndarray], what: str) -> float:
        """The largest difference of a score, of all rows at once, of the first alone, and of three.

        Raises:
            NlcliError: it is above the tolerance, or scores are no numbers or of another shape.
        """
        largest = 0.0
        for part in (slice(None), slice(0, 1), slice(-3, None)):
            made, expected = apply(self.inputs[part]), self.expected[part]
            if made.shape != expected.shape:
                raise NlcliError(f"{what} gives scores of shape {made.shape}, not {expected.shape}; {_INSTEAD}")
            if not np.isfinite(made).all():
                raise NlcliError(f"{what} gives scores that are no numbers; {_INSTEAD}")
            largest = max(largest, float(np.abs(made - expected).max()))
        if largest > self.tolerance:
            raise NlcliError(
                f"{what} does not give the scores of predict: they differ by up to {largest:.2g}, more than "
                f"{self.tolerance:g}; {_INSTEAD}, or pass --tolerance"
            )
        return largest

    def save(self, path: Path, name: str, count: int) -> None:
        """Write the first ``count`` rows as ``name`` with their scores."""
        write_arrays(path, {name: self.inputs[:count], "scores": self.expected[:count]})
