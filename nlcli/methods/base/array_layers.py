"""Layers of a method that only scores arrays: those of ``layers.py`` and Keras's ``Dense`` in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from nlcli.methods.base.array_ops import relu, sigmoid
from nlcli.methods.base.contract import Activation

_ACTIVATIONS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {"sigmoid": sigmoid, "tanh": np.tanh, "relu": relu}


class ArrayVariable:
    """What a Keras variable is to whoever reads or assigns it.

    Attributes:
        path: Its name in a head.
        value: The array.
    """

    def __init__(self, path: str, value: np.ndarray) -> None:
        self.path, self.value = path, value

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return self.value.shape

    @property
    def dtype(self) -> np.dtype:
        """Of the array."""
        return self.value.dtype

    def numpy(self) -> np.ndarray:
        """The array."""
        return self.value

    def assign(self, value: np.ndarray) -> None:
        """Take another value, in the precision that there is."""
        given = np.asarray(value, self.value.dtype)
        if given.shape != self.shape:
            raise ValueError(f"{self.path} has shape {self.shape}, not {given.shape}")
        self.value = given.copy()


class ArrayDense:
    """``activation(x @ kernel + bias)``, all zeros until something is assigned."""

    def __init__(self, units: int, name: str, activation: Activation = "linear") -> None:
        self.units, self.name, self._activation = units, name, _ACTIVATIONS.get(activation)

    def build(self, input_shape: tuple[int | None, int]) -> None:
        """Make the weights for inputs of that width."""
        self.kernel = ArrayVariable(f"{self.name}/kernel", np.zeros((input_shape[-1], self.units), np.float32))
        self.bias = ArrayVariable(f"{self.name}/bias", np.zeros(self.units, np.float32))
        self.variables = self.trainable_variables = [self.kernel, self.bias]

    def get_weights(self) -> list[np.ndarray]:
        """Kernel and bias."""
        return [self.kernel.value, self.bias.value]

    def set_weights(self, weights: Sequence[np.ndarray]) -> None:
        """Take another kernel and bias."""
        for variable, value in zip(self.variables, weights, strict=True):
            variable.assign(value)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        out: np.ndarray = np.matmul(x, self.kernel.value)
        out += self.bias.value
        return out if self._activation is None else self._activation(out)


class ArrayNonLinear:
    """``NonLinear``: two such layers, the first with an activation."""

    def __init__(self, hidden: int, classes: int, activation: Activation, *, name: str) -> None:
        self.name = name
        self.hidden = ArrayDense(hidden, f"{name}/hidden", activation)
        self.output_layer = ArrayDense(classes, f"{name}/output")

    def build(self, input_shape: tuple[int | None, int]) -> None:
        """Make the weights for inputs of that width."""
        self.hidden.build(input_shape)
        self.output_layer.build((None, self.hidden.units))
        self.variables = self.trainable_variables = [*self.hidden.variables, *self.output_layer.variables]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self.output_layer(self.hidden(x))
