"""Answers in a table, CSV or Parquet: ``answers.csv`` or ``to_answer.csv`` of ``suggest``, filled in, or one like them.

One label an image: ``path`` or ``key``, and ``label`` (the true class) or ``right`` (whether the noisy one is right).
Several: a row a class, ``label``, with ``right``: 1 if it is in the image, 0 if not; ``verified`` may say ``full``. A
row with nothing filled in is no answer. ``annotator``, ``time`` and ``skipped`` may be there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from nlcli.answers.answer import Answer
from nlcli.data.labels import Task
from nlcli.data.lists import shown
from nlcli.data.marks import MARKS, YES
from nlcli.data.tables import read_rows, row_unit
from nlcli.errors import NlcliError

_COLUMNS = ("key", "path", "label", "right", "verified", "annotator", "time", "skipped")
_PASSED_OVER = ("noisy_label", "suggested", "given", "reason")
_VERIFIED = {"full": True, **dict.fromkeys(("listed", *YES, ""), False)}


def read_answers(path: Path, task: Task) -> Iterator[Answer]:
    """The answers of a table; of several labels an image, the rows of one person on one image are one answer.

    Raises:
        NlcliError: with the line (or the row), for what does not fit.
    """
    if task == "single-label":
        return _single(path)
    return _several(path)


def _rows(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The place and the cells of every row."""
    unit = row_unit(path)
    for number, row in read_rows(path, (*_COLUMNS, *_PASSED_OVER), ()):
        where = f"{path}, {unit} {number}"
        if "key" not in row and "path" not in row:
            raise NlcliError(f"{path} has neither the column 'path' nor 'key', by which an image is told; add one")
        if not row.get("key") and not row.get("path"):
            raise NlcliError(f"{where}: the image is not told; fill in path or key, or leave the row out")
        yield where, row


def _mark(row: dict[str, str], name: str, where: str) -> int:
    mark = MARKS.get(row.get(name, "").lower())
    if mark is None:
        raise NlcliError(f"{where}: {name} '{shown(row[name])}' is none of 1, yes, true, 0, no, false and empty")
    return mark


def _single(path: Path) -> Iterator[Answer]:
    for where, row in _rows(path):
        if "label" not in row and "right" not in row:
            raise NlcliError(f"{path} has neither the column 'label' nor 'right', one of which is the answer; add one")
        label, right = row.get("label", ""), _mark(row, "right", where)
        skipped = _mark(row, "skipped", where) == 1
        said = bool(label) or right >= 0
        yield Answer(
            where=where,
            file=path.name,
            key=row.get("key", ""),
            path=row.get("path", ""),
            who=row.get("annotator", ""),
            when=row.get("time", ""),
            state="skipped" if skipped else "answered" if said else "not looked at",
            present=(label,) if label else (),
            right=right,
            asked=(),
        )


@dataclass
class _Collected:
    where: str
    row: dict[str, str]
    present: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    skipped: bool = False
    complete: bool = False


def _several(path: Path) -> Iterator[Answer]:
    collected: dict[tuple[str, str, str], _Collected] = {}
    for where, row in _rows(path):
        for name in ("label", "right"):
            if name not in row:
                raise NlcliError(f"{path} has no column '{name}'; a row is a class, 'label', and whether it is there")
        who = (row.get("key", ""), row.get("path", ""), row.get("annotator", ""))
        one = collected.setdefault(who, _Collected(where, row))
        right = _mark(row, "right", where)
        if right >= 0:
            if not row["label"]:
                raise NlcliError(f"{where}: the class is not told; fill in label")
            (one.present if right else one.absent).append(row["label"])
        one.skipped |= _mark(row, "skipped", where) == 1
        complete = _VERIFIED.get(row.get("verified", "").lower())
        if complete is None:
            raise NlcliError(f"{where}: verified '{shown(row['verified'])}' is none of full, listed and empty")
        one.complete |= complete
        if row.get("time", "") > one.row.get("time", ""):
            one.row = row
    for one in collected.values():
        said = bool(one.present or one.absent)
        yield Answer(
            where=one.where,
            file=path.name,
            key=one.row.get("key", ""),
            path=one.row.get("path", ""),
            who=one.row.get("annotator", ""),
            when=one.row.get("time", ""),
            state="answered" if said else "skipped" if one.skipped else "not looked at",
            present=tuple(one.present),
            absent=tuple(one.absent),
            asked=(),
            complete=one.complete and said,
        )
