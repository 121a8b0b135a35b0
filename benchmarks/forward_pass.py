"""The forward pass of ResNet50 at 224, batch 32, by every engine, beside oneDNN's convolutions alone.

All in processor time, so that what else the machine does counts little; the contestants take turns within one process,
and ratios are medians of those within a turn. The convolutions are oneDNN's as OpenVINO calls them within the network,
with what is fused into them; they would be faster by themselves, again and again on the same arrays.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from nlcli.runtime import cpu_count, cpu_flags, quiet_tensorflow

BATCH = 32
_HINTS = {"float32": "f32", "bfloat16": "bf16"}
_TARGETS = {("float32", "fastest"): "at least 0.95", ("bfloat16", "fastest"): "at least 0.8"}
FLOOR = "oneDNN's convolutions alone"


def run(quick: bool) -> list[dict]:
    """Rows for each engine and precision that this machine has."""
    quiet_tensorflow()
    from nlcli.networks.cpu_engines.agreement import made_up_pictures
    from nlcli.networks.cpu_engines.catalogue import OTHERS
    from nlcli.networks.forward import open_forward
    from nlcli.networks.weights import build_backbone

    turns = 1 if quick else 7
    backbone = build_backbone("resnet50", "none")
    images = made_up_pictures(backbone.preprocessing.size, BATCH)
    exact = np.asarray(backbone.inference("float32")(images))
    rows: list[dict] = []
    for precision in ("float32", "bfloat16"):
        if precision == "bfloat16" and not cpu_flags() & {"amx_bf16", "avx512_bf16"}:
            continue
        engines = ["tensorflow"]
        engines += [e.name for e in OTHERS.values() if e.missing is None and precision in e.precisions]
        computes = {name: open_forward(backbone, precision, "features", name).compute for name in engines}
        work: dict[str, Callable[[], float]] = {name: _timed(compute, images) for name, compute in computes.items()}
        if "openvino" in computes:
            work[FLOOR] = convolutions_alone(backbone, precision, images)
        seconds: dict[str, list[float]] = {name: [] for name in work}
        for turn in range(turns + 1):
            for name, measure in work.items():
                taken = measure()
                if turn:  # the first one compiles
                    seconds[name].append(taken)
        best = min(engines, key=lambda name: statistics.median(seconds[name]))
        for name in work:
            row = {
                "name": f"{name}, {precision}",
                "value": BATCH / statistics.median(seconds[name]),
                "unit": "images a processor second",
            }
            for other in (FLOOR, "tensorflow"):
                if other not in work or other == name or name == FLOOR:
                    continue
                ratio = statistics.median(b / a for a, b in zip(seconds[name], seconds[other], strict=True))
                target = _TARGETS[precision, "fastest"] if (name, other) == (best, FLOOR) else None
                rows.append(row | {"ratio": ratio, "ratio_to": other, "target": target})
            if name == FLOOR:
                rows.append(row)
            else:
                computed = np.asarray(computes[name](images))
                cosine = (computed * exact).sum(1) / np.linalg.norm(computed, axis=1) / np.linalg.norm(exact, axis=1)
                difference = np.linalg.norm(computed - exact, axis=1) / np.linalg.norm(exact, axis=1)
                text = f"{name}, {precision}: difference from TensorFlow's float32"
                rows.append({"name": text, "value": float(difference.max()), "unit": f"cosine {cosine.min():.6f}"})
    return rows


def _timed(compute: Callable[[np.ndarray], Any], images: np.ndarray) -> Callable[[], float]:
    def measure() -> float:
        started = time.process_time()
        np.asarray(compute(images))
        return time.process_time() - started

    return measure


def convolutions_alone(backbone: Any, precision: str, images: np.ndarray) -> Callable[[], float]:
    """What measures the processor seconds of the convolutions within a pass of OpenVINO: their share of its clock."""
    from nlcli.networks.conversion import openvino_module, to_openvino

    settings = {
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "INFERENCE_NUM_THREADS": cpu_count(),
        "ENABLE_CPU_PINNING": False,
        "PERFORMANCE_HINT": "LATENCY",
        "PERF_COUNT": True,
    }
    model = to_openvino(backbone.inference("float32").function, "features")
    request = openvino_module().Core().compile_model(model, "CPU", settings).create_infer_request()

    def measure() -> float:
        started = time.process_time()
        request.infer([images])
        taken = time.process_time() - started
        nodes = [(node.node_type, node.real_time.total_seconds()) for node in request.profiling_info]
        return taken * sum(t for kind, t in nodes if kind == "Convolution") / sum(t for _, t in nodes)

    return measure
