"""A network, its preprocessing and a head as one ``keras.Model``: from uint8 images to scores."""

from __future__ import annotations

import hashlib
from typing import Any

import keras
import numpy as np

from nlcli.networks.backbone import Backbone, scale_pixels
from nlcli.networks.unfolded import symbolic_model, unfolded


def whole_model(backbone: Backbone, head: Any = None) -> Any:
    """Images (b, S, S, 3) uint8 to scores (b, C), float32.

    The network is the one that was trained, nothing of it folded, so that it can be read, and trained on.

    Args:
        head: Model of features; None takes the network's own last layer and its activation.
    """
    size = backbone.preprocessing.size
    images = keras.Input((size, size, 3), dtype="uint8", name="images")
    output = backbone.model.output["logits" if head is None else "features"]
    body = unfolded(keras.Model(backbone.model.input, output, name="network"))
    values = body(scale_pixels(images, backbone.preprocessing.scaling))
    if head is not None:
        scores = head(values)
    elif backbone.activation == "sigmoid":
        scores = keras.ops.sigmoid(values)
    else:
        scores = keras.ops.softmax(values, axis=-1)
    return symbolic_model(images, scores, f"backbone {backbone.name}", "classifier")


def fingerprint_of(model: Any) -> str:
    """``sha256:...`` of the weights: files of a model carry the time of writing, or names that were counted."""
    hashed = hashlib.sha256()
    for weight in model.weights:
        value = np.ascontiguousarray(weight.numpy())
        hashed.update(f"{value.dtype}{value.shape}".encode())
        hashed.update(value.data)
    return "sha256:" + hashed.hexdigest()
