"""Images with their top predictions."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nlcli.data.labels import LabelTable
from nlcli.drawing import SIGNS, key_end, photograph_grid
from nlcli.evaluation.score_files import StoredScores, read_images
from nlcli.metrics.arrays import Ints
from nlcli.metrics.formats import exact
from nlcli.networks.photographs import read_photograph
from nlcli.stages.files import write_csv

_TOP = 5


@dataclass(frozen=True)
class Prediction:
    """One of an image's top classes; ``verdict`` is right, wrong or unverified."""

    name: str
    score: float
    verdict: str


@dataclass(frozen=True)
class Example:
    """An image with its top predictions and the verified classes that are not among them."""

    key: str
    path: Path
    top: tuple[Prediction, ...]
    missed: tuple[str, ...]

    @classmethod
    def of(cls, key: str, path: Path, classes: Sequence[str], image: StoredScores) -> Example:
        """The top predictions of an image, each right, wrong or unverified."""
        order = np.argsort(-image.scores, kind="stable")[:_TOP]
        top = tuple(
            Prediction(
                classes[c],
                float(image.scores[c]),
                "right" if image.present[c] else "wrong" if image.verified[c] else "unverified",
            )
            for c in order
        )
        missed = tuple(classes[c] for c in np.flatnonzero(image.present).tolist() if c not in order)
        return cls(key, path, top, missed)

    @property
    def csv_rows(self) -> Iterator[tuple[int | str, str, str, str]]:
        """Rank, class, score and verdict of what was predicted, then of what was missed."""
        for rank, prediction in enumerate(self.top, 1):
            yield rank, prediction.name, exact(prediction.score), prediction.verdict
        for name in self.missed:
            yield "", name, "", "missed"


def draw_examples(images: Ints, count: int, seed: int) -> Ints:
    """At most ``count`` of ``images`` (those with a verified present class), at random, in their order."""
    count = min(count, len(images))
    drawn = np.random.default_rng([seed, 0x6578]).choice(len(images), count, replace=False)
    return images[np.sort(drawn)]


def examples_of(table: LabelTable, rows: Ints, scores: Path, count: int, seed: int) -> list[Example]:
    """Examples among the table rows ``rows``, scored in the file ``scores``."""
    labelled = rows[np.diff(table.present.indptr)[rows] > 0]
    if not min(count, len(labelled)):
        return []
    paths = {str(table.keys[row]): table.image_path(int(row)) for row in draw_examples(labelled, count, seed)}
    images = read_images(scores, paths)  # not all: the scores may be larger than memory
    return [Example.of(key, path, table.classes, images[key]) for key, path in paths.items()]


def write_examples(path: Path, examples: Sequence[Example]) -> None:
    """Write ``examples.csv``."""
    rows = ((example.key, *row) for example in examples for row in example.csv_rows)
    write_csv(path, ["key", "rank", "class", "score", "verdict"], rows)


def examples_plot(examples: Sequence[Example], path: Path) -> None:
    """Photographs with their top predictions, marked right or wrong, and what was missed."""
    photograph_grid([(read_photograph(example.path), _texts(example)) for example in examples], path)


def _texts(example: Example) -> list[tuple[str, str]]:
    lines = [(key_end(example.key), "0.5")]
    for prediction in example.top:
        sign, color = SIGNS[prediction.verdict]
        name = textwrap.shorten(prediction.name, 30, placeholder=" ...")
        lines.append((f"{sign} {prediction.score:.2f}  {name}", color))
    if example.missed:
        missed = textwrap.shorten("missed: " + ", ".join(example.missed), 78, placeholder=" ...")
        lines += [(line, "0.25") for line in textwrap.wrap(missed, 40)]
    return lines
