"""Where the arrays of other programs belong in networks of ours: names, order of axes, order of channels.

Each function puts arrays into a network that is built already, and gives the last layer, or None where the file has
none. An array that is missing or of another shape is a sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from keras import layers

from nlcli.errors import NlcliError
from nlcli.networks.import_weights.caffe_files import Blobs
from nlcli.networks.torchvision_networks import RESNET50_BLOCKS

Last = tuple[np.ndarray, np.ndarray] | None
"""Kernel (D, C) and bias (C,) of a last layer."""
Arrays = Callable[[str], np.ndarray]


def lookup(arrays: Mapping[str, np.ndarray], where: str, kind: str) -> Arrays:
    """Arrays by name, as float32; a missing one is a sentence that names it and the network it is of."""

    def find(name: str) -> np.ndarray:
        if name not in arrays:
            raise NlcliError(f"{where} has no '{name}', which the weights of {kind} have; name the network it is of")
        return np.asarray(arrays[name], np.float32)

    return find


def put(layer: Any, values: Sequence[np.ndarray], where: str) -> None:
    """Give a layer its weights.

    Raises:
        NlcliError: a shape does not fit, or a number is not finite.
    """
    shapes = [tuple(weight.shape) for weight in layer.weights]
    if [value.shape for value in values] != shapes:
        raise NlcliError(
            f"{where}: layer '{layer.name}' takes {' and '.join(map(str, shapes))}, the file has "
            f"{' and '.join(str(value.shape) for value in values)}; name the network it is of"
        )
    if not all(np.isfinite(value).all() for value in values):
        raise NlcliError(f"{where}: the weights of layer '{layer.name}' contain NaN or infinity; get the file again")
    layer.set_weights(list(values))


# --- CaffeNet --------------------------------------------------------------------------------

CAFFENET = {"conv1": 1, "conv2": 2, "conv3": 1, "conv4": 2, "conv5": 2}
"""Convolutions and the groups of their channels."""
_POOL5 = (256, 6, 6)


def caffenet(model: Any, blobs: Blobs, where: str) -> Last:
    """The BVLC reference CaffeNet, or Caffe's AlexNet, in one column.

    - Kernels (out, in, h, w) become (h, w, in, out). A group of channels sees its own part of the input: the rest of
      the kernel is zero.
    - What ``fc6`` reads lies as (channel, row, column) in Caffe and as (row, column, channel) here.
    - Caffe reads images as BGR less the mean, as this package's ``caffe`` scaling gives them.
    """
    for name in (*CAFFENET, "fc6", "fc7"):
        if len(blobs.get(name, ())) != 2:
            raise NlcliError(f"{where} has no layer '{name}' with weights and bias; give the weights of a CaffeNet")
    for name, groups in CAFFENET.items():
        kernel, bias = blobs[name]
        layer = model.get_layer(name)
        height, width, inside, outside = layer.kernel.shape
        if kernel.shape != (outside, inside // groups, height, width):
            raise NlcliError(
                f"{where}: the kernel of '{name}' is {kernel.shape}, and CaffeNet's is "
                f"{(outside, inside // groups, height, width)}"
            )
        whole = np.zeros((height, width, inside, outside), np.float32)
        for group in range(groups):
            read = slice(group * inside // groups, (group + 1) * inside // groups)
            written = slice(group * outside // groups, (group + 1) * outside // groups)
            whole[:, :, read, written] = kernel[written].transpose(2, 3, 1, 0)
        put(layer, (whole, bias.reshape(-1)), where)
    kernel, bias = blobs["fc6"]
    if kernel.shape[-1] != int(np.prod(_POOL5)):
        raise NlcliError(f"{where}: 'fc6' reads {kernel.shape[-1]:,} numbers, and CaffeNet's 9,216")
    by_place = kernel.reshape(-1, *_POOL5).transpose(2, 3, 1, 0).reshape(kernel.shape[-1], -1)
    put(model.get_layer("fc6"), (by_place, bias.reshape(-1)), where)
    kernel, bias = blobs["fc7"]
    put(model.get_layer("fc7"), (_matrix(kernel).T, bias.reshape(-1)), where)
    if len(blobs.get("fc8", ())) != 2:
        return None
    kernel, bias = blobs["fc8"]
    return _matrix(kernel).T, bias.reshape(-1)


def _matrix(kernel: np.ndarray) -> np.ndarray:
    return kernel.reshape(-1, kernel.shape[-1])


# --- Inception V3 ----------------------------------------------------------------------------


def _slim_names() -> Iterator[str]:
    """Convolutions of TensorFlow-Slim's Inception V3, in the order in which ``keras.applications`` makes its own."""
    stem = ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3")
    yield from stem
    five = {"0": ("0a_1x1",), "1": ("0a_1x1", "0b_5x5"), "2": ("0a_1x1", "0b_3x3", "0c_3x3"), "3": ("0b_1x1",)}
    seven = {
        "0": ("0a_1x1",),
        "1": ("0a_1x1", "0b_1x7", "0c_7x1"),
        "2": ("0a_1x1", "0b_7x1", "0c_1x7", "0d_7x1", "0e_1x7"),
        "3": ("0b_1x1",),
    }
    eight = {
        "0": ("0a_1x1",),
        "1": ("0a_1x1", "0b_1x3", "0b_3x1"),
        "2": ("0a_1x1", "0b_3x3", "0c_1x3", "0d_3x1"),
        "3": ("0b_1x1",),
    }
    blocks: dict[str, Mapping[str, Sequence[str]]] = {
        "5b": five,
        "5c": five | {"1": ("0b_1x1", "_1_0c_5x5")},  # slim's own slip of the pen
        "5d": five,
        "6a": {"0": ("1a_1x1",), "1": ("0a_1x1", "0b_3x3", "1a_1x1")},
        **dict.fromkeys(("6b", "6c", "6d", "6e"), seven),
        "7a": {"0": ("0a_1x1", "1a_3x3"), "1": ("0a_1x1", "0b_1x7", "0c_7x1", "1a_3x3")},
        "7b": eight,
        "7c": eight | {"1": ("0a_1x1", "0b_1x3", "0c_3x1")},
    }
    for block, branches in blocks.items():
        for branch, names in branches.items():
            for name in names:
                place = f"Conv{name}" if name.startswith("_") else f"Conv2d_{name}"
                yield f"Mixed_{block}/Branch_{branch}/{place}"


