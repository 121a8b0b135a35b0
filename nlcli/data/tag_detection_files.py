"""What a detection directory holds on several labels an image, written in blocks and read in blocks.

==================== ==========================================================================
``detection.json``   method, options, calibration, both thresholds, what was measured
``noise.parquet``    a row an entry (image and class), image by image
``noise.csv``        the surest wrong and missing tags, at most 100,000, for spreadsheets
``verified.parquet`` the verified entries that errors were measured on
==================== ==========================================================================

Columns of ``noise.parquet``: key, split, class, tag (``given`` or ``missing``), score (higher: the class is more likely
in the image), probability (calibrated, that the class is in the image), verdict (``right`` or ``wrong``; a missing tag
that is wrong should be there), verified (null; true or false: what a person said of the class). Every given tag has a
row; of an image's other classes only those have one whose probability is at least ``floor``, at most ``others`` of
them. The table therefore never grows with images times classes.

Columns of ``verified.parquet``: key, split, class, given, present (what a person said), score, probability and
called_present (the verdict that counts, by probability and threshold that owe nothing to the image). All verified
entries of the images that errors are measured on are there, also those that are none of ``noise.parquet``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict

from nlcli.data.detection_files import DETECTION, NOISE, NOISE_CSV, CleanSet, Facts
from nlcli.errors import NlcliError
from nlcli.stages.files import atomic_path, read_json, write_csv
from nlcli.stages.own_tables import own_table_blocks, read_own_table
from nlcli.stages.records import ClassText, Record
from nlcli.stages.stage import StageRecord, read_stage

VERIFIED = "verified.parquet"
COLUMNS = ("key", "split", "class", "tag", "score", "probability", "verdict", "verified")
TAGS = ("missing", "given")
_VERDICTS = ("wrong", "right")
MOST_LISTED = 100_000
SUREST = 100
_ROWS = 1 << 16
_REMEDY = "run detect-noise again"


# --- detection.json --------------------------------------------------------------------------


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MeasuredShare(_Part):
    """A share of entries, and what it rests on.

    Attributes:
        value: None where there is no entry.
        interval: 95 % over other images; None of too few entries.
        count, whole: How many entries count, of how many.
    """

    value: float | None
    interval: tuple[float, float] | None
    count: int
    whole: int


class TagThreshold(_Part):
    """From which probability on a class is called present, where its tag is given or where it is missing.

    Attributes:
        chosen_on: ``verified`` entries, ``given`` on the command line, or by ``rule``: the class is more likely there
            than not.
        entries: Verified entries that chose it.
    """

    value: float
    chosen_on: Literal["verified", "given", "rule"]
    entries: int = 0


class TagCalibration(_Part):
    """How scores became probabilities.

    Attributes:
        curve: ``isotonic``, ``sigmoid``, or ``none``: the score itself was taken for log-odds.
        entries, positives: Verified entries, and those of them whose class is in the image.
    """

    curve: Literal["isotonic", "sigmoid", "none"]
    entries: int
    positives: int


class MeasuredTags(_Part):
    """What verdicts on one kind of entries are worth, on verified entries of images that had no part in them.

    Attributes:
        entries, wrong: Verified entries of the kind, and those of them whose label is wrong.
        called: Entries called wrong.
        precision: Of the entries called wrong, those that are.
        recall: Of the wrong entries, those that are called so.
        surest: Of the at most ``SUREST`` entries that are most surely wrong, called so or not, those that are; None
            where it was not looked at.
    """

    entries: int
    wrong: int
    called: int
    precision: MeasuredShare
    recall: MeasuredShare
    surest: MeasuredShare | None = None


class MeasuredEntries(_Part):
    """What verdicts are worth.

    Attributes:
        split: Where the images are, such as ``test`` or ``validation+test``; None where nothing is verified.
        images: Verified images that count.
        cross_fitted: Whether, on splits other than test, each image was judged without its part of them.
        given, missing: Of the two kinds of entries.
        error, naive_error: Share of wrong labels among the verified entries, by the verdicts, and as they were given.
    """

    split: str | None
    images: int
    cross_fitted: bool
    given: MeasuredTags
    missing: MeasuredTags
    error: MeasuredShare
    naive_error: MeasuredShare


class TagDetectionRecord(Record):
    """What ``detection.json`` says of a detection on several labels an image.

    Attributes:
        method, title, options: The detector.
        floor, others: Of the classes whose tag is missing: the least probability, and the most an image, that have a
            row.
        thresholds, calibration: By kind, ``given`` and ``missing``.
        clean: The verified training images that it was fitted on or calibrated by.
        images: By split, images that were scored.
        entries: By kind, rows of ``noise.parquet``.
        called: By kind and split, entries called wrong.
        images_without_features: Images that could not be scored.
        measured: On verified entries.
        planted: The same on unverified training images, where planted noise tells the truth.
        notes: What the detector found worth recording.
        remarks: Sentences on what should not be taken as it is.
    """

    FORMAT: ClassVar[int] = 1
    made_by: ClassVar[str] = "detect-noise"

    task: Literal["multi-label"]
    method: str
    title: str
    options: Facts
    seed: int
    classes: tuple[ClassText, ...]
    uses_verification: bool
    floor: float
    others: int
    thresholds: dict[Literal["given", "missing"], TagThreshold]
    calibration: dict[Literal["given", "missing"], TagCalibration]
    clean: CleanSet
    images: dict[str, int]
    entries: dict[Literal["given", "missing"], int]
    called: dict[Literal["given", "missing"], dict[str, int]]
    images_without_features: int
    measured: MeasuredEntries
    planted: MeasuredEntries | None
    notes: Facts
    remarks: tuple[str, ...] = ()
    dataset_fingerprint: str
    backbone_fingerprint: str


def detects_tags(path: Path) -> bool:
    """Whether ``detection.json`` of the detection in ``path`` is of several labels an image."""
    content = read_json(path / DETECTION)
    return isinstance(content, dict) and content.get("task") == "multi-label"


# --- noise.parquet ---------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, kw_only=True)
class TagEntries:
    """Entries of some images, in the order of the file; the arrays are (n,).

    Attributes:
        keys, splits: Strings.
        classes: int64 class of each.
        given: bool, its tag is given.
        score: float32.
        probability: float32.
        right: bool, the label (given or not) is called right.
        verified: int8: 1 a person saw the class, 0 saw that it is not there, -1 nobody looked.
    """

    keys: np.ndarray
    splits: np.ndarray
    classes: np.ndarray
    given: np.ndarray
    score: np.ndarray
    probability: np.ndarray
    right: np.ndarray
    verified: np.ndarray

    def __len__(self) -> int:
        return len(self.keys)

    def at(self, rows: np.ndarray) -> Self:
        """Some of them."""
        return type(self)(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


class TagDetectionWriter(AbstractContextManager["TagDetectionWriter"]):
    """Writes ``noise.parquet`` block by block, and of its rows the surest wrong ones to ``noise.csv``.

    Args:
        work: Directory of the stage.
        classes: C names.
    """

    def __init__(self, work: Path, classes: Sequence[str]) -> None:
        self._work, self._names = work, tuple(classes)
        self._wrong: list[TagEntries] = []
        self.entries = {"given": 0, "missing": 0}
        self.called: dict[str, dict[str, int]] = {"given": {}, "missing": {}}

    def __enter__(self) -> Self:
        import pyarrow.parquet as pq

        self._place = atomic_path(self._work / NOISE)
        self._file = pq.ParquetWriter(self._place.__enter__(), _schema(), compression="zstd")
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._file.close()
        self._place.__exit__(kind, error, trace)
        if kind is None:
            self._write_csv()

    def write(self, entries: TagEntries) -> None:
        """Write rows behind those before."""
        self._file.write_table(_table(entries, self._names))
        for number, tag in enumerate(TAGS):
            self.entries[tag] += int((entries.given == number).sum())
            wrong = (entries.given == number) & ~entries.right
            for split in np.unique(entries.splits.astype(str)).tolist():
                count = int((wrong & (entries.splits == split)).sum())
                self.called[tag][split] = self.called[tag].get(split, 0) + count
        self._wrong.append(entries.at(np.flatnonzero(~entries.right)))
        if sum(map(len, self._wrong)) > 2 * MOST_LISTED:
            self._wrong = [self.surest(MOST_LISTED)]

    def surest(self, most: int, split: str | None = None) -> TagEntries:
        """Of the entries called wrong so far, or of those of a split, at most so many that are most surely so."""
        together = joined(self._wrong)
        if split is not None:
            together = together.at(np.flatnonzero(together.splits == split))
        order = np.lexsort((together.classes, together.keys.astype(str), -_sureness(together)))
        return together.at(order[:most])

    def _write_csv(self) -> None:
        def rows() -> Iterator[list[Any]]:
            for row in _table(self.surest(MOST_LISTED), self._names).to_pylist():
                yield [f"{cell:.7g}" if isinstance(cell, float) else cell for cell in row.values()]

        write_csv(self._work / NOISE_CSV, COLUMNS, rows())


def joined(parts: Sequence[TagEntries]) -> TagEntries:
    """Entries behind one another, of one part or more."""
    return TagEntries(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(TagEntries)})


def _sureness(entries: TagEntries) -> np.ndarray:
    """How sure it is that the label is wrong, as a probability."""
    sure: np.ndarray = np.where(entries.given, 1 - entries.probability, entries.probability)
    return sure


def _schema() -> Any:
    import pyarrow as pa

    kinds = dict.fromkeys(COLUMNS, pa.string()) | {"score": pa.float32(), "probability": pa.float32()}
    return pa.schema(list((kinds | {"verified": pa.bool_()}).items()))


def _table(entries: TagEntries, names: Sequence[str]) -> Any:
    import pyarrow as pa

    def words(known: Sequence[str], codes: np.ndarray) -> Any:
        indices = pa.array(np.asarray(codes, np.int32))
        return pa.DictionaryArray.from_arrays(indices, pa.array(known, pa.string())).cast(pa.string())

    columns = [
        pa.array(entries.keys.tolist(), pa.string()),
        pa.array(entries.splits.tolist(), pa.string()),
        words(list(names), entries.classes),
        words(TAGS, entries.given),
        pa.array(entries.score.astype(np.float32)),
        pa.array(entries.probability.astype(np.float32)),
        words(_VERDICTS, entries.right),
        pa.array(entries.verified > 0, mask=entries.verified < 0),
    ]
    return pa.Table.from_arrays(columns, schema=_schema())


@dataclass(frozen=True, eq=False)
class TagDetection:
    """A finished detection on several labels an image.

    Attributes:
        record: Of its directory.
        info: What ``detection.json`` says.
    """

    record: StageRecord
    info: TagDetectionRecord

    def blocks(self, rows: int = _ROWS) -> Iterator[TagEntries]:
        """The entries of ``noise.parquet``, at most so many at a time.

        Raises:
            NlcliError: the file is damaged, or does not fit ``detection.json``.
        """
        where = self.record.path / NOISE
        for block in own_table_blocks(where, _REMEDY, rows, schema=_schema()):
            yield self._entries(block, where)

    def entries(self) -> TagEntries:
        """All entries at once; ask for blocks where there may be many millions."""
        parts = list(self.blocks())
        if not parts:
            return self._entries(_schema().empty_table(), self.record.path / NOISE)
        return joined(parts)

    def _entries(self, table: Any, where: Path) -> TagEntries:
        import pyarrow as pa
        import pyarrow.compute as pc

        def codes(name: str, known: Sequence[str]) -> np.ndarray:
            places = pc.index_in(table.column(name), value_set=pa.array(list(known), pa.string()))
            if places.null_count:
                raise NlcliError(f"{where}: column '{name}' has a value that it cannot have; {_REMEDY}")
            indices: np.ndarray = places.to_numpy()
            return indices

        for name in ("key", "split", "score", "probability"):
            if table.column(name).null_count:
                raise NlcliError(f"{where}: column '{name}' has empty cells; {_REMEDY}")
        said = pc.fill_null(table.column("verified").cast(pa.int8()), -1).to_numpy()
        return TagEntries(
            keys=table.column("key").to_numpy(),
            splits=table.column("split").to_numpy(),
            classes=codes("class", self.info.classes).astype(np.int64),
            given=codes("tag", TAGS) == 1,
            score=table.column("score").to_numpy(),
            probability=table.column("probability").to_numpy(),
            right=codes("verdict", _VERDICTS) == 1,
            verified=said.astype(np.int8),
        )


def read_tag_detection(path: Path | str) -> TagDetection:
    """The finished detection on several labels an image at ``path``; its entries are read when they are asked for.

    Raises:
        NlcliError: not a detection, one of single labels or of another format, or its files are damaged.
    """
    record = read_stage(path, "detection")
    if not detects_tags(record.path):
        raise NlcliError(f"{path} is a detection of wrong single labels; this is of several labels an image")
    return TagDetection(record, TagDetectionRecord.read(record.path / DETECTION))


# --- verified.parquet ------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, kw_only=True)
class VerifiedEntries:
    """Verified entries with score, probability and the verdict that counts, by image and class; the arrays are (n,).

    Attributes:
        keys, splits: Strings.
        classes: int64.
        given, present, called_present: bool.
        score, probability: float32.
    """

    keys: np.ndarray
    splits: np.ndarray
    classes: np.ndarray
    given: np.ndarray
    present: np.ndarray
    score: np.ndarray
    probability: np.ndarray
    called_present: np.ndarray

    def __len__(self) -> int:
        return len(self.keys)


def write_verified(path: Path, entries: VerifiedEntries, names: Sequence[str]) -> None:
    """Write ``verified.parquet``, whole or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = [
        pa.array(entries.keys.tolist(), pa.string()),
        pa.array(entries.splits.tolist(), pa.string()),
        pa.array(entries.classes.astype(np.int32)),
        pa.array(entries.given),
        pa.array(entries.present),
        pa.array(entries.score.astype(np.float32)),
        pa.array(entries.probability.astype(np.float32)),
        pa.array(entries.called_present),
    ]
    with atomic_path(path) as temporary:
        pq.write_table(pa.Table.from_arrays(columns, schema=_verified_schema(names)), temporary, compression="zstd")


