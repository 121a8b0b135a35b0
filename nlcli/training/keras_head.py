"""A trained head as a ``keras.Model`` of Keras's own layers, which is saved and loaded without this program."""

from __future__ import annotations

from typing import Any

import keras

from nlcli.errors import NlcliError, sentence
from nlcli.methods.base.method import Method
from nlcli.networks.unfolded import symbolic_model
from nlcli.training.saved_head import with_weights


def keras_head(method: Method, score: str) -> Any:
    """Features as they come, (b, D) float32, to scores (b, C); their scale is inside.

    Args:
        score: One of ``method.scores``.

    Raises:
        NlcliError: what the method computes is no graph of Keras's operations, or has another shape.
    """
    what, problem = f"the score '{score}' of method {method.name}", method.problem
    if method.arrays:
        weights = {name: variable.numpy() for name, variable in method.weights().items()}
        method = with_weights(type(method), method.config, problem, weights)
    features = keras.Input((problem.num_features,), dtype="float32", name="features")
    with sentence(f"{what} cannot be written as layers of Keras"):
        scores = method.score(method.scale(features), score)
    outputs = keras.tree.flatten(scores)
    if len(outputs) != 1:
        raise NlcliError(f"{what} has {len(outputs)} outputs; a model that is exported has one")
    if tuple(outputs[0].shape) != (None, problem.num_classes):
        raise NlcliError(f"{what} has the shape {tuple(outputs[0].shape)}, not a score for each class of an image")
    return _with_constants(symbolic_model(features, outputs[0], what, "head"), what)


def _with_constants(model: Any, what: str) -> Any:
    """A copy in which the method's constants are arrays.

    As variables that no layer owns TensorFlow would not save them, and as tensors tf2onnx would make them inputs.
    """
    with sentence(f"{what} cannot be written as layers of Keras"):
        copy = keras.Model.from_config(_arrays(model.get_config()))
        copy.set_weights(model.get_weights())
    return copy


def _arrays(config: Any) -> Any:
    """``config`` of a model with tensors as NumPy's arrays; Keras writes both alike."""
    if isinstance(config, dict):
        inside = {name: _arrays(value) for name, value in config.items()}
        return inside | {"class_name": "__numpy__"} if config.get("class_name") == "__tensor__" else inside
    return [_arrays(value) for value in config] if isinstance(config, list | tuple) else config
