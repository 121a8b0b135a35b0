"""What ``predict`` writes of an image: rows of CSV, a line of JSON, or a line of a table.

Long, with some classes, best first: the best ones, those from a threshold on, or those that it is decided to have.
Wide, with a column for each class: its score, or 1 and 0 where a threshold decides.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nlcli.errors import NlcliError
from nlcli.evaluation.config import Predict
from nlcli.evaluation.image_scorer import Values
from nlcli.metrics.arrays import Floats
from nlcli.metrics.formats import exact
from nlcli.stages.files import write_csv_rows

_MOST_WIDE = 60  # characters of an image's name in a table


@dataclass(frozen=True)
class ScoredImage:
    """One image's scores.

    Attributes:
        image: Its path in the folder, or the file as it was given.
        scores: ``(C,)`` float32; None where the image could not be read.
        error: Why not; None where it could.
    """

    image: str
    scores: Values | None
    error: str | None = None


@dataclass(frozen=True)
class Shown:
    """Which classes an image is shown with.

    Attributes:
        top: The best ones, where nothing decides.
        thresholds: ``(C,)`` scores from which on a class is given; None where none are.
    """

    top: int
    thresholds: Floats | None = None

    def given(self, scores: Values) -> np.ndarray:
        """``(C,)`` bool, in the order of the classes."""
        if self.thresholds is not None:
            return np.asarray(scores >= self.thresholds)
        given = np.zeros(len(scores), bool)
        given[np.argsort(-scores, kind="stable")[: self.top]] = True
        return given

    def classes(self, scores: Values) -> list[int]:
        """The same by number, the best first."""
        given = self.given(scores)
        return [int(c) for c in np.argsort(-scores, kind="stable") if given[c]]


class Rows:
    """The text of images in one format.

    Args:
        decided: Whether ``shown`` is a decision, which wide rows then hold instead of scores.
        longest: Characters of the longest name of an image, for the width of a table.
    """

    def __init__(self, config: Predict, classes: Sequence[str], shown: Shown, decided: bool, longest: int) -> None:
        self._classes, self._shown, self._decided, self._wide = tuple(classes), shown, decided, config.wide
        if config.wide and config.format == "table":
            raise NlcliError("--wide has a column for each class; pass --format csv or jsonl with it")
        self.text = {"csv": self._csv, "jsonl": self._jsonl, "table": self._table}[config.format]
        self.header = self._header() if config.format == "csv" else ""
        self._width = min(_MOST_WIDE, longest) if config.format == "table" else 0

    def _header(self) -> str:
        if self._wide:
            taken = {"image", "error"} & set(self._classes)
            if taken:
                raise NlcliError(f"a class is called '{taken.pop()}', as another column of --wide; pass --format jsonl")
            return _csv_text([["image", *self._classes, "error"]])
        return _csv_text([["image", "rank", "class", "score", "error"]])

    def _chosen(self, image: ScoredImage) -> list[tuple[str, float]]:
        if image.scores is None:
            return []
        return [(self._classes[c], float(image.scores[c])) for c in self._shown.classes(image.scores)]

    def _cells(self, scores: Values) -> list[Any]:
        """Of a wide row."""
        if self._decided:
            return [int(one) for one in self._shown.given(scores)]
        return [exact(float(score)) for score in scores]

    def _csv(self, image: ScoredImage) -> str:
        if self._wide:
            cells = [""] * len(self._classes) if image.scores is None else self._cells(image.scores)
            return _csv_text([[image.image, *cells, image.error or ""]])
        rows: list[Sequence[object]] = [
            (image.image, rank, name, exact(score), "") for rank, (name, score) in enumerate(self._chosen(image), 1)
        ]
        # Broken, or no class reaches the threshold: no image is without a row.
        return _csv_text(rows or [(image.image, "", "", "", image.error or "")])

    def _jsonl(self, image: ScoredImage) -> str:
        row: dict[str, Any] = {"image": image.image}
        if image.scores is None:
            row["error"] = image.error
        elif self._wide and self._decided:
            row["given"] = dict(zip(self._classes, self._cells(image.scores), strict=True))
        elif self._wide:
            scores = [round(float(score), 6) for score in image.scores]
            row["scores"] = dict(zip(self._classes, scores, strict=True))
        else:
            row["predictions"] = [{"class": name, "score": round(score, 6)} for name, score in self._chosen(image)]
        return json.dumps(row, ensure_ascii=False) + "\n"

    def _table(self, image: ScoredImage) -> str:
        if image.error is not None:
            told = f"error: {image.error}"
        else:
            told = "  ".join(f"{name} {score:.3f}" for name, score in self._chosen(image)) or "-"
        return f"{_clean(image.image):<{self._width}}  {told}\n"


def _csv_text(rows: Iterable[Sequence[object]]) -> str:
    file = io.StringIO(newline="")
    write_csv_rows(file, None, rows)
    return file.getvalue()


def _clean(name: str) -> str:
    """A file's name without what would steer a terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)
