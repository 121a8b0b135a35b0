"""What proposes changes of labels: a detection of label noise, or a run whose method gives cleaned labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nlcli.cleaning.proposals import NONE, Proposals, rejections, replacements
from nlcli.data.detection_files import DETECTION, NOISE, DetectionRecord
from nlcli.data.labels import LabelTable
from nlcli.detection.verification import UNVERIFIED, visible_labels
from nlcli.errors import NlcliError, shortened
from nlcli.metrics.arrays import Bools, Ints
from nlcli.stages.stage import StageRecord


@dataclass(frozen=True, eq=False)
class Source:
    """What is proposed, and by what.

    Attributes:
        method: Name of the detector, or of the run's method.
        told: (N,) images of the data set whose verified labels may be used: those of the source's clean set, and of
            validation; never those of test.
    """

    record: StageRecord
    method: str
    proposals: Proposals
    told: Bools


def of_detection(record: StageRecord, table: LabelTable, policy: str) -> Source:
    """What a detection of label noise in ``table`` proposes.

    Raises:
        NlcliError: it is of another data set, its files are damaged, or it has no probabilities.
    """
    info = DetectionRecord.read(record.path / DETECTION)
    if info.dataset_fingerprint != table.fingerprint:
        raise NlcliError(
            f"{record.path} was made of another data set, or of this one before it changed; run nlcli detect-noise on "
            "it again"
        )
    columns = _columns(record, ("key", "probability", "suggested", "suggested_probability"))
    row = _rows(record, table, columns["key"])
    own = _probabilities(record, columns["probability"])
    held_out = np.isin(np.asarray(table.classes, object), info.held_out.classes) & (not info.held_out.verification_used)
    visible = visible_labels(table, info.clean.fraction, info.clean.seed, held_out)
    told = visible != UNVERIFIED
    if policy == "drop":
        proposals = rejections(table, row, own, visible)
    else:
        suggested = _classes(record, table, columns["suggested"])
        proposals = replacements(
            table, row, own, suggested, _probabilities(record, columns["suggested_probability"]), told
        )
    return Source(record, info.method, proposals, told)


def _columns(record: StageRecord, names: tuple[str, ...]) -> dict[str, Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    where = record.path / NOISE
    try:
        there = pq.read_schema(where).names
        missing = next((name for name in names if name not in there), None)
        if missing is not None:
            raise NlcliError(
                f"{where} has no column '{missing}', which an earlier version of nlcli did not write; run nlcli "
                "detect-noise again"
            )
        table = pq.read_table(where, columns=list(names))
    except (OSError, pa.ArrowException) as error:
        raise NlcliError(f"cannot read {where} ({shortened(error)}); run nlcli detect-noise again") from error
    return {name: table.column(name) for name in names}


def _rows(record: StageRecord, table: LabelTable, keys: Any, *, single: bool = True) -> Ints:
    """Rows of the label table; a key that it does not have is refused."""
    import pandas as pd

    row: Ints = pd.Index(table.keys).get_indexer(keys.to_numpy())
    if (row < 0).any():
        raise NlcliError(
            f"{record.path / NOISE} names an image that the data set does not have; run nlcli detect-noise again"
        )
    if single and len(np.unique(row)) < len(row):
        raise NlcliError(f"{record.path / NOISE} names an image twice; run nlcli detect-noise again")
    return row.astype(np.int64)


def _probabilities(record: StageRecord, column: Any) -> np.ndarray:
    """float64, NaN where there is none."""
    values = np.asarray(column.cast("float64").to_numpy(zero_copy_only=False), np.float64)
    outside = ~(np.isnan(values) | ((values >= 0) & (values <= 1)))
    if outside.any():
        raise NlcliError(f"{record.path / NOISE} has a probability outside of 0 to 1; run nlcli detect-noise again")
    return values


def _classes(record: StageRecord, table: LabelTable, column: Any) -> Ints:
    """Class indices, ``NONE`` for null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    place = pc.index_in(column, value_set=pa.array(table.classes, pa.string()))
    if place.null_count > column.null_count:
        raise NlcliError(
            f"{record.path / NOISE} names a class that the data set does not have; run nlcli detect-noise again"
        )
    return np.asarray(place.fill_null(NONE).to_numpy(), np.int64)
