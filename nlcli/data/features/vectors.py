"""Vectors that other programs computed: a NumPy array with a list of keys, or a Parquet file with both.

Nothing is unpickled. An array is mapped, so that what is read is what is asked for; the vectors of Parquet are
written out once, in the stage's own directory, to be mapped as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlcli.console import progress
from nlcli.data.lists import read_lines, shown
from nlcli.data.table_columns import read_columns
from nlcli.errors import NlcliError, shortened
from nlcli.stages.files import TEMPORARY

if TYPE_CHECKING:
    import pyarrow as pa

_KEYS = ("key", "path", "file_name")
_TABLES = (".csv", ".tsv", ".parquet", ".pq", ".jsonl")
_WRITTEN_OUT = f".vectors{TEMPORARY}"


@dataclass(frozen=True)
class Vectors:
    """Vectors and what they are of.

    Attributes:
        values: (n, D) of a floating type, mapped.
        keys: (n,) Arrow strings, as they are written.
    """

    values: np.ndarray
    keys: pa.Array

    @property
    def width(self) -> int:
        """D."""
        return int(self.values.shape[1])


def open_vectors(source: Path, keys: Path | None, column: str | None, work: Path) -> Vectors:
    """The vectors in ``source``.

    Args:
        source: ``.npy`` or ``.parquet``.
        keys: Of an array: the keys of its rows, in their order.
        column: Of Parquet: the column of the vectors.
        work: Directory where vectors may be written out.

    Raises:
        NlcliError: with the file, and the row where there is one, for whatever does not fit.
    """
    kind = source.suffix.lower()
    if kind == ".npy":
        if column is not None:
            raise NlcliError(f"{source} is an array and has no columns; leave out --column")
        if keys is None:
            raise NlcliError(
                f"nothing says which images the rows of {source} are of; pass --keys with their keys or paths, one a "
                "line"
            )
        values = _mapped(source)
        names = read_keys_of_rows(keys)
        if len(names) != len(values):
            raise NlcliError(
                f"{keys} has {len(names):,} keys and {source} has {len(values):,} rows; there must be as many, in the "
                "same order"
            )
        return Vectors(values, names)
    if kind in (".parquet", ".pq"):
        if keys is not None:
            raise NlcliError(f"{source} has a column of keys itself; leave out --keys")
        return _from_parquet(source, column, work)
    raise NlcliError(f"{source} is neither .npy nor .parquet; save the vectors as one of the two")


def _mapped(path: Path) -> np.ndarray:
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a damaged header raises nearly anything
        raise NlcliError(f"cannot read {path} ({shortened(error)}); save it again by numpy.save") from error
    if not isinstance(values, np.ndarray):
        raise NlcliError(f"{path} is an archive of arrays; expected one array, saved by numpy.save")
    if values.ndim != 2 or values.dtype.kind != "f" or not values.size:
        raise NlcliError(
            f"{path} holds {shown(str(values.dtype))} of shape {values.shape}; expected numbers with a fraction in two "
            "dimensions, a row an image"
        )
    return values.view(np.ndarray)


def read_keys_of_rows(path: Path) -> pa.Array:
    """Keys of rows in their order: a line each, an array of texts, or a table with the column ``key`` or ``path``."""
    import pyarrow as pa

    kind = path.suffix.lower()
    if kind in _TABLES:
        columns = read_columns(path, _KEYS, (), pass_over=True)
        named = [name for name in _KEYS if name in columns.texts]
        if not named:
            raise NlcliError(f"{path} has none of the columns {', '.join(_KEYS)}")
        texts = columns.texts[named[0]]
        return texts.values.take(pa.array(texts.codes))
    if kind == ".npy":
        try:
            names = np.load(path, allow_pickle=False)
        except Exception as error:
            raise NlcliError(f"cannot read {path} ({shortened(error)}); save it again by numpy.save") from error
        if not isinstance(names, np.ndarray) or names.ndim != 1 or names.dtype.kind != "U":
            raise NlcliError(f"{path} is not an array of texts in one dimension; save the keys as text, one a line")
        return pa.array(names.tolist(), pa.string())
    return pa.array([line.strip() for _, line in read_lines(path)], pa.string())


# --- Parquet ---------------------------------------------------------------------------------


def _from_parquet(path: Path, column: str | None, work: Path) -> Vectors:
    import pyarrow as pa
    import pyarrow.parquet as pq

    target = work / _WRITTEN_OUT
    try:
        with pq.ParquetFile(path) as file:
            key, names = _columns(path, file.schema_arrow, column)
            rows = file.metadata.num_rows
            keys: list[pa.Array] = []
            values: np.ndarray | None = None
            filled = 0
            with progress(rows, f"reading {path.name}", unit="rows") as bar:
                for batch in file.iter_batches(1 << 14, columns=[key, *names]):
                    part, there = _matrix(path, batch, names, filled)
                    if values is None and len(part):
                        shape = (rows, part.shape[1])
                        values = np.lib.format.open_memmap(target, mode="w+", dtype=part.dtype, shape=shape)
                    if values is not None and len(part):
                        if part.shape[1] != values.shape[1]:
                            raise NlcliError(f"{path}: vectors of {part.shape[1]} and of {values.shape[1]} numbers")
                        values[filled : filled + len(part)] = part
                    keys.append(batch.column(key).filter(there).cast(pa.string()))
                    filled += len(part)
                    bar.advance(len(batch))
    except (OSError, pa.ArrowException, UnicodeError, ValueError) as error:
        raise NlcliError(f"cannot read {path}: {shortened(error)}") from error
    if values is None:
        raise NlcliError(f"{path} has no vectors")
    return Vectors(values[:filled], pa.chunked_array(keys, pa.string()).combine_chunks())


def remove_written_out(work: Path) -> None:
    """Remove what ``open_vectors`` wrote into ``work``."""
    (work / _WRITTEN_OUT).unlink(missing_ok=True)


def _columns(path: Path, schema: pa.Schema, column: str | None) -> tuple[str, list[str]]:
    """The column of keys, and those of the vectors."""
    import pyarrow as pa

    key = next((name for name in _KEYS if name in schema.names), None)
    if key is None:
        raise NlcliError(f"{path} has no column {', '.join(_KEYS[:-1])} or {_KEYS[-1]} that names the images")
    if schema.names.count(key) > 1:
        raise NlcliError(f"{path}: the column '{key}' is there twice; keep one")

    def holds_lists(name: str) -> bool:
        kind = schema.field(name).type
        inner = getattr(kind, "value_type", None)
        listed = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
        return bool(listed and pa.types.is_floating(inner))

    unique = [name for name in schema.names if schema.names.count(name) == 1 and name != key]
    lists = [name for name in unique if holds_lists(name)]
    if column is not None:
        if column not in lists:
            raise NlcliError(f"{path}: the column '{shown(column)}' does not hold lists of numbers with a fraction")
        return key, [column]
    if len(lists) > 1:
        raise NlcliError(f"{path} has vectors in '{shown(lists[0])}' and in '{shown(lists[1])}'; choose by --column")
    if lists:
        return key, lists
    numbers = [name for name in unique if pa.types.is_floating(schema.field(name).type)]
    if not numbers:
        raise NlcliError(f"{path} has neither a column of lists of numbers nor columns of numbers with a fraction")
    return key, numbers


def _matrix(path: Path, batch: Any, names: Sequence[str], first: int) -> tuple[np.ndarray, pa.Array]:
    """The vectors of a batch that are there (n, D), and where: a vector may be null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if len(names) > 1 or pa.types.is_floating(batch.column(names[0]).type):
        columns = [batch.column(name).to_numpy(zero_copy_only=False) for name in names]  # null is NaN, told later
        return np.stack(columns, axis=1), pa.array(np.ones(len(batch), bool))
    lists = batch.column(names[0])
    there = lists.is_valid()
    lists = lists.drop_null()
    if not len(lists):
        return np.zeros((0, 1), np.float32), there
    lengths = pc.list_value_length(lists).to_numpy()
    if (lengths != lengths[0]).any() or not lengths[0]:
        row = first + int(np.argmax(lengths != lengths[0])) + 1
        raise NlcliError(
            f"{path}, row {row}: a vector of {lengths[row - 1 - first]} numbers among others of {lengths[0]}"
        )
    return lists.flatten().to_numpy(zero_copy_only=False).reshape(len(lists), int(lengths[0])), there
