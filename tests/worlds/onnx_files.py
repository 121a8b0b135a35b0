"""Small networks in ONNX files, with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def write_onnx(
    path: Path,
    side: int | str = 32,
    *,
    dtype: str = "FLOAT",
    channels_last: bool = False,
    seed: int = 0,
    batch: int | str = "batch",
    width: int | str | None = None,
) -> Path:
    """A convolution of stride 4 and a relu: outputs ``map``, its ``mean``, and the map as ``tokens`` (b, t, 8)."""
    from onnx import TensorProto, helper, numpy_helper, save_model

    kernel = np.random.default_rng(seed).normal(0, 0.3, (8, 3, 4, 4)).astype(np.float32)
    wide = side if width is None else width
    shape: list[Any] = [batch, side, wide, 3] if channels_last else [batch, 3, side, wide]
    nodes = [
        helper.make_node("Cast", ["pixels"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["first"], perm=[0, 3, 1, 2])
        if channels_last
        else helper.make_node("Identity", ["floats"], ["first"]),
        helper.make_node("Conv", ["first", "kernel"], ["convolved"], strides=[4, 4]),
        helper.make_node("Relu", ["convolved"], ["map"]),
        helper.make_node("ReduceMean", ["map", "axes"], ["mean"], keepdims=0),
        helper.make_node("Reshape", ["map", "flat"], ["sequence"]),
        helper.make_node("Transpose", ["sequence"], ["tokens"], perm=[0, 2, 1]),
    ]
    constants = {"kernel": kernel, "axes": np.array([2, 3]), "flat": np.array([0, 8, -1])}
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("pixels", getattr(TensorProto, dtype), shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("map", "mean", "tokens")],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def add_output(path: Path, operator: str, *constants: Any, given: str = "mean", **attributes: Any) -> None:
    """One more output ``odd`` of the network at ``path``: ``operator`` of the output ``given`` and ``constants``."""
    from onnx import helper, load, numpy_helper, save_model

    model = load(path)
    names = [f"odd{i}" for i in range(len(constants))]
    model.graph.initializer.extend(map(numpy_helper.from_array, map(np.asarray, constants), names))
    model.graph.node.append(helper.make_node(operator, [given, *names], ["odd"], **attributes))
    model.graph.output.append(helper.make_empty_tensor_value_info("odd"))
    save_model(model, path)
