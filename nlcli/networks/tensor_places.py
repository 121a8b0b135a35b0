"""Where the tensors of a ``.safetensors`` file lie: a table of names and places before the numbers.

Read without a library: what is wrong with it is a ``ValueError``, as of anything that parses.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

BFLOAT16 = "BF16"
"""The kind that NumPy does not have."""
_KINDS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "<i1"}
_KINDS |= {"U8": "<u1", "BOOL": "?"}
_MOST_HEADER = 100 << 20


@dataclass(frozen=True)
class TensorPlace:
    """One tensor: its kind as the file calls it, its shape, and where in the file its numbers begin."""

    kind: str
    shape: tuple[int, ...]
    begin: int

    @property
    def dtype(self) -> str:
        """As NumPy calls it, of what is stored."""
        return "<u2" if self.kind == BFLOAT16 else _KINDS[self.kind]

    @property
    def item_bytes(self) -> int:
        """Of a number."""
        return np.dtype(self.dtype).itemsize

    @property
    def bytes(self) -> int:
        """Of all of them."""
        return math.prod(self.shape) * self.item_bytes


def places_of(path: Path) -> dict[str, TensorPlace]:
    """The tensors of a file by name; each lies whole in the file.

    Raises:
        ValueError: the file is no such file, or is cut short.
    """
    length = path.stat().st_size
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if length < 8 or size > min(_MOST_HEADER, length - 8):
            raise ValueError("its header is longer than the file")
        header = json.loads(file.read(size))
    places = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        kind, shape = entry["dtype"], tuple(int(side) for side in entry["shape"])
        if kind != BFLOAT16 and kind not in _KINDS:
            raise ValueError(f"numbers of the kind {kind}")
        place = TensorPlace(kind, shape, 8 + size + begin)
        if begin < 0 or min(shape, default=0) < 0 or end - begin != place.bytes:
            raise ValueError(f"tensor {name} does not have the size that its shape says")
        if 8 + size + end > length:
            raise ValueError(f"tensor {name} ends behind the end of the file, which is cut short")
        places[name] = place
    return places


def numbers_of(raw: bytes, kind: str) -> np.ndarray:
    """The numbers of ``raw``, in one dimension; bfloat16 as float32."""
    if kind == BFLOAT16:
        return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(raw, _KINDS[kind])
