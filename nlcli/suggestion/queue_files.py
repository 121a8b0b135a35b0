"""What the suggest stage writes.

==================== ==========================================================================
``suggestion.json``  how the queue was chosen, and what checking it is expected to bring
``queue.parquet``    a row an image, the first one to check first
``queue.csv``        the same for spreadsheets
``answers.csv``      the rows to fill in, for import-verification (or ``--checked`` of build-folders and build-tags)
``exports/``         the same questions for annotation programs, where they are asked for
==================== ==========================================================================

Columns of the queue: key, path, split, how (``random``; ``errors`` or ``uncertain``: chosen by score), chance (of being
drawn at random, empty for those chosen by score), expected_errors, classes (that are asked about, with ``|`` between
and ``\\|`` and ``\\\\`` in a name), reason, and of several labels sampled (one of the classes that is not in question)
and sampled_of (how many such tags it was drawn from).

Columns of ``answers.csv``: on one label an image path and label (the true class, empty until somebody tells it), and
beside them the noisy label and the suggested class, which say nothing and spare typing; on several a row a class that
is asked about: path, label, right (1 if it is in the image, 0 if not, empty until somebody looks) and verified
(``listed``: nothing is said of other classes).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from nlcli.data.labels import Task
from nlcli.stages.files import atomic_path, write_csv
from nlcli.stages.records import Record
from nlcli.suggestion.config import Goal
from nlcli.suggestion.questions import Question

SUGGESTION, QUEUE, QUEUE_CSV, ANSWERS = "suggestion.json", "queue.parquet", "queue.csv", "answers.csv"
COLUMNS = ("key", "path", "split", "how", "chance", "expected_errors", "classes", "probabilities", "given", "reason")
SHEET = ("path", "label", "noisy_label", "suggested")
SAMPLED = ("sampled", "sampled_of")
"""Columns of several labels; queues from before 0.2.0 have none."""


class GainPoint(BaseModel):
    """A classifier of some checked images: how many, its top-1 or mean of AP_all and mAP, the 95 % interval."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    images: int
    value: float
    low: float
    high: float


class GainRecord(BaseModel):
    """What checking has brought a classifier; see ``nlcli.estimation.checking_curve``.

    Attributes:
        metric: What is measured.
        judged: Checked images of train and validation, by which it is.
        points: A quarter of them checked, a half, all.
        doubling: What the last doubling brought, with its interval.
        queue: What the images of the queue bring, if doublings go on to bring as much: about the most to expect.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: Literal["top_1", "mean of AP_all and mAP"]
    judged: int
    points: tuple[GainPoint, ...]
    doubling: tuple[float, float, float]
    queue: tuple[float, float, float]


class SuggestionRecord(Record):
    """What ``suggestion.json`` says.

    Attributes:
        goal, splits, seed: As asked for.
        method: Of the detection.
        may_be_asked: Images that nobody has checked, in these splits and in the detection.
        given: Their labels that the detection has a probability of; None in a queue from before this was told.
        images, at_random: In the queue, and those of them that were drawn at random.
        passed_over: Near-duplicates of images in the queue that were left out of it.
        expected_errors: Expected number of wrong labels in the queue, of several labels of wrong and missing tags; None
            where the detection has no probabilities.
        random_expected_errors: The same of as many images drawn at random.
        gain: What checking has brought a classifier so far; None without features, or where too little is checked.
        remarks: Sentences on what should not be taken as it is.
    """

    made_by: ClassVar[str] = "suggest"

    task: Task
    goal: Goal
    splits: tuple[str, ...]
    seed: int
    method: str
    may_be_asked: int
    given: int | None = None
    images: int
    at_random: int
    passed_over: int
    expected_errors: float | None
    random_expected_errors: float | None
    gain: GainRecord | None = None
    remarks: tuple[str, ...] = ()
    dataset_fingerprint: str
    source_fingerprint: str

    @property
    def ratio(self) -> float | None:
        """How many times as many wrong labels the queue is expected to hold as a random one."""
        if self.expected_errors is None or not self.random_expected_errors:
            return None
        return self.expected_errors / self.random_expected_errors


def write_queue(work: Path, queue: Sequence[Question], task: Task) -> None:
    """Write the queue, and the table to fill in."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = COLUMNS if task == "single-label" else (*COLUMNS, *SAMPLED)
    rows = [_cells(question)[: len(names)] for question in queue]
    kinds = {"chance": pa.float64(), "expected_errors": pa.float64(), "sampled_of": pa.int64()}
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in names])
    columns = [pa.array([row[i] for row in rows], schema.field(i).type) for i in range(len(names))]
    with atomic_path(work / QUEUE) as temporary:
        pq.write_table(pa.Table.from_arrays(columns, schema=schema), temporary)
    told = ([f"{cell:.7g}" if isinstance(cell, float) else cell for cell in row] for row in rows)
    write_csv(work / QUEUE_CSV, names, told)
    if task == "single-label":
        write_csv(work / ANSWERS, SHEET, _label_answers(queue))
    else:
        write_csv(work / ANSWERS, ("path", "label", "right", "verified"), _tag_answers(queue))


def _cells(question: Question) -> tuple[Any, ...]:
    return (
        question.key,
        question.path,
        question.split,
        question.how,
        question.chance,
        question.expected_errors,
        _names(question.classes),
        "|".join("" if math.isnan(chance) else f"{chance:.7g}" for chance in question.chances),
        _names(question.given),
        question.reason,
        question.sampled,
        question.sampled_of,
    )


def _names(names: Sequence[str]) -> str:
    return "|".join(name.replace("\\", "\\\\").replace("|", "\\|") for name in names)


def _label_answers(queue: Sequence[Question]) -> Iterator[tuple[str, ...]]:
    for question in queue:
        noisy, suggested = [*question.classes, ""][:2]
        yield question.path, "", noisy, suggested


def _tag_answers(queue: Sequence[Question]) -> Iterator[tuple[str, str, str, str]]:
    for question in queue:
        for name in question.classes:
            yield question.path, name, "", "listed"
