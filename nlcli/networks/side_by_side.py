"""Two networks on the same images, side by side in one: features (b, 2 D), the second's behind the first's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
from keras import layers

from nlcli.networks.backbone import Backbone

JOINED = "side_by_side"
"""Name of the layer that joins both."""
_SECOND = "second_"


def side_by_side(backbone: Backbone) -> Backbone:
    """``backbone`` and a copy of it with weights of its own, the same to begin with; without classes."""
    model = backbone.model
    first = keras.Model(model.input, model.output["features"])

    def renamed(layer: Any) -> Any:
        if not isinstance(layer, layers.Layer):  # an operation without weights
            return layer
        return layer.__class__.from_config(layer.get_config() | {"name": f"{_SECOND}{layer.name}"})

    second = keras.models.clone_model(first, input_tensors=model.input, clone_function=renamed)
    second.set_weights(first.get_weights())
    joined = layers.Concatenate(name=JOINED)([first.output, second.output])
    return replace(backbone, model=keras.Model(model.input, {"features": joined}, name=backbone.name), classes=None)


def halves(model: Any) -> list[Any]:
    """Models of the features of the first and of the second, sharing the weights of ``model``; none where it is one."""
    if not any(layer.name == JOINED for layer in model.layers):
        return []
    return [keras.Model(model.input, features) for features in model.get_layer(JOINED).input]