def _torch_names() -> Iterator[str]:
    """Those of torchvision's, in the same order."""
    yield from ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3")
    five = ("branch1x1", "branch5x5_1", "branch5x5_2", *(f"branch3x3dbl_{i}" for i in (1, 2, 3)), "branch_pool")
    seven = (
        *("branch1x1", *(f"branch7x7_{i}" for i in (1, 2, 3))),
        *(f"branch7x7dbl_{i}" for i in (1, 2, 3, 4, 5)),
        "branch_pool",
    )
    eight = (
        *("branch1x1", "branch3x3_1", "branch3x3_2a", "branch3x3_2b"),
        *("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3a", "branch3x3dbl_3b", "branch_pool"),
    )
    blocks = {
        **dict.fromkeys(("5b", "5c", "5d"), five),
        "6a": ("branch3x3", *(f"branch3x3dbl_{i}" for i in (1, 2, 3))),
        **dict.fromkeys(("6b", "6c", "6d", "6e"), seven),
        "7a": ("branch3x3_1", "branch3x3_2", *(f"branch7x7x3_{i}" for i in (1, 2, 3, 4))),
        **dict.fromkeys(("7b", "7c"), eight),
    }
    for block, names in blocks.items():
        yield from (f"Mixed_{block}.{name}" for name in names)


def _convolutions(model: Any) -> list[tuple[Any, Any]]:
    """Convolution and BatchNorm of each step, in the order in which they were made: Keras numbers their names."""

    def number(layer: Any) -> int:
        tail = layer.name.rpartition("_")[2]
        return int(tail) if tail.isdigit() else 0

    def made(kind: type) -> list[Any]:
        return sorted((layer for layer in model.layers if isinstance(layer, kind)), key=number)

    return list(zip(made(layers.Conv2D), made(layers.BatchNormalization), strict=True))


