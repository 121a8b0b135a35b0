"""The programs beside TensorFlow, by name."""

from __future__ import annotations

from nlcli.networks.cpu_engines.contract import CpuEngine
from nlcli.networks.cpu_engines.onnxruntime_engine import ONNXRUNTIME
from nlcli.networks.cpu_engines.openvino_engine import OPENVINO

TENSORFLOW = "tensorflow"
"""What is always there, and what the others are held against; ``Inference`` is it."""

OTHERS: dict[str, CpuEngine] = {engine.name: engine for engine in (OPENVINO, ONNXRUNTIME)}
