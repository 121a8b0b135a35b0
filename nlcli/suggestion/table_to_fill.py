"""A queue as a table to fill in, ``to_answer.csv``, for spreadsheets: who answered, when, and what was skipped as well.

One label an image: a row an image, in whose ``label`` the true class is written (or in ``right`` whether the noisy
label is right). Several: a row a class that is asked about, with ``right``: 1 if it is in the image, 0 if not.
``annotator``, ``time`` and ``skipped`` (1) may stay empty.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from nlcli.data.labels import LabelTable
from nlcli.stages.files import write_csv
from nlcli.suggestion.questions import Question

_WHO = ("annotator", "time", "skipped")
SINGLE = ("key", "path", "noisy_label", "suggested", "reason", "label", "right", *_WHO)
SEVERAL = ("key", "path", "label", "given", "reason", "right", *_WHO)


def write(folder: Path, queue: Sequence[Question], table: LabelTable) -> None:
    """Write the table."""
    single = table.task == "single-label"
    write_csv(folder / "to_answer.csv", SINGLE if single else SEVERAL, (_single if single else _several)(queue))


def _single(queue: Sequence[Question]) -> Iterator[Sequence[str]]:
    for question in queue:
        names = [*question.classes, ""][:2]
        yield question.key, question.path, *names, question.reason, "", "", "", "", ""


def _several(queue: Sequence[Question]) -> Iterator[Sequence[str]]:
    for question in queue:
        for name in question.classes:
            given = str(int(name in question.given))
            yield question.key, question.path, name, given, question.reason, "", "", "", ""