def slim_inception_v3(model: Any, arrays: Mapping[str, np.ndarray], where: str) -> Last:
    """TensorFlow-Slim's Inception V3, as Open Images released it. Its kernels lie as Keras's do."""
    find = lookup(arrays, where, "TensorFlow-Slim's Inception V3")
    for (convolution, norm), name in zip(_convolutions(model), _slim_names(), strict=True):
        kernel = find(f"InceptionV3/{name}/weights")
        beta, mean, variance = (
            find(f"InceptionV3/{name}/BatchNorm/{part}") for part in ("beta", "moving_mean", "moving_variance")
        )
        gamma = arrays.get(f"InceptionV3/{name}/BatchNorm/gamma")
        _put_normalised(convolution, norm, kernel, gamma, beta, mean, variance, where)
    last = "InceptionV3/Logits/Conv2d_1c_1x1"
    if f"{last}/weights" not in arrays:
        return None
    kernel, bias = find(f"{last}/weights"), find(f"{last}/biases")
    return kernel.reshape(-1, kernel.shape[-1]), bias


def torch_inception_v3(model: Any, arrays: Mapping[str, np.ndarray], where: str) -> Last:
    """torchvision's Inception V3; kernels (out, in, h, w)."""
    find = lookup(arrays, where, "torchvision's Inception V3")
    for (convolution, norm), name in zip(_convolutions(model), _torch_names(), strict=True):
        kernel = _torch_kernel(find, f"{name}.conv")
        gamma, beta, mean, variance = _torch_norm(find, f"{name}.bn")
        _put_normalised(convolution, norm, kernel, gamma, beta, mean, variance, where)
    return _torch_last(find, arrays)


def _put_normalised(
    convolution: Any,
    norm: Any,
    kernel: np.ndarray,
    gamma: np.ndarray | None,
    beta: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    where: str,
) -> None:
    """A convolution and a BatchNorm without scale; a scale that there is goes into the kernel and the mean.

    ``gamma (K x - mean) / s + beta = ((gamma K) x - gamma mean) / s + beta``: the variance stays as it is.
    """
    if gamma is not None:
        scale = np.asarray(gamma, np.float32)
        kernel, mean = kernel * scale, mean * scale
    put(convolution, (kernel,), where)
    put(norm, (beta, mean, variance), where)


# --- torchvision's ResNet50 ------------------------------------------------------------------


def torch_resnet50(model: Any, arrays: Mapping[str, np.ndarray], where: str) -> Last:
    """torchvision's ResNet50 in the network of ``torchvision_networks``."""
    find = lookup(arrays, where, "torchvision's ResNet50")
    places = {"stem": ("conv1", "bn1")}
    for stage, blocks in enumerate(RESNET50_BLOCKS, start=1):
        for block in range(blocks):
            own, theirs = f"layer{stage}_{block}", f"layer{stage}.{block}"
            places |= {f"{own}_{i}": (f"{theirs}.conv{i}", f"{theirs}.bn{i}") for i in (1, 2, 3)}
            if block == 0:
                places[f"{own}_downsample"] = (f"{theirs}.downsample.0", f"{theirs}.downsample.1")
    for own, (convolution, norm) in places.items():
        put(model.get_layer(f"{own}_conv"), (_torch_kernel(find, convolution),), where)
        put(model.get_layer(f"{own}_bn"), _torch_norm(find, norm), where)
    return _torch_last(find, arrays)


def _torch_kernel(find: Arrays, name: str) -> np.ndarray:
    """(h, w, in, out) of a kernel (out, in, h, w); what is none stays as it is, for ``put`` to tell."""
    kernel = find(f"{name}.weight")
    return kernel.transpose(2, 3, 1, 0) if kernel.ndim == 4 else kernel


def _torch_norm(find: Arrays, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    gamma, beta, mean, variance = (find(f"{name}.{part}") for part in ("weight", "bias", "running_mean", "running_var"))
    return gamma, beta, mean, variance


def _torch_last(find: Arrays, arrays: Mapping[str, np.ndarray]) -> Last:
    return (find("fc.weight").T, find("fc.bias")) if "fc.weight" in arrays else None
