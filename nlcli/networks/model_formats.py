"""The formats of exported models, and the programs by which each is run.

Every model has one input, ``images`` or ``features``, of any number of rows, and one output, which is called ``scores``
where the format has names that are kept (LiteRT's are not).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Any, Literal

import numpy as np

from nlcli.errors import NlcliError
from nlcli.networks.conversion import openvino_module
from nlcli.stages.hdf5_trial import require_readable

Format = Literal["keras", "saved-model", "onnx", "litert", "openvino"]
OUTPUT = "scores"
Apply = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class ModelFormat:
    """One format.

    Attributes:
        file: Where the model lies in the directory: a file, or a folder.
        open: The model that lies there, run by the program that other people run it by: rows to scores.
        packages: What that takes, and writing it, beside TensorFlow, by module.
        extra: Of nlcli, which brings the packages.
    """

    file: str
    open: Callable[[Path], Apply]
    packages: tuple[tuple[str, str], ...] = ()
    extra: str | None = None

    def require(self, what: str) -> None:
        """Refuse ``what`` where a package is missing that writes or runs the format."""
        for module, package in self.packages:
            if util.find_spec(module) is None:
                raise NlcliError(
                    f"{what} needs the package {package}; install it with: pip install 'nlcli[{self.extra}]'"
                )

    def versions(self) -> dict[str, str]:
        """Of the packages."""
        return {package: metadata.version(package) for _, package in self.packages}


def _open_keras(path: Path) -> Apply:
    import keras

    require_readable(path, archive=True)
    model = keras.models.load_model(path, compile=False, safe_mode=True)
    return lambda rows: np.asarray(model(rows, training=False))


def _open_saved_model(path: Path) -> Apply:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    serve = loaded.signatures["serving_default"]
    (name,) = serve.structured_input_signature[1]

    def apply(rows: np.ndarray, _alive: Any = loaded) -> np.ndarray:
        return np.asarray(serve(**{name: tf.convert_to_tensor(rows)})[OUTPUT])

    return apply


def _open_onnx(path: Path) -> Apply:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    return lambda rows: np.asarray(session.run([OUTPUT], {given.name: rows})[0])


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


def _open_openvino(path: Path) -> Apply:
    # Some processors would compute in bfloat16 unasked.
    compiled = openvino_module().Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda rows: np.array(compiled(rows)[0])


FORMATS: dict[Format, ModelFormat] = {
    "keras": ModelFormat("model.keras", _open_keras),
    # TensorFlow Serving looks for versions in the folder of a model.
    "saved-model": ModelFormat("model/1", _open_saved_model),
    "onnx": ModelFormat("model.onnx", _open_onnx, (("tf2onnx", "tf2onnx"), ("onnxruntime", "onnxruntime")), "onnx"),
    "litert": ModelFormat("model.tflite", _open_litert, (("ai_edge_litert", "ai-edge-litert"),), "litert"),
    "openvino": ModelFormat("model.xml", _open_openvino, (("openvino", "openvino"),), "openvino"),
}
