"""Images that may be asked about: nobody has checked them, and a detection says how right their labels are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nlcli.data.detection_files import NOISE, Detection
from nlcli.data.labels import NONE, SPLITS, LabelTable
from nlcli.data.tag_detection_files import TagDetection, TagEntries
from nlcli.errors import NlcliError
from nlcli.metrics.arrays import Bools, Floats, Ints
from nlcli.stages.own_tables import read_own_table
from nlcli.stages.stage import StageRecord

PAIRS = "pairs.parquet"
"""Where a data set without near-duplicates tells of those that it still has."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Candidates:
    """Images that may be asked about, sorted by key; the arrays are (n,).

    Attributes:
        row: Of the label table.
        expected: Expected number of wrong labels (on several labels, of wrong and of missing tags); NaN where the
            detection has no probability.
        doubt: How far the probability of the image's most doubtful label is from 1/2; NaN as well.
        group: Class of that label.
        given: Labels of each image that the detection has a probability of.
    """

    row: Ints
    expected: Floats
    doubt: Floats
    group: Ints
    given: Ints

    def __len__(self) -> int:
        return len(self.row)


class Keys:
    """Rows of a label table by key.

    Args:
        record: Of the detection whose keys are looked up.
        splits: Names of the splits that are asked about.
    """

    def __init__(self, record: StageRecord, table: LabelTable, splits: tuple[str, ...]) -> None:
        import pandas as pd

        self._index, self._where = pd.Index(table.keys), record.path / NOISE
        wanted = np.isin(table.split, [SPLITS.index(name) for name in splits])
        self.may_be_asked: Bools = wanted & (table.verification == NONE)
        """(N,) whether an image of the table is in these splits and nobody has checked it."""

    def rows(self, keys: np.ndarray) -> Ints:
        """int64 row of each key; one that the data set does not have is refused."""
        row: Ints = self._index.get_indexer(keys).astype(np.int64)
        if (row < 0).any():
            raise NlcliError(
                f"{self._where} names an image that the data set does not have; run nlcli detect-noise again"
            )
        return row

    def checked(self, probability: np.ndarray) -> Floats:
        """The probabilities as float64; one outside of 0 to 1 is refused."""
        values: Floats = np.asarray(probability, np.float64)
        if not (np.isnan(values) | ((values >= 0) & (values <= 1))).all():
            raise NlcliError(f"{self._where} has a probability outside of 0 to 1; run nlcli detect-noise again")
        return values

    def by_key(self, table: LabelTable, rows: Ints) -> Ints:
        """The order of ``rows`` by their keys; one that is there twice is refused."""
        if len(np.unique(rows)) < len(rows):
            raise NlcliError(f"{self._where} names an image twice; run nlcli detect-noise again")
        order: Ints = np.argsort(table.keys[rows], kind="stable")
        return order


def of_labels(detection: Detection, table: LabelTable, keys: Keys) -> Candidates:
    """Of one label an image."""
    row = keys.rows(detection.keys)
    right = keys.checked(detection.probability)
    order = keys.by_key(table, row)
    order = order[keys.may_be_asked[row[order]]]
    right = right[order]
    return Candidates(
        row=row[order],
        expected=1 - right,
        doubt=np.abs(right - 0.5),
        group=detection.noisy[order].astype(np.int64),
        given=np.ones(len(order), np.int64),
    )


def of_tags(detection: TagDetection, table: LabelTable, keys: Keys) -> Candidates:
    """Of several labels an image: those of which the detection has a row, summed block by block."""
    count = len(table)
    expected, doubt = np.zeros(count), np.full(count, np.inf)
    group, given = np.full(count, -1, np.int64), np.zeros(count, np.int64)
    for entries in detection.blocks():
        row, wrong = asked_entries(entries, keys)
        some, inverse = np.unique(row[row >= 0], return_inverse=True)
        wrong, of_class = wrong[row >= 0], entries.classes[row >= 0]
        expected[some] += np.bincount(inverse, wrong, len(some))
        given[some] += np.bincount(inverse, entries.given[row >= 0], len(some)).astype(np.int64)
        distance = np.abs(wrong - 0.5)
        order = np.lexsort((of_class, distance, inverse))
        first = order[np.flatnonzero(np.diff(inverse[order], prepend=-1))]
        nearer = distance[first] < doubt[some]
        doubt[some[nearer]] = distance[first][nearer]
        group[some[nearer]] = of_class[first][nearer]
    rows = np.flatnonzero(group >= 0)
    rows = rows[keys.by_key(table, rows)]
    return Candidates(row=rows, expected=expected[rows], doubt=doubt[rows], group=group[rows], given=given[rows])


def asked_entries(entries: TagEntries, keys: Keys) -> tuple[Ints, Floats]:
    """The row of each entry's image, -1 where it may not be asked about, and the probability that it is wrong."""
    row = keys.rows(entries.keys)
    present = keys.checked(entries.probability)
    known = keys.may_be_asked[row] & (entries.verified < 0) & ~np.isnan(present)
    return np.where(known, row, -1), np.where(entries.given, 1 - present, present)


def near_duplicates(dataset: Path, table: LabelTable) -> dict[int, list[int]]:
    """By row, the rows of its near-duplicates, as far as ``deduplicate`` left some in the data set.

    Raises:
        NlcliError: the file that tells of them is damaged.
    """
    import pandas as pd

    where = dataset / PAIRS
    if not where.is_file():
        return {}
    pairs = read_own_table(where, "run nlcli deduplicate again", columns=("first", "second"))
    index = pd.Index(table.keys)
    first, second = (index.get_indexer(pairs.column(name).to_numpy()) for name in ("first", "second"))
    near: dict[int, list[int]] = {}
    for one, other in zip(first.tolist(), second.tolist(), strict=True):
        if one >= 0 and other >= 0:
            near.setdefault(one, []).append(other)
            near.setdefault(other, []).append(one)
    return near
