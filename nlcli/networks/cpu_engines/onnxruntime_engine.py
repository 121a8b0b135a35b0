"""ONNX Runtime: the network converted to ONNX by tf2onnx. On a CPU it has no bfloat16."""

from __future__ import annotations

from typing import Any

import numpy as np

from nlcli.networks.conversion import to_onnx
from nlcli.networks.cpu_engines.contract import Compute, CpuEngine
from nlcli.runtime import cpu_count


def _open(function: Any, precision: str) -> Compute:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cpu_count()
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(to_onnx(function), options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()

    def compute(images: np.ndarray) -> np.ndarray:
        return np.asarray(session.run(None, {given.name: np.ascontiguousarray(images)})[0])

    return compute


ONNXRUNTIME = CpuEngine(
    "onnxruntime",
    "onnxruntime",
    _open,
    precisions=frozenset({"float32"}),
    modules=(("onnxruntime", "onnxruntime"), ("tf2onnx", "tf2onnx")),
    extra="onnx",
)
