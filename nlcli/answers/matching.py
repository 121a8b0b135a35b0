"""Answers and the images of a data set: by key or whole path, never by the name of a file alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from nlcli.answers import answer_table, cvat, label_studio
from nlcli.answers.answer import MOST, Answer
from nlcli.data.exports.exported_image import xml_names
from nlcli.data.labels import LabelTable, Task
from nlcli.data.lists import plain_path, shown
from nlcli.data.sources.base import enumerate_some
from nlcli.data.sources.checked_list import MOST_UNMATCHED, match_images
from nlcli.data.tables import is_parquet, require_file, text_encoding
from nlcli.errors import NlcliError
from nlcli.metrics.arrays import Ints
from nlcli.stages.foreign_files import FIRST_BYTES, encoding_of

_MOST_OTHERS = 0.5
"""Share of images whose noisy labels are others than were asked about, from which on it was another data set."""


def read_answers(path: Path, task: Task) -> Iterator[Answer]:
    """The answers in ``path``: JSON of Label Studio, XML of CVAT, else a table; told by how it begins, or its ending.

    Raises:
        NlcliError: with the place, for what does not fit.
    """
    require_file(path)
    first, kind = _first_sign(path), path.suffix.lower()
    if first == "[" or (kind == ".json" and first != "<"):
        return label_studio.read_answers(path)
    if first == "<" or kind == ".xml":
        return cvat.read_answers(path)
    return answer_table.read_answers(path, task)


def _first_sign(path: Path) -> str:
    """The first character of a text that is no space; empty where there is none.

    Raises:
        NlcliError: the file cannot be read, or is no text, such as an archive.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(FIRST_BYTES)
    except OSError as error:
        raise NlcliError(f"cannot read {path}: {error.strerror}") from error
    encoding = encoding_of(start) if is_parquet(path) else text_encoding(path, start)
    return start.decode(encoding, errors="ignore").lstrip("\ufeff \t\r\n")[:1]


def file_names(paths: Sequence[Path]) -> list[str]:
    """What each file is called: its name, with as many folders before it as tell it from the others.

    Raises:
        NlcliError: a file is given twice, so that each of its answers would count twice.
    """
    whole = [path.resolve() for path in paths]
    twice = next((path for i, path in enumerate(whole) if path in whole[:i]), None)
    if twice is not None:
        raise NlcliError(f"{twice} is given twice as --answers, and would count twice; leave one of the two out")
    names: list[str] = []
    for path in whole:
        tails = ("/".join(path.parts[-depth:]) for depth in range(1, len(path.parts) + 1))
        names.append(next(tail for tail in tails if sum(f"/{other}".endswith(f"/{tail}") for other in whole) == 1))
    return names


def read_all(paths: Sequence[Path], task: Task) -> list[Answer]:
    """The answers of all files, in their order.

    Raises:
        NlcliError: there are none, or too many to hold.
    """
    answers: list[Answer] = []
    for path, name in zip(paths, file_names(paths), strict=True):
        before = len(answers)
        for answer in read_answers(path, task):
            answers.append(answer if answer.file == name else replace(answer, file=name))
            if len(answers) > MOST:
                raise NlcliError(f"{path}: more than {MOST:,} answers; take them in in parts, one after the other")
        if len(answers) == before:
            raise NlcliError(f"{path} has no answers")
    return answers


def match(
    answers: Sequence[Answer], files: Sequence[Path], table: LabelTable, known: frozenset[str]
) -> tuple[Ints, list[tuple[str, str]]]:
    """The row of each answer's image, -1 for none; and the images that match none, with the file that names them.

    Args:
        files: Where the answers are from.
        known: Fingerprints of the data set and of those that it was made of.

    Raises:
        NlcliError: more than a hundredth of the images match none, or they are those of another data set.
    """
    row_of = dict(zip(table.keys.tolist(), range(len(table)), strict=True))
    by_path = _by_path(answers, files, table)
    rows = np.full(len(answers), -1, np.int64)
    for position, answer in enumerate(answers):
        of_path = by_path.get((answer.file, answer.path), -1)
        of_key = row_of.get(answer.key, -1) if answer.key else -1
        if of_key < 0 or of_path in (-1, of_key):  # else the key says one image and the path another
            rows[position] = of_path if of_key < 0 else of_key
    images = {(answer.key, answer.path) for answer in answers}
    lost: dict[tuple[str, str], str] = {}
    for position in np.flatnonzero(rows < 0).tolist():
        answer = answers[position]
        lost.setdefault((answer.key, answer.path), answer.file)
    if len(lost) > MOST_UNMATCHED * len(images):
        names = [shown(path or key) for key, path in lost]
        if all("\\" in (path or key) for key, path in lost):
            raise NlcliError(
                f"{len(lost):,} of {len(images):,} images that were answered are named with backslashes "
                f"({enumerate_some(names[:4], len(names))}); write / between folders"
            )
        raise NlcliError(
            f"{len(lost):,} of {len(images):,} images that were answered are not in the data set "
            f"({enumerate_some(names[:4], len(names))}), and more than one in a hundred is too many; give the data set "
            "that was asked about; an image is told by its key or its whole path, not by the name of its file"
        )
    _refuse_others(answers, rows, table, known)
    return rows, [(path or key, file) for (key, path), file in lost.items()]


def _by_path(answers: Sequence[Answer], files: Sequence[Path], table: LabelTable) -> dict[tuple[str, str], int]:
    """The row of every path in every file, -1 for none."""
    found: dict[tuple[str, str], int] = {}
    given: dict[str, dict[str, None]] = {}
    for answer in answers:
        if answer.path:
            given.setdefault(answer.file, {})[answer.path] = None
    own = [plain_path(path) for path in table.paths.tolist()]
    for where, name in zip(files, file_names(files), strict=True):
        paths = list(given.get(name, ()))
        rows = match_images(paths, own, table.image_root, where)
        found |= {(name, path): row for path, row in zip(paths, rows.tolist(), strict=True)}
    return found


def _refuse_others(answers: Sequence[Answer], rows: Ints, table: LabelTable, known: frozenset[str]) -> None:
    """Keys such as ``0001.jpg`` are in many data sets: noisy labels that were asked about tell them apart."""
    told = dict(zip(xml_names(table.classes), range(table.num_classes), strict=True))
    same = others = 0
    for answer, row in zip(answers, rows.tolist(), strict=True):
        if row < 0 or answer.given is None or answer.asked is None or answer.dataset in known:
            continue
        asked = {told.get(name, -1) for name in answer.asked}
        noisy = set(table.noisy[[row]].indices.tolist())
        if {told.get(name, -1) for name in answer.given} == asked & noisy:
            same += 1
        else:
            others += 1
    if others > _MOST_OTHERS * (same + others):
        raise NlcliError(
            f"{others:,} of {same + others:,} answered images had other noisy labels when they were asked about; these "
            "are answers on another data set"
        )
