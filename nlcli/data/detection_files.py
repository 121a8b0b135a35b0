"""What a detection directory holds: writing it, reading it, and weights for training made of it.

================== ============================================================================
``detection.json``  method, options, threshold and how it was chosen, error rates, those by class
``noise.parquet``   one row an image with a noisy label and features, worst first
``noise.csv``       the same for spreadsheets
================== ============================================================================

Columns: key, path, split, label (the noisy class), verified (right, wrong or null), score, verdict
(right or wrong: the score is at least the threshold, or below), ``measured``: the verdict by
which the image counts in the error rates, null where it does not count, ``probability`` that the label
is right, ``suggested``: the most probable other class, and ``suggested_probability`` that this one is
right. ``measured`` is ``verdict`` itself where the threshold was chosen on other images, and the verdict by a
threshold chosen without the image's part of the split where it was cross-fitted. Probabilities are calibrated on
verified labels, that of a verified image without its own; they are null where no verified label could make any.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict

from nlcli.errors import NlcliError
from nlcli.stages.arrow_arrays import arrow_names, arrow_numbers, arrow_texts, numpy_numbers, numpy_texts, rows_of
from nlcli.stages.files import atomic_path, read_json, write_csv
from nlcli.stages.own_tables import read_own_table
from nlcli.stages.records import ClassText, Record
from nlcli.stages.stage import StageRecord, read_stage

DETECTION, NOISE, NOISE_CSV = "detection.json", "noise.parquet", "noise.csv"
COLUMNS = (
    *("key", "path", "split", "label", "verified", "score", "verdict", "measured"),
    *("probability", "suggested", "suggested_probability"),
)
_NUMBERS = ("score", "probability", "suggested_probability")
_WORDS = ("wrong", "right")  # by label 0 and 1
_CSV_ROWS = 1 << 16


# --- detection.json --------------------------------------------------------------------------


def _plain(value: Any) -> Any:
    """JSON types of what a detector notes, which may be NumPy's; null for NaN."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and math.isnan(value) else value


