"""Functions of TensorFlow as models of OpenVINO and of ONNX."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

_OPSET = 18


def openvino_module() -> Any:
    """The package, which is kept from telling Intel that it is used."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # it then imports a stand-in
    import openvino

    return openvino


def to_openvino(function: Any, output: str) -> Any:
    """A ``tf.function`` of one signature and one result as an OpenVINO model, whose output is called ``output``."""
    converted = openvino_module().convert_model(function.get_concrete_function())
    (made,) = converted.outputs
    made.get_tensor().set_names({output})
    return converted


def to_onnx(function: Any, path: Path | None = None) -> bytes:
    """A ``tf.function`` of one signature as the content of an ONNX file, which is also written to ``path``."""
    import tf2onnx

    model, _ = tf2onnx.convert.from_function(
        function, function.input_signature, opset=_OPSET, output_path=None if path is None else str(path)
    )
    return bytes(model.SerializeToString())
