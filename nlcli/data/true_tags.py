"""True tags of images as planted noise remembers them: ``truth.parquet`` of a data set with several labels an image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nlcli.data.label_files import TRUTH, read_truth, write_truth
from nlcli.data.labels import LabelTable
from nlcli.errors import NlcliError
from nlcli.stages.files import atomic_path
from nlcli.stages.own_tables import damaged_as_sentence, read_own_table

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_WORK = 1 << 16


def write_true_tags(directory: Path, keys: np.ndarray, truth: csr_array, known: np.ndarray) -> None:
    """Write ``truth.parquet``: key and true class indices of every image, null where they are not known.

    Args:
        keys: (N,) strings.
        truth: (N, C) CSR, above 0 where the class is in the image.
        known: (N,) bool, whether the image's true tags are known.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("key", pa.string()), ("true", pa.list_(pa.int32()))])
    with atomic_path(directory / TRUTH) as temporary, pq.ParquetWriter(temporary, schema) as file:
        for start in range(0, max(1, len(keys)), _WORK):
            part = slice(start, start + _WORK)
            rows = truth[part]
            offsets = pa.array(rows.indptr.astype(np.int32), mask=np.append(~known[part], False))
            tags = pa.ListArray.from_arrays(offsets, pa.array(rows.indices.astype(np.int32)))
            file.write_table(pa.Table.from_arrays([pa.array(keys[part].tolist(), pa.string()), tags], schema=schema))


def read_true_tags(dataset: Path | str, table: LabelTable) -> tuple[csr_array, np.ndarray]:
    """True tags of ``table``'s images: (N, C) uint8 CSR, and (N,) bool where they are known.

    Args:
        dataset: Directory made by ``add_noise`` (or filtered from one).
        table: Its table, or a part of it.

    Raises:
        NlcliError: the directory holds no truth, or one that does not fit.
    """
    import pandas as pd
    import pyarrow as pa
    from scipy.sparse import csr_array

    path = Path(dataset) / TRUTH
    if not path.is_file():
        raise NlcliError(f"{dataset} has no {TRUTH}; only data sets made by nlcli add-noise know the whole truth")
    rows = read_own_table(path, "make the data set again", columns=("key", "true")).combine_chunks()
    with damaged_as_sentence(path, "make the data set again"):
        if not rows.schema.field("true").type.equals(pa.list_(pa.int32())):
            raise NlcliError(f"{path} does not hold several labels an image; make the data set again")
        keys = rows["key"].to_numpy(zero_copy_only=False)
        lists = pa.concat_arrays(rows["true"].chunks) if rows.num_rows else pa.array([], pa.list_(pa.int32()))
    indices = lists.flatten()
    if indices.null_count:
        raise NlcliError(f"{path} has empty cells; make the data set again")
    classes = indices.to_numpy(zero_copy_only=False)
    if len(classes) and not 0 <= classes.min() <= classes.max() < table.num_classes:
        raise NlcliError(f"{path} names a class that the data set does not have; make the data set again")
    lengths = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    indptr = np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))
    truth = csr_array((np.ones(len(classes), np.uint8), classes, indptr), shape=(len(keys), table.num_classes))
    known = lists.is_valid().to_numpy(zero_copy_only=False)
    index = pd.Index(keys)
    if not index.is_unique:
        raise NlcliError(f"{path} names an image twice; make the data set again")
    position = index.get_indexer(table.keys)
    if (position < 0).any():
        key = table.keys[int(np.argmax(position < 0))]
        raise NlcliError(f"{path} does not have image '{key}'; make the data set again")
    return truth[position], known[position]


def carry_truth(dataset: Path, directory: Path, table: LabelTable) -> None:
    """Write what ``dataset`` knows of the truth of ``table``'s images into ``directory``, where it knows any."""
    if not (dataset / TRUTH).is_file():
        return
    if table.task == "single-label":
        write_truth(directory, table.keys, read_truth(dataset, table))
    else:
        write_true_tags(directory, table.keys, *read_true_tags(dataset, table))
