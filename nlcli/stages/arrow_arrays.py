"""Between NumPy and Arrow without pandas, which pyarrow's own conversions import: a quarter of a second a process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

_MOST_BYTES = 2**31 - 1  # that a text's 32-bit offsets can tell


def arrow_numbers(values: np.ndarray) -> pa.Array:
    """An array of the type of ``values`` (n,), integers, floats or bool; their memory is shared where it can be."""
    import pyarrow as pa

    if values.dtype == bool:
        packed = np.packbits(values, bitorder="little")
        return pa.Array.from_buffers(pa.bool_(), len(values), [None, pa.py_buffer(packed)])
    kind = pa.from_numpy_dtype(values.dtype)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(np.ascontiguousarray(values))])


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


def arrow_lists(offsets: np.ndarray, values: np.ndarray, absent: np.ndarray | None = None) -> pa.Array:
    """(n,) lists of ``values`` from ``offsets`` (n + 1,); None where ``absent`` (n,) bool is true."""
    import pyarrow as pa

    mask = None if absent is None else arrow_numbers(absent)
    return pa.ListArray.from_arrays(arrow_numbers(offsets.astype(np.int32)), arrow_numbers(values), mask=mask)


def numpy_numbers(column: Any) -> np.ndarray:
    """(n,) what an array or a chunked one without empty cells holds, numbers; not to be written to."""
    chunks = getattr(column, "chunks", None)
    if chunks is None:
        return np.asarray(np.from_dlpack(column))
    parts = [np.asarray(np.from_dlpack(chunk)) for chunk in chunks]
    return parts[0] if len(parts) == 1 else np.concatenate([*parts, np.empty(0, column.type.to_pandas_dtype())])


def numpy_texts(column: Any) -> np.ndarray:
    """(n,) object: the texts of an array or a chunked one, None in its empty cells."""
    texts = np.empty(len(column), object)
    texts[:] = column.to_pylist()
    return texts
