"""``export.json``: all that somebody needs who runs an exported model, and who wants to know where it comes from."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, cast

import numpy as np
from pydantic import BaseModel, ConfigDict

from nlcli.data.labels import Task
from nlcli.errors import NlcliError, printable, sentence
from nlcli.evaluation.decision_thresholds import DecisionThresholds
from nlcli.evaluation.metrics_file import Estimate
from nlcli.networks.model_formats import FORMATS, Apply, Format
from nlcli.networks.preprocessing import Preprocessing
from nlcli.runtime import chatter_held_back
from nlcli.stages.records import ClassText, Record

EXPORT = "export.json"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(_Part):
    """What was exported.

    Attributes:
        directory: Name of the run's or backbone's directory.
        fingerprint: Of its content.
        method, score: Of a run, and which of its scores.
        network: That reads the images; None of a head alone.
        dataset: Name of the data set; None where it tells none or is gone.
        images: That it was trained on: V (``clean``) and with a noisy label (``noisy``); None where it is not told.
    """

    directory: str
    kind: Literal["run", "backbone"]
    fingerprint: str
    method: str | None
    score: str
    network: str | None
    dataset: str | None
    images: dict[str, int] | None


class Given(_Part):
    """The input.

    Attributes:
        name: ``images``, uint8 RGB of any number of rows (n, S, S, 3), or ``features``, float32 (n, D).
        shape: Of a row.
        preprocessing: How a file becomes a row of images; None of features.
    """

    name: Literal["images", "features"]
    dtype: Literal["uint8", "float32"]
    shape: tuple[int, ...]
    preprocessing: Preprocessing | None


class Checked(_Part):
    """What the written model was held against.

    Attributes:
        tolerance: Most that a score may differ from that of ``predict``.
        difference: The most that one did.
        made_up, validation: Rows that it was tried on: those of ``test_vectors.npz``, and of validation.
        precision, dtype: Of the features as ``predict`` has them; the model computes in float32.
    """

    tolerance: float
    difference: float
    made_up: int
    validation: int
    precision: str
    dtype: str


class HowGood(_Part):
    """Metrics of the exported score on a split.

    Attributes:
        metrics: By name.
        chose: Whether the split chose the weights, so that its figures are a little too good.
    """

    split: str
    images: int
    metrics: dict[str, Estimate]
    chose: bool


class ExportRecord(Record):
    """An exported model.

    Attributes:
        format, file: Of the model.
        task: Whether an image has several classes or one.
        classes: In the order of the scores.
        thresholds: Of several labels an image: from which scores on classes are given. None where the best class is
            the answer, or where nothing verified chooses them.
        unchosen: Why validation chose no thresholds and measured nothing.
        measured: On validation, and in the evaluation that was named.
        libraries: Versions of what wrote and ran the model.
    """

    made_by: ClassVar[str] = "export-model"

    format: str
    file: str
    source: Source
    given: Given
    output: str
    task: Task
    classes: tuple[ClassText, ...]
    thresholds: DecisionThresholds | None
    unchosen: str | None
    measured: tuple[HowGood, ...]
    checked: Checked
    libraries: dict[str, str]


def open_exported(path: Path) -> tuple[ExportRecord, Apply]:
    """What ``export.json`` says of the model in the directory ``path``, and the model: rows to scores (n, C) float32.

    Raises:
        NlcliError: a format of another version, a package that is missing, or a model that is damaged or does not give
            a score for each class.
    """
    record = ExportRecord.read(path / EXPORT)
    format = FORMATS.get(cast(Format, record.format))
    if format is None:
        raise NlcliError(f"{path / EXPORT}: the format '{printable(record.format)}' is not known here; export it again")
    format.require(f"the {record.format} model in {path}")
    model, expected = path / format.file, len(record.classes)
    with sentence(f"{model} cannot be run; export it again"), chatter_held_back():
        apply = format.open(model)
        shape = apply(np.zeros((1, *record.given.shape), record.given.dtype)).shape
    if shape != (1, expected):
        raise NlcliError(f"{model} gives scores of shape {shape}, not of {expected} classes; export it again")
    return record, apply
