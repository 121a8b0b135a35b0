"""The index of a features directory: which row of which shard holds an image's features."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from nlcli.data.features.key_rows import KeyRows
from nlcli.data.features.shards import ShardRecord
from nlcli.errors import NlcliError
from nlcli.stages.arrow_arrays import arrow_numbers, numpy_numbers
from nlcli.stages.files import atomic_path
from nlcli.stages.own_tables import own_table_blocks

INDEX = "index.parquet"
_GROUP_ROWS = 1 << 16
Names = Callable[[int, int], tuple[Any, Any]]
"""Keys and paths of the images from one position to another, as lists or as pyarrow's arrays."""


def write_index(path: Path, names: Names, records: Iterable[ShardRecord]) -> None:
    """Write the index of images listed in the order of their shards, a few shards in memory at a time.

    Args:
        names: Keys and paths of the images from one position to another.
        records: Of every shard.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    def part(number: int, first: int, record: ShardRecord) -> pa.Table:
        good = np.ones(record.images, bool)
        reasons = np.full(record.images, None, object)
        for position, reason in record.errors:
            good[position], reasons[position] = False, reason
        keys, paths = names(first, first + record.images)
        columns = {
            "key": keys,
            "shard": np.full(record.images, number, np.int32),
            "row": np.where(good, np.cumsum(good) - 1, -1).astype(np.int32),
            "status": pa.DictionaryArray.from_arrays(pa.array((~good).astype(np.int8)), ["ok", "error"]).cast("string"),
            "error": pa.array(reasons, pa.string()),
            "path": paths,
        }
        return pa.table(columns, schema=_schema())

    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, _schema()) as file:
        first, parts = 0, [_schema().empty_table()]
        for number, record in enumerate(records):
            parts.append(part(number, first, record))
            first += record.images
            if sum(map(len, parts)) >= _GROUP_ROWS:
                file.write_table(pa.concat_tables(parts))
                parts = []
        if parts:
            file.write_table(pa.concat_tables(parts))


def read_index(path: Path, starts: np.ndarray, rows: int) -> tuple[KeyRows, dict[str, str]]:
    """Keys of the rows of all shards together, and by key why images have none.

    Args:
        starts: First row of every shard.
        rows: Rows of all shards.

    Raises:
        NlcliError: the index cannot be read, or does not fit the shards.
    """
    import pyarrow as pa

    unfit = NlcliError(f"{path} does not fit its shards; extract the features again")
    count, blocks, in_order = 0, [], True
    places_of: list[np.ndarray] = []
    filled = np.zeros(rows, bool)
    reasons: dict[str, str] = {}
    for table in own_table_blocks(path, "extract the features again", _GROUP_ROWS, schema=_schema()):
        keys = table.column("key").combine_chunks()
        shard, row = numpy_numbers(table.column("shard")), numpy_numbers(table.column("row"))
        good = row >= 0
        if not ((shard >= 0) & (shard < len(starts))).all():
            raise unfit
        places = starts[shard[good]] + row[good]
        if (places >= rows).any():
            raise unfit
        filled[places] = True
        blocks.append(keys if good.all() else keys.filter(arrow_numbers(good)))
        in_order &= bool((places == np.arange(count, count + len(places))).all())
        places_of.append(places)
        broken = np.flatnonzero(~good)
        if len(broken):
            taken = arrow_numbers(broken)
            reasons |= zip(keys.take(taken).to_pylist(), table.column("error").take(taken).to_pylist(), strict=True)
        count += len(places)
    if count != rows or not filled.all():  # as many as there are rows, and none of them empty: none came twice
        raise unfit
    if in_order:  # as it is written
        return KeyRows(blocks), reasons
    row_of = np.concatenate(places_of)
    return KeyRows([pa.array(KeyRows(blocks).take(np.argsort(row_of)), pa.large_string())]), reasons


def _schema() -> Any:
    import pyarrow as pa

    return pa.schema(
        [
            ("key", pa.string()),
            ("shard", pa.int32()),
            ("row", pa.int32()),
            ("status", pa.string()),
            ("error", pa.string()),
            ("path", pa.string()),
        ]
    )
