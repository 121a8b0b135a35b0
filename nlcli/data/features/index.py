"""The index of a features directory: which row of which shard holds an image's features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nlcli.data.features.shards import ShardRecord
from nlcli.errors import NlcliError
from nlcli.stages.files import atomic_path
from nlcli.stages.own_tables import read_own_table

INDEX = "index.parquet"


def write_index(path: Path, keys: list[str], paths: list[str], records: list[ShardRecord], shard_rows: int) -> None:
    """Write the index of images listed in the order of their shards.

    Args:
        keys, paths: Of every image.
        records: Of every shard.
        shard_rows: Images of a shard, but for the last one.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    row = np.empty(len(keys), np.int32)
    reasons: list[str | None] = [None] * len(keys)
    for number, record in enumerate(records):
        good = np.ones(record.images, bool)
        for position, reason in record.errors:
            good[position] = False
            reasons[number * shard_rows + position] = reason
        first = number * shard_rows
        row[first : first + record.images] = np.where(good, np.cumsum(good) - 1, -1)
    table = pa.table(
        {
            "key": keys,
            "shard": np.arange(len(keys), dtype=np.int32) // shard_rows,
            "row": row,
            "status": np.where(row >= 0, "ok", "error").tolist(),
            "error": reasons,
            "path": paths,
        },
        schema=_schema(),
    )
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary)


def read_index(path: Path, starts: np.ndarray, rows: int) -> tuple[np.ndarray, dict[str, str]]:
    """Keys of the rows of all shards together, (rows,), and by key why images have none.

    Args:
        starts: First row of every shard.
        rows: Rows of all shards.

    Raises:
        NlcliError: the index cannot be read, or does not fit the shards.
    """
    table = read_own_table(path, "extract the features again", schema=_schema())
    keys = table.column("key").to_numpy(zero_copy_only=False)
    shard, row = table.column("shard").to_numpy(), table.column("row").to_numpy()
    good = row >= 0
    within = (shard >= 0) & (shard < len(starts))
    places = starts[shard[good & within]] + row[good & within]
    if not within.all() or not np.array_equal(np.sort(places), np.arange(rows)):
        raise NlcliError(f"{path} does not fit its shards; extract the features again")
    ordered = np.empty(rows, object)
    ordered[places] = keys[good]
    broken = np.flatnonzero(~good)
    reasons = table.column("error").take(broken).to_pylist()
    return ordered, dict(zip(keys[broken].tolist(), reasons, strict=True))


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
