"""Images with the scores that several detections give their labels: Lee et al. 2018, figure 7.

That figure sets CleanNet with the verification of all classes (F) beside the same under transfer (D), where the
verification of the image's class was withheld. So images come from classes that some detection held out, where there
are such, and half of them have a wrong label.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nlcli.data.label_files import dataset_blocks
from nlcli.drawing import BLUE, ORANGE, Photograph, cut, key_end, photograph_grid
from nlcli.evaluation.checked_labels import CheckedLabels
from nlcli.evaluation.examples import draw_right_and_wrong
from nlcli.metrics.formats import exact
from nlcli.networks.photographs import read_photograph
from nlcli.stages.files import write_csv

TABLE, PLOT = "examples.csv", "examples.png"
_MODELS = 8  # in the plot; the table has all


@dataclass(frozen=True)
class LabelExample:
    """An image's label, the truth, and what every detection says.

    Attributes:
        right: The label is the true class, as a person said.
        scores, called_right, held_out: Of every detection.
    """

    key: str
    label: str
    right: bool
    scores: tuple[float, ...]
    called_right: tuple[bool, ...]
    held_out: tuple[bool, ...]


def draw_label_examples(labels: Sequence[CheckedLabels], count: int, seed: int) -> list[LabelExample]:
    """At most ``count`` of the images, at random, in their order, half of them with a wrong label where there are such.

    Args:
        labels: Of every detection, of the same images in the same order.
    """
    first = labels[0]
    withheld = np.logical_or.reduce([each.held_out for each in labels])
    pool = withheld if withheld.any() else np.ones(len(first), bool)
    wrong, right = np.flatnonzero(pool & ~first.right), np.flatnonzero(pool & first.right)
    drawn = draw_right_and_wrong(wrong, right, count, seed)
    return [
        LabelExample(
            key=str(first.keys[i]),
            label=first.classes[first.noisy[i]],
            right=bool(first.right[i]),
            scores=tuple(float(each.score[i]) for each in labels),
            called_right=tuple(bool(each.called_right[i]) for each in labels),
            held_out=tuple(bool(each.held_out[i]) for each in labels),
        )
        for i in drawn.tolist()
    ]


def image_files(dataset: Path, keys: set[str]) -> dict[str, Path]:
    """The files of the images ``keys`` of a data set, a block of it in memory at a time."""
    return {
        key: block.image_path(row)
        for block in dataset_blocks(dataset)
        for row, key in enumerate(block.keys.tolist())
        if key in keys
    }


def write_label_examples(path: Path, models: Sequence[str], examples: Sequence[LabelExample]) -> None:
    """Write ``examples.csv``: a row an image and detection."""
    rows = (row for example in examples for row in _rows(models, example))
    write_csv(path, ["key", "label", "truth", "model", "score", "verdict", "class_held_out"], rows)


def _rows(models: Sequence[str], example: LabelExample) -> Iterator[tuple[object, ...]]:
    said = zip(models, example.scores, example.called_right, example.held_out, strict=True)
    for model, score, called_right, held_out in said:
        yield (
            example.key,
            example.label,
            _word(example.right),
            model,
            exact(score),
            _word(called_right),
            int(held_out),
        )


def _word(right: bool) -> str:
    return "right" if right else "wrong"


def label_examples_plot(
    models: Sequence[str], examples: Sequence[LabelExample], files: dict[str, Path], path: Path
) -> None:
    """Photographs with their label, what a person said of it, and the score and verdict of every detection."""
    photographs: list[Photograph | None] = [
        read_photograph(files[example.key]) if example.key in files else None for example in examples
    ]
    cells = [(photograph, _lines(models, example)) for photograph, example in zip(photographs, examples, strict=True)]
    photograph_grid(cells, path)


def _lines(models: Sequence[str], example: LabelExample) -> list[tuple[str, str]]:
    truth = ("verified: right", BLUE) if example.right else ("verified: wrong", ORANGE)
    lines = [(key_end(example.key), "0.5"), (f"'{cut(example.label, 33)}'?", "0.1")]
    lines.append(truth)
    said = zip(models[:_MODELS], example.scores, example.called_right, example.held_out, strict=False)
    for model, score, called_right, held_out in said:
        sign = "✓" if called_right == example.right else "✗"
        words = f"{sign} {score:+.2f} {_word(called_right)}{', class held out' if held_out else ''}"
        lines.append((words, BLUE if called_right == example.right else ORANGE))
        lines += [(f"    {part}", "0.4") for part in textwrap.wrap(model, 34, max_lines=2, placeholder=" ...")]
    return lines
