"""A network of nothing but Keras's own layers, so that Keras alone loads what is saved of it.

Layers of this program are taken apart: their ``call`` is run on symbolic tensors, where ``keras.ops`` become operations
of the graph. A layer that holds layers says by ``unfolded`` what they come to.
"""

from __future__ import annotations

from typing import Any

import keras

from nlcli.errors import NlcliError, sentence


def unfolded(model: Any) -> Any:
    """``model`` itself where all of its layers are Keras's; else one like it, which shares its weights."""
    if not _strangers(model):
        return model
    return keras.models.clone_model(model, clone_function=_kept, call_function=_called)


def symbolic_model(inputs: Any, outputs: Any, what: str, name: str) -> Any:
    """The model of symbolic tensors, unfolded.

    Args:
        what: For the sentence that refuses it.

    Raises:
        NlcliError: it is none, or it cannot be made of Keras's layers.
    """
    with sentence(f"{what} cannot be written as layers of Keras"):
        model = unfolded(keras.Model(inputs, outputs, name=name))
        strangers = _strangers(model)
    if strangers:
        raise NlcliError(f"{what} cannot be written as layers of Keras: '{strangers[0].name}' is none of them")
    return model


def _strangers(model: Any) -> list[Any]:
    """The layers of ``model``, and of models in it, that are not Keras's own."""
    found = []
    for operation in model.operations:
        if isinstance(operation, keras.Model):
            found += _strangers(operation)
        elif _is_stranger(operation):
            found.append(operation)
    return found


def _is_stranger(operation: Any) -> bool:
    return not type(operation).__module__.startswith("keras.")


def _kept(layer: Any) -> Any:
    return unfolded(layer) if isinstance(layer, keras.Model) else layer


def _called(layer: Any, *args: Any, **kwargs: Any) -> Any:
    if not _is_stranger(layer):
        return layer(*args, **kwargs)
    return getattr(layer, "unfolded", layer.call)(*args, **kwargs)
