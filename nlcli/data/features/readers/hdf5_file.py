"""Vectors in an HDF5 file: what lies in the file itself, packed by filters that the library itself has.

Links, data in other files and filters that are plugins are refused: each makes reading one file do something else.
So is damage over which the library would not end.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py

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
from nlcli.stages.hdf5_trial import require_readable

if TYPE_CHECKING:
    import pyarrow as pa

_FILTERS = frozenset(
    {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, h5py.h5z.FILTER_LZF}
)
_MOST_BYTES = 256 << 20  # of the rows that a chunk has a part in: they are unpacked together
_MOST_ARRAYS = 10_000


class Hdf5File(VectorReader):
    """A data set of two dimensions and, if it is there, one of keys beside it."""

    def __init__(self, path: Path, column: str | None) -> None:
        self.path = path
        require_readable(path)
        with self._opened() as file:
            arrays, elsewhere = _arrays(path, file)
            tables = [name for name, array in arrays.items() if array.ndim == 2 and array.dtype.kind == "f"]
            if (column in elsewhere) if column is not None else (not tables and elsewhere):
                behind = elsewhere[0] if column is None else column
                raise NlcliError(
                    f"{path} keeps '{printable(behind)}' behind a link, which is refused; copy the numbers into it"
                )
            self._name = choose_array(path, list(arrays), column, tables)
            array = arrays[self._name]
            require_matrix(path, self._name, str(array.dtype), array.dtype, array.shape)
            _require_inside(path, self._name, array)
            self.rows, self.width = array.shape
            self._step = block_rows(self.width, array.dtype.itemsize)
            if array.chunks is not None:
                tall = array.chunks[0]
                if tall * self.width * array.dtype.itemsize > _MOST_BYTES:
                    raise NlcliError(
                        f"{path}: '{printable(self._name)}' is stored in chunks of {tall:,} rows, each of which is "
                        "read as one; save it with chunks of fewer rows"
                    )
                self._step = -(-self._step // tall) * tall
            folder = self._name.rpartition("/")[0]
            beside = [f"{folder}/{name}".lstrip("/") for name in KEY_ARRAYS]
            named = (name for name in (*beside, *KEY_ARRAYS) if name in arrays and _is_text(arrays[name]))
            self._keys = next(named, None)
            self.names_rows = self._keys is not None
            if self._keys is not None:
                _require_inside(path, self._keys, arrays[self._keys])
                if arrays[self._keys].shape != (self.rows,):
                    raise NlcliError(
                        f"{path}: '{printable(self._keys)}' has the shape {arrays[self._keys].shape}; expected a key "
                        f"for each of the {self.rows:,} rows of '{printable(self._name)}'"
                    )

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        try:
            with h5py.File(self.path, "r") as file:
                yield file
        except NlcliError:
            raise
        except Exception as error:  # damaged files raise nearly anything
            raise NlcliError(f"cannot read {self.path} as HDF5 ({shortened(error)}); save it again") from error

    def blocks(self, first: int = 0) -> Iterator[Block]:
        """Whole chunks at a time, where there are chunks."""
        with self._opened() as file:
            array = file[self._name]
            row = first
            while row < self.rows:
                stop = min(row - row % self._step + self._step, self.rows)
                yield Block(array[row:stop])
                row = stop

    def keys(self) -> pa.Array:
        """The array of keys beside the vectors, or at the top of the file."""
        import pyarrow as pa

        with self._opened() as file:
            texts = file[self._keys].asstr()
            parts = [
                pa.array(texts[first : first + KEYS_AT_A_TIME].tolist(), pa.string())
                for first in range(0, self.rows, KEYS_AT_A_TIME)
            ]
        return pa.chunked_array(parts, pa.string()).combine_chunks()


def _is_text(array: Any) -> bool:
    return h5py.check_string_dtype(array.dtype) is not None


def _arrays(path: Path, file: Any) -> tuple[dict[str, Any], list[str]]:
    """The data sets in the file by name, and the names of links, which are not followed."""
    arrays: dict[str, Any] = {}
    elsewhere: list[str] = []
    seen = set()

    def walk(group: Any, prefix: str) -> None:
        for name in group:
            whole = f"{prefix}{name}"
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                elsewhere.append(whole)
                continue
            item = group[name]
            if isinstance(item, h5py.Dataset):
                arrays[whole] = item
            elif isinstance(item, h5py.Group):
                address = h5py.h5o.get_info(item.id).addr
                if address not in seen:  # a group may hold itself
                    seen.add(address)
                    walk(item, f"{whole}/")
            if len(arrays) + len(seen) + len(elsewhere) > _MOST_ARRAYS:
                raise NlcliError(f"{path} holds more than {_MOST_ARRAYS:,} arrays; save the vectors alone")

    walk(file, "")
    return arrays, elsewhere


def _require_inside(path: Path, name: str, array: Any) -> None:
    if array.external or array.is_virtual:
        raise NlcliError(
            f"{path} keeps '{printable(name)}' in another file, which is refused; copy the numbers into the file"
        )
    plan = array.id.get_create_plist()
    numbers = [plan.get_filter(i)[0] for i in range(plan.get_nfilters())]
    unknown = [number for number in numbers if number not in _FILTERS]
    if unknown:
        raise NlcliError(
            f"{path}: '{printable(name)}' is packed by filter {unknown[0]}, which is a plugin and refused; save it "
            "with gzip, lzf or unpacked"
        )