Facts = Annotated[dict[str, Any], BeforeValidator(_plain)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Threshold(_Part):
    """A threshold and where it comes from.

    Attributes:
        value: A label is right where its score is at least this.
        chosen_on: ``validation``, ``train`` (verified training images, whose scores are then out of fold), both,
            ``detector`` (its own) or ``given``.
        images, error: Verified images that chose it, and the average error rate on them.
        meaning: What it says in words, where its number says little.
    """

    value: float
    chosen_on: Literal["validation", "train", "train+validation", "detector", "given"]
    images: int = 0
    error: float | None = None
    meaning: str | None = None


class HeldOut(_Part):
    """The classes whose verification was withheld, or only reported on apart.

    Attributes:
        drawn: By the seed, and not named.
        verification_used: Whether the detector and the threshold saw their verification all the same.
    """

    classes: tuple[ClassText, ...]
    drawn: bool
    verification_used: bool


class CleanSet(_Part):
    """The verified training images that were used, as ``nlcli.data.score_chosen.used_clean_set`` has them.

    Attributes:
        chosen_by_score: Of the images, those that people checked because of a score; None where there are none. The
            others were drawn at random, or nothing tells how they were chosen.
    """

    images: int
    keys: str
    fraction: float
    seed: int
    chosen_by_score: int | None = None

    @property
    def apart(self) -> dict[str, int]:
        """For people: the count of images that were chosen by score, where there are some."""
        return {} if self.chosen_by_score is None else {"clean_images_chosen_by_score": self.chosen_by_score}


class Verified(_Part):
    """How many noisy labels of a split are verified right, and wrong."""

    right: int
    wrong: int


class ClassErrors(_Part):
    """Error rates of verdicts on the verified images of one class.

    Attributes:
        images, wrong: How many images, and how many of them have a wrong label.
        error, naive_error: Error rate, and that of calling every label right.
        missed, rejected: Wrong labels called right, and right ones called wrong.
    """

    name: str
    held_out: bool
    images: int
    wrong: int
    error: float
    naive_error: float
    missed: int
    rejected: int


class ErrorRates(_Part):
    """Error rates of verdicts on the verified images of several classes.

    Attributes:
        images, wrong, classes: How many images, how many of them have a wrong label, of how many classes.
        average, micro: Error rate averaged over classes, and over images.
        naive_average, naive_micro: Of calling every label right.
        average_interval, micro_interval: 95 % over other images; None where too few images tell.
    """

    images: int
    wrong: int
    classes: int
    average: float
    micro: float
    naive_average: float
    naive_micro: float
    average_interval: tuple[float, float] | None = None
    micro_interval: tuple[float, float] | None = None


class Errors(_Part):
    """Error rates of all classes, and where classes are held out of them and of the others.

    Attributes:
        all, held_out, others: None where no image counts.
        by_class: Of the classes with an image that counts.
    """

    all: ErrorRates | None
    held_out: ErrorRates | None
    others: ErrorRates | None
    by_class: tuple[ClassErrors, ...]


class MeasuredErrors(Errors):
    """Error rates, and the images that they rest on.

    Attributes:
        split: Where those images are; None where nothing is verified to measure on.
        cross_fitted: Whether each was judged by a threshold that was chosen without it.
    """

    split: Literal["test", "validation", "validation+test"] | None
    cross_fitted: bool


class OwnThresholdErrors(Errors):
    """Error rates on the same images by the threshold that the detector has of itself, ``value``."""

    value: float


class Probabilities(_Part):
    """How scores were made probabilities that labels are right.

    Attributes:
        kind: A sigmoid or an isotonic curve, or ``detector``: what the detector says itself, without any check.
        split: Where the verified images are that they were made by.
        images, wrong: How many, and how many of them have a wrong label.
        brier: Mean squared distance of an image's probability, made without the image, from 1 (right) or 0.
        share_brier: That of the share of right labels instead.
        suggested_on: Images with a known true class by which the probabilities of suggestions were made; 0: by none.
    """

    kind: Literal["sigmoid", "isotonic", "detector"]
    split: Literal["train", "validation", "train+validation"] | None
    images: int
    wrong: int
    brier: float | None
    share_brier: float | None
    suggested_on: int


class DetectionRecord(Record):
    """What ``detection.json`` says.

    Attributes:
        method, title, options: The detector.
        soft: Whether max(0, score) is a weight in [0, 1].
        verified: By split, as far as it is told to the detector or the threshold.
        images, called_wrong: By split, images with a score, and those of them whose label is called wrong.
        images_without_features: Images with a noisy label that could not be scored.
        subsampled_classes: By class, how many images there were where a part of them was drawn to fit on.
        planted: Errors on the unverified training images, where planted noise tells the truth.
        probabilities: Where the probabilities come from; None: there are none.
        notes: What the detector found worth recording.
        remarks: Sentences on what should not be taken as it is.
    """

    FORMAT: ClassVar[int] = 2
    made_by: ClassVar[str] = "detect-noise"

    method: str
    title: str
    options: Facts
    seed: int
    classes: tuple[ClassText, ...]
    soft: bool
    uses_verification: bool
    threshold: Threshold
    held_out: HeldOut
    clean: CleanSet
    verified: dict[str, Verified]
    images: dict[str, int]
    called_wrong: dict[str, int]
    images_without_features: int
    subsampled_classes: dict[str, int]
    errors: MeasuredErrors
    own_threshold: OwnThresholdErrors | None
    planted: Errors | None
    probabilities: Probabilities | None
    notes: Facts
    remarks: tuple[str, ...] = ()
    dataset_fingerprint: str
    backbone_fingerprint: str


# --- the images ------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, kw_only=True)
class ScoredLabels:
    """Images with a noisy label, its score and verdicts.

    Attributes:
        keys, paths, splits: (n,) strings.
        noisy: (n,) int64 noisy class.
        verified: (n,) int8: 1 right, 0 wrong, -1 not verified.
        score: (n,) float32.
        verdict: (n,) int8: 1 right, 0 wrong.
        measured: (n,) int8: the verdict that counts in the error rates, -1 where the image does not.
        probability: (n,) float32 that the noisy label is right; NaN where it is not known.
        suggested: (n,) int64 most probable other class; -1 where none is known.
        suggested_probability: (n,) float32 that this one is right; NaN where it is not known.
    """

    keys: np.ndarray
    paths: np.ndarray
    splits: np.ndarray
    noisy: np.ndarray
    verified: np.ndarray
    score: np.ndarray
    verdict: np.ndarray
    measured: np.ndarray
    probability: np.ndarray
    suggested: np.ndarray
    suggested_probability: np.ndarray

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True, eq=False, kw_only=True)
class Detection(ScoredLabels):
    """A finished detection, its images in the order of ``noise.parquet``: worst first.

    Attributes:
        record: Of its directory.
        info: What ``detection.json`` says.
    """

    record: StageRecord
    info: DetectionRecord

    @property
    def method(self) -> str:
        """Name of the detector."""
        return self.info.method

    @property
    def classes(self) -> tuple[str, ...]:
        """C names."""
        return self.info.classes

    @property
    def threshold(self) -> float:
        """The score from which a label is called right."""
        return self.info.threshold.value

    @property
    def held_out(self) -> tuple[str, ...]:
        """Classes whose verification was withheld."""
        return self.info.held_out.classes


