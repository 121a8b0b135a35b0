"""Vectors in a ``.npz`` file: arrays in a zip archive, unpacked a piece at a time. Nothing is unpickled."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from nlcli.data.features.readers.base import (
    KEY_ARRAYS,
    KEYS_AT_A_TIME,
    Block,
    VectorReader,
    block_rows,
    choose_array,
    require_matrix,
)
from nlcli.errors import NlcliError, printable, shortened

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class _Array:
    shape: tuple[int, ...]
    dtype: np.dtype
    by_columns: bool
    begin: int


class NumpyArchive(VectorReader):
    """Arrays that ``numpy.savez`` or ``savez_compressed`` wrote: one of vectors and, if it is there, one of keys."""

    def __init__(self, path: Path, column: str | None) -> None:
        self.path = path
        with self._opened() as archive:
            members = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
            arrays = {}
            for name in members:
                with archive.open(f"{name}.npy") as file:
                    arrays[name] = _header(file)
        tables = [name for name, array in arrays.items() if len(array.shape) == 2 and array.dtype.kind == "f"]
        self._name = choose_array(path, members, column, tables)
        array = self._array = arrays[self._name]
        require_matrix(path, self._name, str(array.dtype), array.dtype, array.shape)
        if array.by_columns:
            raise NlcliError(
                f"{path}: '{printable(self._name)}' is stored column by column; save numpy.ascontiguousarray of it"
            )
        self.rows, self.width = array.shape
        self._keys = next((name for name in KEY_ARRAYS if name in arrays and arrays[name].dtype.kind in "US"), None)
        self.names_rows = self._keys is not None
        self.no_text = next((name for name in KEY_ARRAYS if name in arrays and name != self._keys), None)
        if self._keys is not None and arrays[self._keys].shape != (self.rows,):
            raise NlcliError(
                f"{path}: '{self._keys}' has the shape {arrays[self._keys].shape}; expected a key for each of the "
                f"{self.rows:,} rows of '{printable(self._name)}'"
            )

    @contextmanager
    def _opened(self) -> Iterator[zipfile.ZipFile]:
        try:
            with zipfile.ZipFile(self.path) as archive:
                yield archive
        except NlcliError:
            raise
        except Exception as error:  # a damaged archive raises nearly anything
            raise NlcliError(f"cannot read {self.path} ({shortened(error)}); save it again by numpy.savez") from error

    def blocks(self, first: int = 0) -> Iterator[Block]:
        """Unpacked from the front: what is left out is unpacked all the same."""
        step = block_rows(self.width, self._array.dtype.itemsize)
        for part in self._parts(self._name, first, step):
            yield Block(part.reshape(-1, self.width))

    def keys(self) -> pa.Array:
        """Those of the archive."""
        import pyarrow as pa

        assert self._keys is not None
        parts = []
        for part in self._parts(self._keys, 0, KEYS_AT_A_TIME):
            texts = part.tolist()
            try:
                parts.append(pa.array([t.decode() if isinstance(t, bytes) else t for t in texts], pa.string()))
            except UnicodeError as error:
                raise NlcliError(f"{self.path}: '{self._keys}' holds bytes that are not UTF-8 text") from error
        return pa.chunked_array(parts, pa.string()).combine_chunks()

    def _parts(self, name: str, first: int, step: int) -> Iterator[np.ndarray]:
        with self._opened() as archive, archive.open(f"{name}.npy") as file:
            array = _header(file)
            width = array.shape[1] if len(array.shape) == 2 else 1
            file.seek(array.begin + first * width * array.dtype.itemsize)
            for row in range(first, array.shape[0], step):
                wanted = min(step, array.shape[0] - row) * width * array.dtype.itemsize
                content = file.read(wanted)
                if len(content) < wanted:
                    raise NlcliError(f"{self.path}: '{printable(name)}' is cut short; save it again by numpy.savez")
                yield np.frombuffer(content, array.dtype)


def _header(file: IO[bytes]) -> _Array:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, by_columns, dtype = read(file)
    if dtype.hasobject:
        dtype = np.dtype("V1")  # pickled: neither vectors nor keys
    return _Array(tuple(shape), dtype, bool(by_columns) and len(shape) > 1, file.tell())
