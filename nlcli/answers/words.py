"""Answers in words: a class of an image, and whether it is there.

On one label an image a word is the true class, or of the noisy label alone that it is wrong (or, marked so, right). On
several labels it is one of the classes that were answered. A box that was asked about and is not ticked is a class
that is not there; of a class that was not asked about, nothing is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from nlcli.answers.answer import Answer
from nlcli.answers.config import Scope
from nlcli.answers.queue import Asked
from nlcli.data.class_names import means_no_label
from nlcli.data.exports.exported_image import xml_names
from nlcli.data.labels import LabelTable, noisy_classes
from nlcli.data.lists import shown
from nlcli.errors import NlcliError, unknown_name

State = Literal[
    "used",
    "older",
    "outvoted",
    "undecided",
    "not asked",
    "not the final one",
    "chosen by score",
    "skipped",
    "not looked at",
]
"""What became of a word."""
NOTHING = -1


@dataclass(eq=False)
class Word:
    """One class of one answer.

    Attributes:
        answer: Number of the answer.
        row: Of the image.
        of_class: ``NOTHING`` of an answer that says nothing.
        there: 1 or 0; ``NOTHING`` of an answer that says nothing.
        state: What became of it.
        marked: The noisy label was only called right or wrong, so that no true class was chosen.
    """

    answer: int
    row: int
    of_class: int
    there: int
    state: State = "used"
    marked: bool = False


class Words:
    """Turns answers into words.

    Args:
        asked: By row, what a queue asked.
        scope: What a class means that is not ticked.

    Attributes:
        complete: Answers that tell of every class of their image.
    """

    def __init__(self, table: LabelTable, asked: Mapping[int, Asked], scope: Scope) -> None:
        self._table, self._asked, self._scope = table, asked, scope
        self._number = dict(zip(xml_names(table.classes), range(table.num_classes), strict=True))
        self._number |= {name: i for i, name in enumerate(table.classes)}
        single = table.task == "single-label"
        self._noisy = noisy_classes(table) if single else np.zeros(0, np.int64)
        self.complete: set[int] = set()

    def of(self, number: int, answer: Answer, row: int) -> list[Word]:
        """The words of ``answer``, the ``number``-th, on the image ``row``.

        Raises:
            NlcliError: a class is unknown, it contradicts itself, or nothing tells what was asked.
        """
        if answer.state != "answered":
            return [Word(number, row, NOTHING, NOTHING, answer.state)]
        present = {self._class(name, answer) for name in answer.present}
        absent = {self._class(name, answer) for name in answer.absent}
        if present & absent:
            name = self._table.classes[min(present & absent)]
            raise NlcliError(f"{answer.where}: '{shown(name)}' is said to be there and not to be there; correct it")
        if self._table.task == "single-label":
            words = self._one_label(number, answer, row, present, absent)
        else:
            words = self._several(number, answer, row, present, absent)
        return words or [Word(number, row, NOTHING, NOTHING, "not looked at")]

    def _class(self, name: str, answer: Answer) -> int:
        number = self._number.get(name)
        if number is None:
            if means_no_label(name):
                raise NlcliError(
                    f"{answer.where}: '{shown(name)}' reads as if nothing were said; empty the cell, or skip"
                )
            raise NlcliError(f"{answer.where}: {unknown_name(name, self._table.classes, 'class')}")
        return number

    def _boxes(self, answer: Answer, row: int) -> set[int]:
        """Classes that were asked about."""
        if answer.asked is not None:
            return {self._class(name, answer) for name in answer.asked}
        if row in self._asked:
            return set(self._asked[row].classes)
        raise NlcliError(
            f"{answer.where}: nothing tells which classes were asked about; pass the queue as --suggestion, or say "
            "what a class means that is not ticked: --scope all or --scope listed"
        )

    def _several(self, number: int, answer: Answer, row: int, present: set[int], absent: set[int]) -> list[Word]:
        words = [Word(number, row, c, 0) for c in sorted(absent)]
        if self._scope == "all" or answer.complete:
            self.complete.add(number)
            asked = set(self._asked[row].classes) if row in self._asked else set()
            others = (asked | set(self._table.noisy[[row]].indices.tolist())) - present - absent
            words += [Word(number, row, c, 1) for c in sorted(present)]
            words += [Word(number, row, c, 0) for c in sorted(others)]  # of the rest, ``complete`` tells
            return words
        if self._scope == "listed" or answer.asked == ():  # a table says of each row whether the class is there
            return words + [Word(number, row, c, 1) for c in sorted(present)]
        boxes = self._boxes(answer, row)
        words += [Word(number, row, c, 1, "used" if c in boxes else "not asked") for c in sorted(present)]
        return words + [Word(number, row, c, 0) for c in sorted(boxes - present - absent)]

    def _one_label(self, number: int, answer: Answer, row: int, present: set[int], absent: set[int]) -> list[Word]:
        noisy = int(self._noisy[row])
        if len(present) > 1:
            raise NlcliError(f"{answer.where}: two classes are said of an image that has one; keep one of them")
        if answer.right >= 0 and noisy < 0:
            raise NlcliError(f"{answer.where}: the image has no noisy label to be right or wrong")
        if present:
            (true,) = present
            if answer.right >= 0 and (true == noisy) != (answer.right == 1):
                raise NlcliError(f"{answer.where}: label and right contradict each other; correct one of the two")
            return [Word(number, row, true, 1)]
        if answer.right >= 0:
            return [Word(number, row, noisy, answer.right, marked=True)]
        if noisy < 0 or self._scope == "listed":
            return [Word(number, row, noisy, 0, marked=True)] if noisy in absent else []
        unticked = noisy in absent or self._scope == "all" or (not absent and noisy in self._boxes(answer, row))
        return [Word(number, row, noisy, 0, marked=True)] if unticked else []