def read_verified(path: Path, names: Sequence[str]) -> VerifiedEntries:
    """The verified entries that a detection was measured on.

    Raises:
        NlcliError: missing, damaged, or of other classes.
    """
    table = read_own_table(path, _REMEDY)
    classes = table["class"].to_numpy() if "class" in table.column_names else np.empty(0)
    inside = not len(classes) or 0 <= classes.min() <= classes.max() < len(names)
    if (
        not table.schema.equals(_verified_schema(names), check_metadata=True)
        or not inside
        or any(column.null_count for column in table.columns)
    ):
        raise NlcliError(f"{path} does not hold the verified entries of this detection; {_REMEDY}")
    return VerifiedEntries(
        keys=table["key"].to_numpy(),
        splits=table["split"].to_numpy(),
        classes=classes.astype(np.int64),
        given=table["given"].to_numpy(),
        present=table["present"].to_numpy(),
        score=table["score"].to_numpy(),
        probability=table["probability"].to_numpy(),
        called_present=table["called_present"].to_numpy(),
    )


def _verified_schema(names: Sequence[str]) -> Any:
    import pyarrow as pa

    kinds = {
        "key": pa.string(),
        "split": pa.string(),
        "class": pa.int32(),
        "given": pa.bool_(),
        "present": pa.bool_(),
        "score": pa.float32(),
        "probability": pa.float32(),
        "called_present": pa.bool_(),
    }
    return pa.schema(list(kinds.items()), metadata={"classes": json.dumps(list(names))})
