"""Blobs of a network that Caffe trained, without Caffe: from its ``.caffemodel`` or from an ``.npz``.

A ``.caffemodel`` is a protocol buffer. Of ``caffe.proto`` this reads::

    NetParameter      layers = 2 (V1LayerParameter, until 2014), layer = 100 (LayerParameter)
    V1LayerParameter  name = 4, blobs = 6
    LayerParameter    name = 1, blobs = 7
    BlobProto         num, channels, height, width = 1 to 4, data = 5, shape = 7 (BlobShape: dim = 1)

An ``.npz`` holds two arrays a layer, called after it, in Caffe's layout: ``conv1/0`` and ``conv1/1``; instead of
0 and 1 also ``w``, ``weight``, ``weights``, ``kernel`` and ``b``, ``bias``, ``biases``, after ``/``, ``_``, ``.``
or ``:``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nlcli.errors import NlcliError, shortened
from nlcli.stages.files import read_arrays

Blobs = dict[str, list[np.ndarray]]
"""By layer its arrays, float32: kernel (out, in of a group, height, width) or (out, in), then bias (out,)."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_KEY = re.compile(
    r"(?P<layer>.+?)[/_.:](?P<part>0|1|w|weights?|kernel|b|bias(?:es)?)(?:[:/]0)?", re.IGNORECASE | re.ASCII
)


def read_caffe(path: Path) -> Blobs:
    """Blobs by layer of a ``.caffemodel`` or ``.npz`` file.

    Raises:
        NlcliError: the file is not what its name says, is cut short, or holds no layer with weights.
    """
    blobs = _from_npz(path) if path.suffix == ".npz" else _from_caffemodel(path)
    if not blobs:
        raise NlcliError(f"{path} holds no layer with weights; give the trained network, not its description")
    return blobs


# --- .npz ------------------------------------------------------------------------------------


def _from_npz(path: Path) -> Blobs:
    parts: dict[str, dict[int, np.ndarray]] = {}
    remedy = "save plain arrays with numpy.savez"
    for key, values in read_arrays(path, remedy).items():
        match = _KEY.fullmatch(key)
        if match is None:
            raise NlcliError(f"{path}: array '{key}' is not named LAYER/0 (weights) or LAYER/1 (bias); rename it")
        if values.dtype.kind not in "fiu":
            raise NlcliError(f"{path}: array '{key}' does not hold numbers; {remedy}")
        which = 0 if match["part"].lower()[0] in "0wk" else 1
        parts.setdefault(match["layer"], {})[which] = np.asarray(values, np.float32)
    return {layer: [of[i] for i in sorted(of)] for layer, of in parts.items()}


# --- .caffemodel -----------------------------------------------------------------------------


def _from_caffemodel(path: Path) -> Blobs:
    try:
        content = memoryview(mapped(path)) if path.stat().st_size else memoryview(b"")
    except OSError as error:
        raise NlcliError(f"cannot read {path}: {shortened(error)}") from error
    blobs: Blobs = {}
    try:
        for field, value in _fields(content):
            if field in (2, 100) and isinstance(value, memoryview):
                name_field, blobs_field = (4, 6) if field == 2 else (1, 7)
                name, arrays = "", []
                for inner, part in _fields(value):
                    if inner == name_field and isinstance(part, memoryview):
                        name = bytes(part).decode("utf-8")
                    elif inner == blobs_field and isinstance(part, memoryview):
                        arrays.append(_blob(part))
                if arrays:
                    blobs[name] = arrays
    except (ValueError, UnicodeDecodeError) as error:
        raise NlcliError(f"{path} is not a .caffemodel file, or is cut short ({error}); get it again") from error
    return blobs


def mapped(path: Path) -> Any:
    """The bytes of a file, read as they are looked at."""
    return np.memmap(path, np.uint8, "r")


def _blob(message: memoryview) -> np.ndarray:
    """One ``BlobProto``."""
    legacy = [1, 1, 1, 1]
    shape: list[int] | None = None
    pieces: list[np.ndarray] = []
    for field, value in _fields(message):
        if field in (1, 2, 3, 4) and isinstance(value, int):
            legacy[field - 1] = value
        elif field == 5:  # packed, or one number at a time
            pieces.append(np.frombuffer(value, "<f4") if isinstance(value, memoryview) else np.array([value], "<f4"))
        elif field == 8 and isinstance(value, memoryview):
            pieces.append(np.frombuffer(value, "<f8").astype("<f4"))
        elif field == 7 and isinstance(value, memoryview):
            shape = list(_dimensions(value))
    data = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
    if shape is None:  # before 2014 every blob had four dimensions, the first of them 1 where they were not used
        shape = legacy[next((i for i, size in enumerate(legacy) if size != 1), 3) :]
    if math.prod(shape) != len(data):
        raise ValueError(f"a blob of shape {tuple(shape)} has {len(data):,} numbers")
    return np.asarray(data, np.float32).reshape(shape)


def _dimensions(message: memoryview) -> Iterator[int]:
    """The ``dim`` of a ``BlobShape``, packed or one at a time."""
    for field, value in _fields(message):
        if field != 1:
            continue
        if isinstance(value, int):
            yield value
        elif isinstance(value, memoryview):
            position = 0
            while position < len(value):
                size, position = _varint(value, position)
                yield size


def _fields(message: memoryview) -> Iterator[tuple[int, int | float | memoryview]]:
    """(number, value) of the fields of a message: integers, numbers, and bytes that may be a message themselves."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        field, kind = key >> 3, key & 7
        if kind == _VARINT:
            value: int | float | memoryview
            value, position = _varint(message, position)
        elif kind in (_FIXED32, _FIXED64):
            size = 4 if kind == _FIXED32 else 8
            raw = message[position : position + size]
            if len(raw) < size:
                raise ValueError("it ends inside a number")
            value, position = float(np.frombuffer(raw, f"<f{size}")[0]), position + size
        elif kind == _BYTES:
            size, position = _varint(message, position)
            if size > len(message) - position:
                raise ValueError(f"a field of {size:,} bytes where {len(message) - position:,} are left")
            value, position = message[position : position + size], position + size
        else:
            raise ValueError(f"wire type {kind}")
        yield field, value


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        if position >= len(message) or shift > 63:
            raise ValueError("a number has no end")
        byte = message[position]
        result |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return result, position
