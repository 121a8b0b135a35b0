"""A linear classifier on features: the last layer of a network, of stored features, of a trained head."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from nlcli.errors import NlcliError, shortened
from nlcli.stages.files import read_arrays, write_arrays

LAST_LAYER = "last_layer.npz"
"""Name of the file beside a saved network, and beside features that it computed."""


@dataclass(frozen=True, eq=False)
class LinearLayer:
    """``logits = features @ kernel + bias``.

    Attributes:
        kernel: (D, C) float32.
        bias: (C,) float32.
        classes: C names, or None where whoever holds the layer knows them.
    """

    kernel: np.ndarray
    bias: np.ndarray
    classes: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        outputs = len(self.bias) if self.classes is None else len(self.classes)
        if self.kernel.ndim != 2 or self.kernel.shape[1] != outputs or self.bias.shape != (outputs,):
            raise ValueError(f"kernel {self.kernel.shape}, bias {self.bias.shape} and {outputs} classes do not fit")

    @classmethod
    def zeros(cls, num_features: int, classes: Sequence[str]) -> Self:
        """The layer that gives 0 for everything."""
        kernel = np.zeros((num_features, len(classes)), np.float32)
        return cls(kernel, np.zeros(len(classes), np.float32), tuple(classes))

    @classmethod
    def of(cls, dense: Any, classes: Sequence[str]) -> Self:
        """A copy of a Keras ``Dense`` layer without activation."""
        kernel, bias = dense.get_weights()
        return cls(kernel, bias, tuple(classes))

    def logits(self, features: np.ndarray) -> np.ndarray:
        """(n, C) of ``features`` (n, D)."""
        product: np.ndarray = features @ self.kernel
        logits: np.ndarray = product + self.bias
        return logits

    def lacking(self, classes: Sequence[str]) -> str | None:
        """The first of ``classes`` that is none of its own; None where it has them all."""
        own: Collection[str] = frozenset(self.classes or ())
        return next((name for name in classes if name not in own), None)

    def for_classes(self, classes: Sequence[str]) -> Self:
        """The columns of ``classes``, in their order.

        Raises:
            NlcliError: it has no such class.
        """
        missing = self.lacking(classes)
        if missing is not None:
            raise NlcliError(f"the last layer has no class '{missing}'; use one that was trained on these classes")
        number = {name: column for column, name in enumerate(self.classes or ())}
        columns = [number[name] for name in classes]
        return type(self)(self.kernel[:, columns], self.bias[columns], tuple(classes))

    def save(self, path: Path) -> None:
        """Write arrays ``kernel``, ``bias`` and, where it has names, ``classes`` to a ``.npz`` file."""
        named = {} if self.classes is None else {"classes": np.array(self.classes)}
        write_arrays(path, {"kernel": self.kernel, "bias": self.bias, **named})

    @classmethod
    def load(cls, path: Path, num_features: int, remedy: str) -> Self:
        """The layer with names that ``save`` wrote.

        Args:
            path: The ``.npz`` file.
            num_features: D, of the features that it is for.
            remedy: What to do where it is damaged, for the sentence.

        Raises:
            NlcliError: the file is missing or damaged, or is not for these features.
        """
        arrays = read_arrays(path, remedy)
        try:
            kernel, bias = arrays["kernel"], arrays["bias"]
            layer = cls(kernel, bias, tuple(str(name) for name in arrays["classes"].tolist()))
        except (ValueError, KeyError, TypeError) as error:
            raise NlcliError(f"{path} does not hold a last layer ({shortened(error)}); {remedy}") from error
        if len(kernel) != num_features:
            raise NlcliError(f"{path} is for {len(kernel)} features, not for these {num_features}; {remedy}")
        return layer
