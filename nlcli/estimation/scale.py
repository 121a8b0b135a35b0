"""The scale on which a linear layer sees features: as they come, of unit length, standardised."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

ScaleKind = Literal["none", "length", "unit", "root", "standard"]
SCALES: tuple[ScaleKind, ...] = get_args(ScaleKind)
_LEAST = 1e-12


@dataclass(frozen=True)
class FeatureScale:
    """A map of feature vectors that needs nothing but what it was fitted on.

    ========== =====================================================================================
    ``none``     x
    ``length``   x over one number, the root of the mean square length of the training images' vectors
    ``unit``     x over its own length (a vector of zeros stays one)
    ``root``     sign(x) sqrt(|x|), over the length of that: cosines become those of Hellinger's kernel
    ``standard`` (x - mean) / standard deviation, feature by feature; a constant feature becomes 0
    ========== =====================================================================================

    Attributes:
        offset, factor: (D,) float32 what is subtracted and multiplied before anything else; None: nothing.
    """

    kind: ScaleKind = "none"
    offset: np.ndarray | None = None
    factor: np.ndarray | None = None

    def apply(self, features: np.ndarray) -> np.ndarray:
        """(n, D) in float32, or in float64 where ``features`` are; the same array where nothing changes."""
        wide = features if features.dtype in (np.float32, np.float64) else features.astype(np.float32)
        if self.kind == "none":
            return wide
        if self.kind in ("length", "standard"):
            assert self.factor is not None
            moved = wide if self.offset is None else wide - self.offset.astype(wide.dtype)
            scaled: np.ndarray = moved * self.factor.astype(wide.dtype)
            return scaled
        if self.kind == "root":
            wide = np.copysign(np.sqrt(np.abs(wide)), wide)
        lengths = np.sqrt(np.einsum("ij,ij->i", wide, wide, dtype=np.float64))
        unit: np.ndarray = wide / np.where(lengths > _LEAST, lengths, 1.0)[:, None].astype(wide.dtype)
        return unit

    @classmethod
    def fitted(cls, kind: ScaleKind, parts: Iterable[np.ndarray]) -> FeatureScale:
        """The scale of ``kind``, fitted on the features in ``parts`` where it needs any; (n, D) each."""
        if kind in ("none", "unit", "root"):
            return cls(kind)
        count, total, squares = 0, np.zeros(1), np.zeros(1)
        shift: np.ndarray | None = None
        for part in parts:
            if not len(part):
                continue
            wide = part.astype(np.float64)
            if shift is None:
                shift = wide[0].copy() if kind == "standard" else np.zeros(wide.shape[1])
            wide -= shift  # so that a large mean does not swallow a small variance
            count, total, squares = count + len(wide), total + wide.sum(axis=0), squares + (wide * wide).sum(axis=0)
        if shift is None:
            raise ValueError("no features to fit a scale on")
        if kind == "length":
            length = np.sqrt(squares.sum() / count)
            return cls(kind, None, np.full(len(shift), 1.0 / length if length > _LEAST else 1.0, np.float32))
        mean = total / count
        deviation = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
        varies = deviation > 1e-6 * np.maximum(np.abs(mean + shift), _LEAST)
        factor = np.where(varies, 1.0 / np.where(varies, deviation, 1.0), 0.0)
        return cls(kind, (mean + shift).astype(np.float32), factor.astype(np.float32))
