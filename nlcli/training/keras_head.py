"""A trained head as a ``keras.Model`` of Keras's own layers, which is saved and loaded without this program."""

from __future__ import annotations

from typing import Any

import keras

from nlcli.errors import NlcliError, sentence
from nlcli.methods.base.method import Method
from nlcli.networks.unfolded import symbolic_model


def keras_head(method: Method, score: str) -> Any:
    """Features as they come, (b, D) float32, to scores (b, C); their scale is inside.

    Args:
        score: One of ``method.scores``.

    Raises:
        NlcliError: what the method computes is no graph of Keras's operations, or has another shape.
    """
    what, problem = f"the score '{score}' of method {method.name}", method.problem
    features = keras.Input((problem.num_features,), dtype="float32", name="features")
    with sentence(f"{what} cannot be written as layers of Keras"):
        scores = method.score(method.scale(features), score)
    outputs = keras.tree.flatten(scores)
    if len(outputs) != 1:
        raise NlcliError(f"{what} has {len(outputs)} outputs; a model that is exported has one")
    if tuple(outputs[0].shape) != (None, problem.num_classes):
        raise NlcliError(f"{what} has the shape {tuple(outputs[0].shape)}, not a score for each class of an image")
    return symbolic_model(features, outputs[0], what, "head")
