"""Images with their top predictions."""

from __future__ import annotations

import csv
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nlcli.data.labels import LabelTable
from nlcli.drawing import SIGNS, key_end, photograph_grid
from nlcli.evaluation.config import Evaluate
from nlcli.evaluation.models import _ROWS
from nlcli.networks.photographs import read_photograph
from nlcli.stages.files import atomic_path

_EXAMPLE_TOP = 5


# --- examples --------------------------------------------------------------------------------


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


def _examples(config: Evaluate, table: LabelTable, rows: np.ndarray, scores: Path) -> list[Example]:
    """Images drawn at random among those with a verified present class."""
    import pyarrow.parquet as pq

    labelled = rows[np.diff(table.present.indptr)[rows] > 0]
    count = min(config.examples, len(labelled))
    if not count:
        return []
    drawn = np.random.default_rng([config.seed, 0x6578]).choice(len(labelled), count, replace=False)
    chosen = labelled[np.sort(drawn)]
    position = {int(row): i for i, row in enumerate(rows)}
    wanted = [position[int(row)] for row in chosen]
    values: dict[int, np.ndarray] = {}
    first = 0
    with pq.ParquetFile(scores) as file:  # a block at a time: the scores may be larger than memory
        for batch in file.iter_batches(_ROWS, columns=["scores"]):
            for i in wanted:
                if first <= i < first + len(batch):
                    values[i] = np.array(batch.column(0)[i - first].as_py(), np.float32)
            first += len(batch)
    return [_example(table, int(row), values[i]) for row, i in zip(chosen, wanted, strict=True)]


def _example(table: LabelTable, row: int, scores: np.ndarray) -> Example:
    (present,), (verified,) = table.verified_targets(np.array([row]))
    return example_of(str(table.keys[row]), table.image_path(row), table.classes, scores, present, verified)


def example_of(
    key: str, path: Path, classes: Sequence[str], scores: np.ndarray, present: np.ndarray, verified: np.ndarray
) -> Example:
    """The top predictions of an image, each right, wrong or unverified; the arrays are ``(C,)``."""
    order = np.argsort(-scores, kind="stable")[:_EXAMPLE_TOP]
    top = tuple(
        Prediction(classes[c], float(scores[c]), "right" if present[c] else "wrong" if verified[c] else "unverified")
        for c in order
    )
    missed = tuple(classes[c] for c in np.flatnonzero(present).tolist() if c not in order)
    return Example(key, path, top, missed)


def _write_examples(path: Path, examples: list[Example]) -> None:
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["key", "rank", "class", "score", "verdict"])
        for example in examples:
            for rank, prediction in enumerate(example.top, 1):
                rows.writerow([example.key, rank, prediction.name, f"{prediction.score:.6f}", prediction.verdict])
            for name in example.missed:
                rows.writerow([example.key, "", name, "", "missed"])


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
