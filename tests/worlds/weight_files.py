"""Weights files of other programs, written by hand: protocol buffers, torch's archives, safetensors; and random weights."""

from __future__ import annotations

import io
import json
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Arrays = dict[str, np.ndarray]

# --- random weights --------------------------------------------------------------------------


def _kernel(rng: np.random.Generator, shape: tuple[int, ...], inputs: int) -> np.ndarray:
    return rng.normal(0, np.sqrt(2 / inputs), shape).astype(np.float32)


def _norm(rng: np.random.Generator, channels: int) -> dict[str, np.ndarray]:
    values = {"gamma": (0.8, 1.2), "beta": (-0.1, 0.1), "mean": (-0.1, 0.1), "variance": (0.8, 1.2)}
    return {name: rng.uniform(*ends, channels).astype(np.float32) for name, ends in values.items()}


def torch_normalised(rng: np.random.Generator, arrays: Arrays, convolution: str, norm: str, shape: tuple[int, ...]) -> None:  # fmt: skip
    """A convolution (out, in, h, w) and its BatchNorm under torch's names."""
    arrays[f"{convolution}.weight"] = _kernel(rng, shape, int(np.prod(shape[1:])))
    parts = _norm(rng, shape[0])
    for theirs, own in (("weight", "gamma"), ("bias", "beta"), ("running_mean", "mean"), ("running_var", "variance")):
        arrays[f"{norm}.{theirs}"] = parts[own]
    arrays[f"{norm}.num_batches_tracked"] = np.array(7)


def torch_resnet50_arrays(seed: int = 0) -> Arrays:
    rng, arrays = np.random.default_rng(seed), {}
    torch_normalised(rng, arrays, "conv1", "bn1", (64, 3, 7, 7))
    channels = 64
    for stage, blocks in ((1, 3), (2, 4), (3, 6), (4, 3)):
        width = 32 * 2**stage
        for block in range(blocks):
            name = f"layer{stage}.{block}"
            for i, shape in enumerate(((width, channels, 1, 1), (width, width, 3, 3), (4 * width, width, 1, 1)), 1):
                torch_normalised(rng, arrays, f"{name}.conv{i}", f"{name}.bn{i}", shape)
            arrays[f"{name}.bn3.weight"] *= 0.3
            if block == 0:
                torch_normalised(
                    rng, arrays, f"{name}.downsample.0", f"{name}.downsample.1", (4 * width, channels, 1, 1)
                )
            channels = 4 * width
    arrays["fc.weight"] = _kernel(rng, (1000, 2048), 2048)
    arrays["fc.bias"] = rng.normal(size=1000).astype(np.float32)
    return arrays


def caffenet_blobs(seed: int = 0) -> dict[str, list[np.ndarray]]:
    """Caffe's layout: the kernels of groups see a half of the channels."""
    rng = np.random.default_rng(seed)
    shapes = {
        "conv1": (96, 3, 11, 11),
        "conv2": (256, 48, 5, 5),
        "conv3": (384, 256, 3, 3),
        "conv4": (384, 192, 3, 3),
        "conv5": (256, 192, 3, 3),
        "fc6": (4096, 9216),
        "fc7": (4096, 4096),
        "fc8": (1000, 4096),
    }
    return {
        name: [_kernel(rng, shape, int(np.prod(shape[1:]))), rng.normal(0, 0.1, shape[0]).astype(np.float32)]
        for name, shape in shapes.items()
    }


# --- protocol buffers ------------------------------------------------------------------------


def varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def field(number: int, content: bytes | int) -> bytes:
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def caffemodel(blobs: Mapping[str, list[np.ndarray]], old: bool) -> bytes:
    """A ``NetParameter``: with ``old`` its layers are of V1 and its blobs have four dimensions each, as the BVLC's."""
    layers = [field(1, b"CaffeNet")]
    for name, arrays in {"data": [], **blobs}.items():
        content = [field(4 if old else 1, name.encode())]
        content.append(field(5, 4) if old else field(2, b"Convolution"))  # the type, which nobody reads
        for array in arrays:
            if old:
                padded = (1,) * (4 - array.ndim) + array.shape
                shape = b"".join(field(i, size) for i, size in enumerate(padded, 1))
            else:
                shape = field(7, field(1, b"".join(varint(size) for size in array.shape)))
            content.append(field(6 if old else 7, shape + field(5, array.astype("<f4").tobytes())))
        layers.append(field(2 if old else 100, b"".join(content)))
    return b"".join(layers)


