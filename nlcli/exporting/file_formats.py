"""Models written in the formats of ``nlcli.networks.model_formats``, and read again by what others run them by."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nlcli.errors import sentence
from nlcli.networks.conversion import openvino_module, to_onnx, to_openvino
from nlcli.networks.graph import as_graph
from nlcli.networks.keras_archive import settle_archive
from nlcli.networks.model_formats import FORMATS, OUTPUT, Apply, Format
from nlcli.runtime import chatter_held_back


def write_model(name: Format, model: Any, folder: Path) -> Apply:
    """Write ``model`` into ``folder`` in the format ``name``; the same as it is read again.

    Raises:
        NlcliError: the program that writes the format cannot do so.
    """
    path = folder / FORMATS[name].file
    remove_model(name, folder)
    path.parent.mkdir(exist_ok=True)
    (given,) = model.inputs
    with sentence(f"the model cannot be written as {name}"), chatter_held_back():
        WRITERS[name](model, path)
        apply = FORMATS[name].open(path)
        apply(np.zeros((1, *given.shape[1:]), given.dtype))
    return apply


def remove_model(name: Format, folder: Path) -> None:
    """Remove what ``write_model`` wrote."""
    for file in model_files(name, folder):
        file.unlink()
    shutil.rmtree(folder / FORMATS[name].file, ignore_errors=True)


def model_files(name: Format, folder: Path) -> list[Path]:
    """The files of the model in ``folder``."""
    path = folder / FORMATS[name].file
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file())
    return sorted(path.parent.glob(f"{path.stem}.*"))


def _signature(model: Any) -> Any:
    """The compiled function of any number of rows, its input and its output named."""
    import tensorflow as tf

    (given,) = model.inputs
    rows = tf.TensorSpec((None, *given.shape[1:]), given.dtype, name=given.name)
    return as_graph(lambda rows: {OUTPUT: model(rows, training=False)}, input_signature=[rows])


def _write_keras(model: Any, path: Path) -> None:
    model.save(path)
    settle_archive(path)


def _write_saved_model(model: Any, path: Path) -> None:
    import tensorflow as tf

    served = tf.Module()
    served.model = model
    served.serve = _signature(model)
    tf.saved_model.save(served, str(path), signatures={"serving_default": served.serve})


def _write_onnx(model: Any, path: Path) -> None:
    to_onnx(_signature(model), path)


def _write_litert(model: Any, path: Path) -> None:
    import tensorflow as tf

    # Told of the model, or given a SavedModel, the converter leaves its weights out.
    concrete = _signature(model).get_concrete_function()
    path.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert())


def _write_openvino(model: Any, path: Path) -> None:
    openvino_module().save_model(to_openvino(_signature(model), OUTPUT), str(path), compress_to_fp16=False)


WRITERS: dict[Format, Callable[[Any, Path], None]] = {
    "keras": _write_keras,
    "saved-model": _write_saved_model,
    "onnx": _write_onnx,
    "litert": _write_litert,
    "openvino": _write_openvino,
}
"""What writes a ``keras.Model`` to a path."""
