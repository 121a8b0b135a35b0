"""Vectors in columns of Arrow's types, which Parquet and Arrow's own files have: lists, or a column for each number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlcli.data.features.readers.base import KEYS, Block, require_width
from nlcli.data.lists import shown
from nlcli.errors import NlcliError, shortened

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Chosen:
    """The column of keys, None where there is none, and those of the vectors."""

    key: str | None
    vectors: tuple[str, ...]


def choose_columns(path: Path, schema: pa.Schema, column: str | None) -> Chosen:
    """Which columns of a table hold keys and vectors.

    Raises:
        NlcliError: there are no vectors, or more than one column of them and none was named.
    """
    import pyarrow as pa

    key = next((name for name in KEYS if name in schema.names), None)
    if key is not None and schema.names.count(key) > 1:
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
        return Chosen(key, (column,))
    if len(lists) > 1:
        raise NlcliError(f"{path} has vectors in '{shown(lists[0])}' and in '{shown(lists[1])}'; choose by --column")
    if lists:
        return Chosen(key, tuple(lists))
    numbers = [name for name in unique if pa.types.is_floating(schema.field(name).type)]
    if not numbers:
        raise NlcliError(f"{path} has neither a column of lists of numbers nor columns of numbers with a fraction")
    return Chosen(key, tuple(numbers))


def block_of(path: Path, batch: Any, names: Sequence[str], first: int, width: int | None) -> Block:
    """The vectors of one record batch.

    Args:
        first: Its first row in the table, for the sentence.
        width: How long they must be; None: as long as the first.

    Raises:
        NlcliError: vectors of different lengths, or a null among the numbers of one.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if len(names) > 1 or pa.types.is_floating(batch.column(names[0]).type):
        columns = [batch.column(name).to_numpy(zero_copy_only=False) for name in names]  # null is NaN, told later
        return Block(np.stack(columns, axis=1))
    lists = batch.column(names[0])
    lists.validate(full=True)
    there = lists.is_valid().to_numpy(zero_copy_only=False)
    if not there.all():
        lists = lists.drop_null()
    if not len(lists):
        return Block(np.zeros((len(batch), width or 0), np.float32), there)
    lengths = pc.list_value_length(lists).to_numpy()
    expected = int(lengths[0]) if width is None else width
    wrong = np.flatnonzero(lengths != expected)
    if len(wrong) or not expected:
        at = int(wrong[0]) if len(wrong) else 0
        row = first + int(np.flatnonzero(there)[at]) + 1
        raise NlcliError(
            f"{path}, row {row:,}: a vector of {lengths[at]} numbers among others of {expected}; correct it, or leave "
            "it out"
        )
    require_width(str(path), expected)
    values = lists.flatten().to_numpy(zero_copy_only=False).reshape(len(lists), expected)
    if there.all():
        return Block(values)
    filled = np.zeros((len(batch), expected), values.dtype)
    filled[there] = values
    return Block(filled, there)


def keys_of(path: Path, name: str, parts: Iterable[Any]) -> pa.Array:
    """The column ``name`` of keys, one part after another, as texts.

    Raises:
        NlcliError: it holds neither text nor whole numbers, or text that is not UTF-8.
    """
    import pyarrow as pa

    types = pa.types
    kinds = (types.is_string, types.is_large_string, types.is_string_view, types.is_null, types.is_integer)
    texts = []
    for part in parts:
        kind = part.type.value_type if pa.types.is_dictionary(part.type) else part.type
        if not any(test(kind) for test in kinds):
            raise NlcliError(f"{path}: column '{name}' has the type {kind}, expected text; convert it")
        try:
            part.validate(full=True)
            texts.append(part.cast(pa.string()))
        except pa.ArrowException as error:
            raise NlcliError(f"{path}: column '{name}' cannot be read as text ({shortened(error)})") from error
    return pa.chunked_array(texts, pa.string()).combine_chunks()


def width_of(path: Path, batches: Iterable[Any], names: Sequence[str]) -> int:
    """D of a table: that of the first vector that is there.

    Raises:
        NlcliError: there is none.
    """
    if len(names) > 1:
        require_width(str(path), len(names))
        return len(names)
    first = 0
    for batch in batches:
        block = block_of(path, batch, names, first, None) if len(batch) else None
        if block is not None and block.values.shape[1]:
            return int(block.values.shape[1])
        first += len(batch)
    raise NlcliError(f"{path} has no vectors")