# --- torch and safetensors -------------------------------------------------------------------


class _Tensor:
    def __init__(self, array: np.ndarray, key: str) -> None:
        self.array, self.key = array, key


class _StorageReference:
    def __init__(self, pid: tuple[Any, ...]) -> None:
        self.pid = pid


def _torch(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """Modules with the names that torch's pickles name; PyTorch itself is not here."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")

    def _rebuild_tensor_v2(*parts: Any) -> None:
        raise AssertionError("only its name is pickled")

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    for name in ("FloatStorage", "LongStorage", "HalfStorage"):
        setattr(torch, name, type(name, (), {"__module__": "torch"}))
    torch._utils = utils
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)
    return torch


def _pickler(torch: types.ModuleType, file: Any, legacy: bool) -> pickle.Pickler:
    kinds = {"f": torch.FloatStorage, "i": torch.LongStorage, "e": torch.HalfStorage}

    class Writer(pickle.Pickler):
        def persistent_id(self, obj: Any) -> Any:
            return obj.pid if isinstance(obj, _StorageReference) else None

        def reducer_override(self, obj: Any) -> Any:
            if not isinstance(obj, _Tensor):
                return NotImplemented
            array = obj.array
            kind = kinds["e" if array.dtype == np.float16 else array.dtype.kind]
            pid = ("storage", kind, obj.key, "cpu", array.size) + ((None,) if legacy else ())
            strides = tuple(s // array.itemsize for s in np.ascontiguousarray(array).reshape(array.shape).strides)
            arguments = (_StorageReference(pid), 0, array.shape, strides, False, OrderedDict())
            return torch._utils._rebuild_tensor_v2, arguments

    return Writer(file, protocol=2)


def write_torch(path: Path, arrays: Mapping[str, np.ndarray], monkeypatch: pytest.MonkeyPatch, legacy: bool = False) -> Path:  # fmt: skip
    """What ``torch.save(state_dict, path)`` writes, in its zip archive or as before 1.6."""
    torch = _torch(monkeypatch)
    state: OrderedDict[str, _Tensor] = OrderedDict((n, _Tensor(a, str(i))) for i, (n, a) in enumerate(arrays.items()))
    state._metadata = OrderedDict({"": {"version": 1}})  # type: ignore[attr-defined]
    if legacy:
        with open(path, "wb") as file:
            for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True, "protocol_version": 1001}):
                pickle.dump(part, file, protocol=2)
            _pickler(torch, file, legacy).dump(state)
            pickle.dump([tensor.key for tensor in state.values()], file, protocol=2)
            for tensor in state.values():
                file.write(struct.pack("<q", tensor.array.size) + np.ascontiguousarray(tensor.array).tobytes())
        return path
    buffer = io.BytesIO()
    _pickler(torch, buffer, legacy).dump(state)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", buffer.getvalue())
        archive.writestr("archive/byteorder", "little")
        for tensor in state.values():
            archive.writestr(f"archive/data/{tensor.key}", np.ascontiguousarray(tensor.array).tobytes())
        archive.writestr("archive/version", "3\n")
    return path


def write_safetensors(path: Path, arrays: Mapping[str, np.ndarray]) -> Path:
    header, content = {"__metadata__": {"format": "pt"}}, bytearray()
    for name, array in arrays.items():
        begin = len(content)
        content += np.ascontiguousarray(array).tobytes()
        kind = {"float32": "F32", "float64": "F64", "int64": "I64", "float16": "F16"}[str(array.dtype)]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [begin, len(content)]}  # type: ignore[dict-item]
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content)
    return path
