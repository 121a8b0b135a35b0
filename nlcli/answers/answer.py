"""What one person said of one image, as every format of answers gives it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["answered", "skipped", "not looked at"]
MOST = 1_000_000
"""Answers of one import: they take about a gigabyte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one person said of one image.

    Attributes:
        where: The file and the place in it.
        file: Name of the file, with folders where another file of answers has the same.
        key, path: Of the image, as they are written; one of them may be empty.
        who, when: The person and the time, as they are written; empty where that is not told.
        state: Skipped ones, and those that nobody looked at, say nothing of the image.
        present, absent: Classes that are said to be there, and not to be there.
        asked: Classes whose boxes the person saw, where the file tells of them.
        right: Of one label an image, whether the noisy label is right: 1, 0, or -1 where that is not said.
        complete: Whether all other classes were seen to be absent.
        final: Marked as the truth: other answers to the image do not count.
        given: Noisy labels among the classes that are asked about, where the file tells of them.
        dataset: Fingerprint of the data set that was asked about, where the file tells it.
    """

    where: str
    file: str
    key: str = ""
    path: str = ""
    who: str = ""
    when: str = ""
    state: State = "answered"
    present: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    asked: tuple[str, ...] | None = None
    right: int = -1
    complete: bool = False
    final: bool = False
    given: tuple[str, ...] | None = None
    dataset: str = ""
