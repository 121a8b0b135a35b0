"""The scale of features as a part of a head: ``FeatureScale`` on tensors, its numbers among the weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np

from nlcli.estimation.scale import FeatureScale, ScaleKind
from nlcli.methods.base.array_layers import ArrayVariable
from nlcli.methods.base.contract import Tensor
from nlcli.methods.base.keras_ops import ops
from nlcli.networks.linear_layer import LinearLayer

FITTED: tuple[ScaleKind, ...] = ("length", "standard")
"""Scales that hold numbers of the training images."""
_LEAST = 1e-12


def constant(name: str, value: np.ndarray, *, arrays: bool) -> Any:
    """An array that no step trains, as a variable of Keras, or of NumPy where ``arrays`` is set."""
    if arrays:
        return ArrayVariable(name, value)
    import keras

    return keras.Variable(value, trainable=False, dtype=str(value.dtype), name=name)


class TensorScale:
    """What a head does to features before anything else.

    Args:
        kind: ``auto`` is that of heads from before there were scales: none.
        arrays: See ``Method``.

    Attributes:
        constants: What is saved with the head, by name.
    """

    def __init__(self, kind: ScaleKind | Literal["auto"], width: int, *, arrays: bool = False) -> None:
        self.kind: ScaleKind = "none" if kind == "auto" else kind
        self.constants: dict[str, Any] = {}
        if self.kind in FITTED:
            for name, value in (("offset", 0.0), ("factor", 1.0)):
                made = constant(name, np.full(width, value, np.float32), arrays=arrays)
                self.constants[f"feature_scale/{name}"] = made

    def fit(self, parts: Iterable[np.ndarray]) -> None:
        """Take the numbers of the features in ``parts``, (n, D) each, where the scale has any."""
        if self.kind in FITTED:
            fitted = FeatureScale.fitted(self.kind, parts)
            assert fitted.factor is not None
            offset = np.zeros_like(fitted.factor) if fitted.offset is None else fitted.offset
            self.constants["feature_scale/offset"].assign(offset)
            self.constants["feature_scale/factor"].assign(fitted.factor)

    def __call__(self, features: Tensor) -> Tensor:
        """(n, D) float32 on the scale."""
        if self.kind == "none":
            return features
        if self.kind in FITTED:
            offset, factor = (self.constants[f"feature_scale/{name}"].value for name in ("offset", "factor"))
            return (features - offset) * factor
        if self.kind == "root":
            features = ops.sign(features) * ops.sqrt(ops.abs(features))
        lengths = ops.sqrt(ops.sum(ops.square(features), axis=-1, keepdims=True))
        return features / ops.where(lengths > _LEAST, lengths, ops.ones_like(lengths))

    def of_arrays(self) -> FeatureScale:
        """The same for arrays."""
        if self.kind not in FITTED:
            return FeatureScale(self.kind)
        offset, factor = (self.constants[f"feature_scale/{name}"].numpy() for name in ("offset", "factor"))
        return FeatureScale(self.kind, offset if self.kind == "standard" else None, factor)

    def undone(self, layer: LinearLayer) -> LinearLayer | None:
        """A layer on features as they come that does what ``layer`` does on scaled ones; None where there is none."""
        if self.kind == "none":
            return layer
        if self.kind not in FITTED:
            return None
        offset, factor = (self.constants[f"feature_scale/{name}"].numpy() for name in ("offset", "factor"))
        kernel = layer.kernel * factor[:, None]
        return LinearLayer(kernel, layer.bias - offset @ kernel, layer.classes)
