"""Between NumPy and Arrow without pandas, which pyarrow's own conversions import: a quarter of a second a process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

_MOST_BYTES = 2**31 - 1  # that a text's 32-bit offsets can tell


def arrow_numbers(values: np.ndarray, absent: np.ndarray | None = None) -> pa.Array:
    """An array of the type of ``values`` (n,), integers, floats or bool; their memory is shared where it can be.

    Args:
        absent: (n,) bool, which cells are empty; None: none.
    """
    import pyarrow as pa

    def bits(flags: np.ndarray) -> pa.Buffer:
        return pa.py_buffer(np.packbits(flags, bitorder="little"))

    there = bits(~absent) if absent is not None and absent.any() else None
    held = bits(values) if values.dtype == bool else pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [there, held])


def arrow_texts(values: Sequence[str]) -> pa.Array:
    """A string array.

    Raises:
        UnicodeEncodeError: one is no text.
    """
    import pyarrow as pa

    encoded = [value.encode() for value in values]
    offsets = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(value) for value in encoded], out=offsets[1:])
    if offsets[-1] > _MOST_BYTES:
        return pa.array(list(values), pa.string())
    buffers = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(encoded), buffers)


def arrow_names(names: Sequence[str], codes: np.ndarray) -> pa.Array:
    """A string array of ``names[code]`` for each of ``codes`` (n,), integers; empty where one is below 0."""
    import pyarrow as pa

    held = arrow_numbers(codes.astype(np.int32), codes < 0)
    return pa.DictionaryArray.from_arrays(held, arrow_texts(names)).cast(pa.string())


def arrow_lists(offsets: np.ndarray, values: np.ndarray, absent: np.ndarray | None = None) -> pa.Array:
    """(n,) lists of ``values`` from ``offsets`` (n + 1,); None where ``absent`` (n,) bool is true."""
    import pyarrow as pa

    mask = None if absent is None else arrow_numbers(absent)
    return pa.ListArray.from_arrays(arrow_numbers(offsets.astype(np.int32)), arrow_numbers(values), mask=mask)


def rows_of(keys: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """(n,) int64 places of the texts ``asked`` (n,) among ``keys``, -1 of those that are not there."""
    place = {key: row for row, key in enumerate(keys.tolist())}
    return np.fromiter((place.get(key, -1) for key in asked.tolist()), np.int64, len(asked))


def numpy_numbers(column: Any, empty: float | None = None) -> np.ndarray:
    """(n,) what an array or a chunked one holds, numbers; not to be written to.

    Args:
        empty: What stands for an empty cell; None: there are none.
    """
    parts = [_numpy_part(chunk, empty) for chunk in getattr(column, "chunks", [column])]
    return parts[0] if len(parts) == 1 else np.concatenate([*parts, np.empty(0, column.type.to_pandas_dtype())])


def _numpy_part(chunk: Any, empty: float | None) -> np.ndarray:
    import pyarrow as pa

    if empty is None or not chunk.null_count:
        return np.asarray(np.from_dlpack(chunk))
    there, held = chunk.buffers()
    full = pa.Array.from_buffers(chunk.type, len(chunk), [None, held], offset=chunk.offset)
    bits = np.unpackbits(np.frombuffer(there, np.uint8), bitorder="little")[chunk.offset : chunk.offset + len(chunk)]
    values = np.array(np.from_dlpack(full))
    values[bits == 0] = empty
    return values


def numpy_texts(column: Any) -> np.ndarray:
    """(n,) object: the texts of an array or a chunked one, None in its empty cells."""
    texts = np.empty(len(column), object)
    texts[:] = column.to_pylist()
    return texts
