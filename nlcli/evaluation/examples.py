"""Images with their top predictions."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nlcli.data.labels import LabelTable
from nlcli.drawing import SIGNS, cut, key_end, photograph_grid
from nlcli.evaluation.score_files import StoredScores, read_images
from nlcli.metrics.arrays import Floats, Ints
from nlcli.metrics.formats import exact
from nlcli.networks.photographs import read_photograph
from nlcli.stages.files import write_csv

_TOP = 5


@dataclass(frozen=True)
class Prediction:
    """What a model says of one class of an image.

    Attributes:
        verdict: right, wrong or unverified; missed where it is right and not among the top.
        noisy: The image is labelled with the class; known where ``Example.of`` was given its labels.
        share: Of the sum of the image's scores, by which models of single-label data can be set side by side.
        change: ``share`` less the baseline's.
    """

    name: str
    score: float
    verdict: str
    rank: int
    noisy: bool = False
    share: float | None = None
    change: float | None = None


@dataclass(frozen=True)
class Example:
    """An image with its top predictions and the verified classes that are not among them.

    Attributes:
        labels: The classes that it is labelled with, where they were given.
        labelled: What the model says of those that are not among the top.
    """

    key: str
    path: Path
    top: tuple[Prediction, ...]
    missed: tuple[str, ...]
    labels: tuple[str, ...] = ()
    labelled: tuple[Prediction, ...] = ()

    @classmethod
    def of(
        cls,
        key: str,
        path: Path,
        classes: Sequence[str],
        image: StoredScores,
        labels: Collection[int] | None = None,
        baseline: StoredScores | None = None,
    ) -> Example:
        """The top predictions of an image, each right, wrong or unverified.

        Args:
            labels: Noisy classes of an image of single-label data; None leaves out what only such data have.
            baseline: What the baseline says of the same image; None of the baseline itself.
        """
        ranked = np.argsort(-image.scores, kind="stable").tolist()
        shares = None if labels is None else _shares(image)
        before = None if shares is None or baseline is None else _shares(baseline)

        def prediction(c: int, rank: int) -> Prediction:
            return Prediction(
                classes[c],
                float(image.scores[c]),
                ("right" if rank <= _TOP else "missed") if image.present[c] else _not_present(image, c),
                rank,
                c in (labels or ()),
                None if shares is None else float(shares[c]),
                None if shares is None or before is None else float(shares[c] - before[c]),
            )

        top = tuple(prediction(c, rank) for rank, c in enumerate(ranked[:_TOP], 1))
        missed = tuple(classes[c] for c in np.flatnonzero(image.present).tolist() if c not in ranked[:_TOP])
        labelled = tuple(prediction(c, ranked.index(c) + 1) for c in labels or () if c not in ranked[:_TOP])
        return cls(key, path, top, missed, tuple(classes[c] for c in labels or ()), labelled)

    @property
    def csv_rows(self) -> Iterator[tuple[int | str, str, str, str]]:
        """Rank, class, score and verdict of what was predicted, then of what was missed."""
        for prediction in self.top:
            yield prediction.rank, prediction.name, exact(prediction.score), prediction.verdict
        for name in self.missed:
            yield "", name, "", "missed"


def _not_present(image: StoredScores, c: int) -> str:
    return "wrong" if image.verified[c] else "unverified"


def _shares(image: StoredScores) -> Floats | None:
    """Scores divided by their sum; None of scores that have no shares."""
    scores = image.scores.astype(np.float64)
    return scores / scores.sum() if scores.min() >= 0 and scores.sum() > 0 else None


def draw_examples(images: Ints, count: int, seed: int) -> Ints:
    """At most ``count`` of ``images`` (those with a verified present class), at random, in their order."""
    count = min(count, len(images))
    drawn = np.random.default_rng([seed, 0x6578]).choice(len(images), count, replace=False)
    return images[np.sort(drawn)]


def draw_right_and_wrong(wrong: Ints, right: Ints, count: int, seed: int) -> Ints:
    """At most ``count`` of two kinds of images, at random, in their order: half of either, where there are as many."""
    of_wrong = min(len(wrong), max((count + 1) // 2, count - len(right)))
    of_right = min(len(right), count - of_wrong)
    rng = np.random.default_rng([seed, 0x7277])
    drawn = [rng.choice(wrong, of_wrong, replace=False), rng.choice(right, of_right, replace=False)]
    chosen: Ints = np.sort(np.concatenate(drawn))
    return chosen


def draw_by_labels(rows: Ints, true: Ints, noisy: Ints, count: int, seed: int) -> Ints:
    """At most ``count`` of ``rows``, whose classes are ``true`` and ``noisy`` (-1 where not known), in their order.

    Half of them have a wrong label, where there are as many of either kind.
    """
    known = (true >= 0) & (noisy >= 0)
    wrong = true != noisy
    return draw_right_and_wrong(rows[known & wrong], rows[known & ~wrong], count, seed)


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
        name = cut(prediction.name, 30)
        lines.append((f"{sign} {prediction.score:.2f}  {name}", color))
    if example.missed:
        missed = "missed: " + ", ".join(example.missed)
        lines += [(line, "0.25") for line in textwrap.wrap(missed, 40, max_lines=2, placeholder=" ...")]
    return lines
