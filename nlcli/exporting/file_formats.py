"""The formats that a model is written in, and the programs by which each is run.

Every model has one input, ``images`` or ``features``, of any number of rows, and one output, which is called ``scores``
where the format has names that are kept (LiteRT's are not).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlcli.errors import NlcliError, sentence
from nlcli.networks.conversion import openvino_module, to_onnx, to_openvino
from nlcli.runtime import chatter_held_back

if TYPE_CHECKING:
    from nlcli.exporting.config import Format

OUTPUT = "scores"
Apply = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class FileFormat:
    """One format.

    Attributes:
        file: Where the model lies in the directory: a file, or a folder.
        write: Writes a ``keras.Model`` there.
        open: The model that lies there, run by the program that other people run it by: rows to scores.
        packages: What that takes beside TensorFlow, by module.
        extra: Of nlcli, which brings the packages.
    """

    file: str
    write: Callable[[Any, Path], None]
    open: Callable[[Path], Apply]
    packages: tuple[tuple[str, str], ...] = ()
    extra: str | None = None

    def require(self, name: Format) -> None:
        """Refuse the format ``name`` where a package is missing that writes or runs it."""
        for module, package in self.packages:
            if util.find_spec(module) is None:
                raise NlcliError(
                    f"--format {name} needs the package {package}; install it with: pip install 'nlcli[{self.extra}]'"
                )

    def versions(self) -> dict[str, str]:
        """Of the packages."""
        return {package: metadata.version(package) for _, package in self.packages}


def write_model(name: Format, model: Any, folder: Path) -> Apply:
    """Write ``model`` into ``folder`` in the format ``name``; the same as it is read again.

    Raises:
        NlcliError: the program that writes the format cannot do so.
    """
    format, path = FORMATS[name], folder / FORMATS[name].file
    remove_model(name, folder)
    path.parent.mkdir(exist_ok=True)
    (given,) = model.inputs
    with sentence(f"the model cannot be written as {name}"), chatter_held_back():
        format.write(model, path)
        apply = format.open(path)
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


# --- Keras -----------------------------------------------------------------------------------


def _write_keras(model: Any, path: Path) -> None:
    model.save(path)


def _open_keras(path: Path) -> Apply:
    import keras

    model = keras.models.load_model(path, compile=False, safe_mode=True)
    return lambda rows: np.asarray(model(rows, training=False))


# --- TensorFlow ------------------------------------------------------------------------------


def _signature(model: Any) -> Any:
    """The compiled function of any number of rows, its input and its output named."""
    import tensorflow as tf

    (given,) = model.inputs
    rows = tf.TensorSpec((None, *given.shape[1:]), given.dtype, name=given.name)
    return tf.function(lambda rows: {OUTPUT: model(rows, training=False)}, input_signature=[rows])


def _write_saved_model(model: Any, path: Path) -> None:
    import tensorflow as tf

    served = tf.Module()
    served.model = model
    served.serve = _signature(model)
    tf.saved_model.save(served, str(path), signatures={"serving_default": served.serve})


def _open_saved_model(path: Path) -> Apply:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    serve = loaded.signatures["serving_default"]
    (name,) = serve.structured_input_signature[1]

    def apply(rows: np.ndarray, _alive: Any = loaded) -> np.ndarray:
        return np.asarray(serve(**{name: tf.convert_to_tensor(rows)})[OUTPUT])

    return apply


# --- others ----------------------------------------------------------------------------------


def _write_onnx(model: Any, path: Path) -> None:
    to_onnx(_signature(model), path)


def _open_onnx(path: Path) -> Apply:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    return lambda rows: np.asarray(session.run([OUTPUT], {given.name: rows})[0])


def _write_litert(model: Any, path: Path) -> None:
    import tensorflow as tf

    # Told of the model, or given a SavedModel, the converter leaves its weights out.
    concrete = _signature(model).get_concrete_function()
    path.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert())


def _open_litert(path: Path) -> Apply:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    (given,), (made,) = interpreter.get_input_details(), interpreter.get_output_details()

    def apply(rows: np.ndarray) -> np.ndarray:
        interpreter.resize_tensor_input(given["index"], rows.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(given["index"], rows)
        interpreter.invoke()
        return np.array(interpreter.get_tensor(made["index"]))

    return apply


def _write_openvino(model: Any, path: Path) -> None:
    openvino_module().save_model(to_openvino(_signature(model), OUTPUT), str(path), compress_to_fp16=False)


def _open_openvino(path: Path) -> Apply:
    # Some processors would compute in bfloat16 unasked.
    compiled = openvino_module().Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda rows: np.array(compiled(rows)[0])


FORMATS: dict[Format, FileFormat] = {
    "keras": FileFormat("model.keras", _write_keras, _open_keras),
    # TensorFlow Serving looks for versions in the folder of a model.
    "saved-model": FileFormat("model/1", _write_saved_model, _open_saved_model),
    "onnx": FileFormat(
        "model.onnx", _write_onnx, _open_onnx, (("tf2onnx", "tf2onnx"), ("onnxruntime", "onnxruntime")), "onnx"
    ),
    "litert": FileFormat(
        "model.tflite", _write_litert, _open_litert, (("ai_edge_litert", "ai-edge-litert"),), "litert"
    ),
    "openvino": FileFormat("model.xml", _write_openvino, _open_openvino, (("openvino", "openvino"),), "openvino"),
}
