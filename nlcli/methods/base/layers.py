"""Layers that methods are built from; imports Keras, so it is imported where a layer is made."""

from __future__ import annotations

from typing import Any

import keras

from nlcli.methods.base.contract import Activation, Tensor


class NonLinear(keras.layers.Layer):  # type: ignore[misc, unused-ignore]  # Keras has no types
    """``Dense(D -> H) -> activation -> Dense(H -> C)``: Hu 2018 section 3, Hu 2019 section 3.1.

    Args:
        output_initializer: Zeros where it is to add nothing at first to what it stands beside.
    """

    def __init__(
        self,
        hidden: int,
        classes: int,
        activation: Activation,
        hidden_initializer: Any,
        output_initializer: Any,
        *,
        name: str,
    ) -> None:
        super().__init__(name=name)
        self.hidden = keras.layers.Dense(
            hidden, activation=activation, kernel_initializer=hidden_initializer, name="hidden"
        )
        self.output_layer = keras.layers.Dense(classes, kernel_initializer=output_initializer, name="output")

    def build(self, input_shape: tuple[int | None, int]) -> None:
        self.hidden.build(input_shape)
        self.output_layer.build((None, self.hidden.units))
        super().build(input_shape)

    def call(self, features: Tensor) -> Tensor:
        return self.output_layer(self.hidden(features))

    def unfolded(self, features: Tensor) -> Tensor:
        """The same of ``features`` that are symbolic, by copies of both layers whose names are no other net's."""
        for layer in (self.hidden, self.output_layer):
            copy = keras.layers.Dense.from_config(layer.get_config() | {"name": f"{self.name}_{layer.name}"})
            features = copy(features)
            copy.set_weights(layer.get_weights())
        return features
