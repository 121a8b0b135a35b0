"""What images count in the loss of a head, as a table says it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nlcli.data.lists import shown
from nlcli.data.table_columns import read_columns
from nlcli.errors import NlcliError
from nlcli.stages.files import atomic_path

_COLUMNS = ("key", "weight")


def read_image_weights(path: Path, keys: np.ndarray) -> np.ndarray:
    """(n,) float64 weights, all above 0, of the images ``keys`` (n,).

    Args:
        path: A table (CSV, Parquet, JSONL) with the columns ``key`` and ``weight``; it may know of other images, too.

    Raises:
        NlcliError: a weight that is no number above 0, an image twice, or one of ``keys`` without a weight.
    """
    import pandas as pd

    columns = read_columns(path, _COLUMNS, _COLUMNS, pass_over=True)
    texts = columns.texts["weight"]
    values = pd.to_numeric(pd.Series(texts.names, dtype=object), errors="coerce").to_numpy(np.float64)
    weights = values[texts.codes] if len(values) else np.empty(0)
    wrong = np.flatnonzero(~(np.isfinite(weights) & (weights > 0)))
    if len(wrong):
        row = int(wrong[0])
        raise NlcliError(
            f"{columns.where(row)}: the weight '{shown(texts.names[texts.codes[row]])}' is no number above 0; what "
            "shall not count does not belong into the data set"
        )
    told = columns.texts["key"]
    names = np.asarray(told.names, object)
    repeated = np.flatnonzero(np.bincount(told.codes, minlength=len(names)) > 1)
    if len(repeated):
        raise NlcliError(f"{path}: the image '{shown(names[repeated[0]])}' stands there twice; leave one row of it")
    of_name = np.full(len(names), np.nan)
    of_name[told.codes] = weights
    position = pd.Index(names).get_indexer(np.asarray(keys, object))
    missing = np.flatnonzero(position < 0)
    if len(missing):
        raise NlcliError(
            f"{path} has no weight of {len(missing):,} of {len(keys):,} training images (such as "
            f"'{shown(str(keys[missing[0]]))}'); give one for each"
        )
    return np.asarray(of_name[position])


def write_image_weights(path: Path, keys: np.ndarray, weights: np.ndarray) -> None:
    """Write such a table as Parquet, whole or not at all; ``keys`` (n,), ``weights`` (n,)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"key": pa.array(keys.tolist(), pa.string()), "weight": np.asarray(weights, np.float64)})
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary)
