"""Tensors that PyTorch saved, without PyTorch and without running what a pickle says.

``.safetensors`` is a table of names and places, and numbers. ``.pth`` and ``.pt`` are a pickle, in a zip archive with
the numbers beside it (``torch.save`` since 1.6) or with the numbers behind it (before). A pickle may name any function
of any installed package and call it. This reader knows what tensors are made of: three functions of its own, and the
names of storages; a file that names anything else is refused before it can do anything.
"""

from __future__ import annotations

import io
import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nlcli.errors import NlcliError, printable, shortened
from nlcli.networks.tensor_places import numbers_of, places_of

Tensors = dict[str, np.ndarray]

_MAGIC = 0x1950A86A20F9469CFC6C
_DTYPES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "?",
}
_MOST_PICKLE = 256 << 20


def read_tensors(path: Path) -> Tensors:
    """Tensors by name of a ``.safetensors`` file, or of a file by ``torch.save`` that holds a state dictionary.

    A dictionary that keeps it under ``state_dict`` or ``model``, and names that all begin with ``module.``, are seen
    through.

    Raises:
        NlcliError: not such a file, cut short, or with anything in it that is not a tensor or a plain value.
    """
    try:
        if path.suffix == ".safetensors":
            return _safetensors(path)
        return _state(_zipped(path) if zipfile.is_zipfile(path) else _plain(path))
    except _Refused as error:
        raise NlcliError(
            f"{path} holds more than tensors ({error}), which could run code; save the network's state_dict alone, or "
            "as .safetensors"
        ) from error
    except NlcliError:
        raise
    except Exception as error:  # a damaged pickle or archive raises nearly anything
        raise NlcliError(
            f"{path} is not a file of tensors, or is damaged ({shortened(error)}); get it again"
        ) from error


# --- .safetensors ----------------------------------------------------------------------------


def _safetensors(path: Path) -> Tensors:
    tensors: Tensors = {}
    with open(path, "rb") as file:
        for name, place in places_of(path).items():
            file.seek(place.begin)
            tensors[name] = numbers_of(file.read(place.bytes), place.kind).reshape(place.shape)
    return tensors


# --- torch.save ------------------------------------------------------------------------------


class _Refused(Exception):
    """What the pickle asked for."""


@dataclass(frozen=True)
class _Storage:
    """Numbers that are read when a tensor asks for them: older files have them at their end."""

    read: Callable[[], np.ndarray]


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self) -> np.ndarray:
        numbers = self.storage.read()
        last = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))
        if min(self.shape, default=1) < 0 or min((self.offset, *self.strides)) < 0:
            raise ValueError("a tensor with negative sizes")
        count = math.prod([*self.shape])
        if count > len(numbers) or (count and last >= len(numbers)):
            raise ValueError("a tensor that lies outside its storage")
        if not count:
            return np.zeros(self.shape, numbers.dtype)
        strides = tuple(s * numbers.itemsize for s in self.strides)
        view = np.lib.stride_tricks.as_strided(numbers[self.offset :], self.shape, strides)
        return np.array(view)


def _rebuild_tensor(storage: _Storage, offset: int, size: Any, stride: Any, *rest: Any) -> _Tensor:
    return _Tensor(storage, int(offset), tuple(int(n) for n in size), tuple(int(n) for n in stride))


def _rebuild_parameter(tensor: _Tensor, *rest: Any) -> _Tensor:
    return tensor


class _Kind:
    """A kind of storage, such as ``torch.FloatStorage``; nothing but its name."""

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype


class _Unpickler(pickle.Unpickler):
    """Knows tensors, storages and ordered dictionaries; every other name ends the reading."""

    def __init__(self, file: Any, load: Callable[[tuple[Any, ...]], _Storage]) -> None:
        super().__init__(file, encoding="latin-1")
        self._load = load

    def find_class(self, module: str, name: str) -> Any:
        known: Mapping[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
            ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
        }
        if (module, name) in known:
            return known[module, name]
        if module == "torch" and name in _DTYPES:
            return _Kind(_DTYPES[name])
        if module == "torch" and name == "BFloat16Storage":
            return _Kind("bfloat16")
        raise _Refused(f"it asks for {printable(f'{module}.{name}')}")

    def persistent_load(self, pid: Any) -> _Storage:
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage" or not isinstance(pid[1], _Kind):
            raise _Refused("it asks for something that is not a storage")
        return self._load(pid)


def _numbers(raw: bytes, dtype: str, count: int) -> np.ndarray:
    if dtype == "bfloat16":
        numbers: np.ndarray = (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
    else:
        numbers = np.frombuffer(raw, dtype)
    if len(numbers) != count:
        raise ValueError(f"a storage of {count:,} numbers has {len(numbers):,}")
    return numbers


def _zipped(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        (record,) = [name for name in archive.namelist() if name.endswith("/data.pkl") or name == "data.pkl"]
        if archive.getinfo(record).file_size > _MOST_PICKLE:
            raise ValueError("its pickle is larger than 256 MiB")
        folder = record[: -len("data.pkl")]
        order = f"{folder}byteorder"
        if order in archive.namelist() and archive.read(order) != b"little":
            raise ValueError("its numbers are big-endian")
        kept: dict[str, np.ndarray] = {}

        def load(pid: tuple[Any, ...]) -> _Storage:
            _, kind, key, _, count = pid[:5]

            def read() -> np.ndarray:
                if str(key) not in kept:
                    kept[str(key)] = _numbers(archive.read(f"{folder}data/{key}"), kind.dtype, int(count))
                return kept[str(key)]

            return _Storage(read)

        content = _Unpickler(io.BytesIO(archive.read(record)), load).load()
        return _arrays(content)


def _plain(path: Path) -> Any:
    kinds: dict[str, tuple[str, int]] = {}
    numbers: dict[str, np.ndarray] = {}

    def load(pid: tuple[Any, ...]) -> _Storage:
        _, kind, key, _, count = pid[:5]
        if len(pid) > 5 and pid[5] is not None:
            raise _Refused("it asks for a view of a storage")
        kinds[str(key)] = (kind.dtype, int(count))
        return _Storage(lambda: numbers[str(key)])

    with open(path, "rb") as file:

        def part() -> Any:
            return _Unpickler(file, load).load()

        if part() != _MAGIC:
            raise ValueError("it does not begin as torch.save begins files")
        part(), part()  # version of the protocol, and of the machine
        content = part()
        for key in part():
            dtype, count = kinds[str(key)]
            size_bytes = file.read(8)
            if len(size_bytes) < 8 or int.from_bytes(size_bytes, "little") != count:
                raise ValueError("the sizes of a storage do not agree")
            size = 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize
            numbers[str(key)] = _numbers(file.read(count * size), dtype, count)
    return _arrays(content)


def _arrays(content: Any) -> Any:
    """The same dictionaries with arrays for tensors."""
    if isinstance(content, _Tensor):
        return content.array()
    if isinstance(content, dict):
        return {key: _arrays(value) for key, value in content.items()}
    return content


def _state(content: Any) -> Tensors:
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict):
        raise ValueError("it holds no dictionary of tensors")
    tensors = {str(name): value for name, value in content.items() if isinstance(value, np.ndarray)}
    if not tensors:
        raise ValueError("it holds no tensor")
    if all(name.startswith("module.") for name in tensors):
        tensors = {name[len("module.") :]: value for name, value in tensors.items()}
    return tensors