def write_detection(work: Path, info: DetectionRecord, labels: ScoredLabels) -> None:
    """Write the three files into ``work``; ``labels`` may be in any order."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    # Worst first; of equal scores, the one whose key comes first, so that the order is the scores' alone.
    sorting = pa.table({"score": arrow_numbers(labels.score), "key": arrow_texts(labels.keys.tolist())})
    order = numpy_numbers(pc.sort_indices(sorting, [("score", "ascending"), ("key", "ascending")]))

    def words(known: Sequence[str], codes: np.ndarray) -> Any:
        return arrow_names(known, codes[order])

    def strings(values: np.ndarray) -> Any:
        return arrow_texts(values[order].tolist())

    def numbers(values: np.ndarray) -> Any:
        return arrow_numbers(values[order].astype(np.float32), np.isnan(values[order]))

    table = pa.table(
        {
            "key": strings(labels.keys),
            "path": strings(labels.paths),
            "split": strings(labels.splits),
            "label": words(list(info.classes), labels.noisy),
            "verified": words(_WORDS, labels.verified),
            "score": numbers(labels.score),
            "verdict": words(_WORDS, labels.verdict),
            "measured": words(_WORDS, labels.measured),
            "probability": numbers(labels.probability),
            "suggested": words(list(info.classes), labels.suggested),
            "suggested_probability": numbers(labels.suggested_probability),
        },
        schema=_schema(),
    )
    with atomic_path(work / NOISE) as temporary:
        pq.write_table(table, temporary)
    write_csv(work / NOISE_CSV, COLUMNS, _csv_rows(table))
    info.write(work / DETECTION)


def _csv_rows(table: Any) -> Iterator[list[Any]]:
    """The rows of a table, some in memory at a time; float32 has seven digits that mean something."""
    for batch in table.to_batches(_CSV_ROWS):
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            yield [f"{cell:.7g}" if isinstance(cell, float) else cell for cell in row]


def read_detection(path: Path | str) -> Detection:
    """The finished detection at ``path``.

    Raises:
        NlcliError: not a detection, one of another format, or its files are damaged.
    """
    import pyarrow.compute as pc

    record = read_stage(path, "detection")
    content = read_json(record.path / DETECTION)
    if isinstance(content, dict) and content.get("task") == "multi-label":
        raise NlcliError(f"{path} is a detection of tags, several labels an image; here one of single labels is needed")
    info = DetectionRecord.read(record.path / DETECTION)
    where = record.path / NOISE
    table = read_own_table(where, "run detect-noise again", schema=_schema())

    def codes(name: str, known: Sequence[str], *, empty: bool) -> np.ndarray:
        column = table.column(name)
        places = pc.index_in(column, value_set=arrow_texts(known))
        if places.null_count > (column.null_count if empty else 0):
            raise NlcliError(f"{where}: column '{name}' has a value that it cannot have; run detect-noise again")
        return numpy_numbers(places, -1)

    def numbers(name: str) -> np.ndarray:
        return numpy_numbers(table.column(name), np.nan)

    return Detection(
        record=record,
        info=info,
        keys=numpy_texts(table.column("key")),
        paths=numpy_texts(table.column("path")),
        splits=numpy_texts(table.column("split")),
        noisy=codes("label", info.classes, empty=False).astype(np.int64),
        verified=codes("verified", _WORDS, empty=True).astype(np.int8),
        score=numpy_numbers(table.column("score"), np.nan),
        verdict=codes("verdict", _WORDS, empty=False).astype(np.int8),
        measured=codes("measured", _WORDS, empty=True).astype(np.int8),
        probability=numbers("probability"),
        suggested=codes("suggested", info.classes, empty=True).astype(np.int64),
        suggested_probability=numbers("suggested_probability"),
    )


def read_weights(path: Path | str, keys: np.ndarray, kind: Literal["soft", "hard"]) -> np.ndarray:
    """Weights of images for a classifier's loss, from a detection: float32 (n,).

    Args:
        path: Directory of a detection.
        keys: (n,) keys of images with a noisy label.
        kind: ``soft``: max(0, score) (Lee 2018 eq. 12); ``hard``: 1 where the score reaches the
            threshold, else 0 (eq. 13).

    Raises:
        NlcliError: not a detection, one without a score for one of the images, or soft weights of a
            detector whose score is none.
    """
    detection = read_detection(path)
    if kind == "soft" and not detection.info.soft:
        raise NlcliError(
            f"{path}: the score of {detection.method} is no weight between 0 and 1; use hard weights, or a detection "
            "by cleannet"
        )
    position = rows_of(detection.keys, keys)
    missing = np.flatnonzero(position < 0)
    if len(missing):
        raise NlcliError(
            f"{path} has no score of {len(missing):,} of {len(keys):,} images (such as '{keys[missing[0]]}'); "
            "run detect-noise on this data set and these features"
        )
    if kind == "soft":
        weights = np.clip(detection.score[position], 0, 1)
    else:
        weights = detection.verdict[position]
    return np.asarray(weights, np.float32)


def _schema() -> Any:
    import pyarrow as pa

    return pa.schema([(name, pa.float32() if name in _NUMBERS else pa.string()) for name in COLUMNS])
