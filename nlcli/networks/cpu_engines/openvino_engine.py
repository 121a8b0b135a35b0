"""OpenVINO: the network converted, then compiled for this processor.

It is told the precision, because on processors with bfloat16 it would take that unasked, and to leave threads where the
system puts them: several processes would otherwise pin theirs to the same cores.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nlcli.errors import NlcliError
from nlcli.networks.conversion import openvino_module, to_openvino
from nlcli.networks.cpu_engines.contract import Compute, CpuEngine
from nlcli.runtime import cpu_count

_HINTS = {"float32": "f32", "bfloat16": "bf16"}


def _open(function: Any, precision: str) -> Compute:
    settings = {
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "INFERENCE_NUM_THREADS": cpu_count(),
        "ENABLE_CPU_PINNING": False,
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = openvino_module().Core().compile_model(to_openvino(function, "result"), "CPU", settings)
    taken = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    if taken != _HINTS[precision]:
        raise NlcliError(f"it computes in {taken} on this processor, not in {precision}")
    request = compiled.create_infer_request()

    def compute(images: np.ndarray) -> np.ndarray:
        # The result lies in memory that the next batch is written into.
        return np.array(request.infer([np.ascontiguousarray(images)], share_inputs=True)[0])

    return compute


OPENVINO = CpuEngine(
    "openvino",
    "openvino",
    _open,
    precisions=frozenset(_HINTS),
    modules=(("openvino", "openvino"),),
    extra="openvino",
)
