"""Which references a class is seen by: Lee et al. 2018, figure 3.

That figure shows the images of a reference set that got the most and the least attention. Where references are
centroids, the training image of the class that lies nearest to each stands for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nlcli.data.labels import LabelTable
from nlcli.detection.base import Data
from nlcli.detection.references import References
from nlcli.drawing import BLUE, ORANGE, key_end, photograph_grid
from nlcli.metrics.formats import exact
from nlcli.networks.photographs import read_photograph
from nlcli.seeds import stream
from nlcli.stages.files import write_csv

TABLE, PLOT = "attention.csv", "attention.png"
_CLASSES = 4  # drawn by the seed
_MEANING = "a reference is the centre of similar training images; the one nearest to it is shown, and its attention"
_SHOWN = 4  # references with the most attention, and as many with the least


@dataclass(frozen=True)
class Attended:
    """The references of one class, by falling attention; the arrays are ``(k,)``.

    Attributes:
        attention: alpha of eq. (3), summing to 1.
        rows: Of the data set: the training image that lies nearest to each.
        distances: From there to it.
    """

    name: str
    attention: np.ndarray
    rows: np.ndarray
    distances: np.ndarray


def attended_references(data: Data, references: References, attention: np.ndarray, seed: int) -> list[Attended]:
    """Some classes that have several references, drawn by the seed, in their order.

    Args:
        attention: (C, K) that each reference gets.
        seed: That the references were made with.
    """
    several = np.flatnonzero(references.counts > 1)
    drawn = np.sort(stream(seed, "attention").permutation(several)[:_CLASSES])
    return [_of_class(data, references, attention[c], int(c), seed) for c in drawn]


def _of_class(data: Data, references: References, attention: np.ndarray, c: int, seed: int) -> Attended:
    positions = data.at_most(data.train.of_class(c), c, seed)  # those that the references were made of
    features = data.features(data.train, positions)
    order = np.argsort(-attention[: references.counts[c]], kind="stable")
    nearest, distances = np.empty(len(order), np.int64), np.empty(len(order))
    for place, k in enumerate(order):
        apart = np.linalg.norm(features - references.vectors[c, k], axis=1)
        nearest[place] = apart.argmin()
        distances[place] = apart[nearest[place]]
    return Attended(data.classes[c], attention[order], data.train.rows[positions[nearest]], distances)


def write_attended(work: Path, classes: Sequence[Attended], table: LabelTable) -> None:
    """``attention.csv`` with all references of the classes, and ``attention.png`` with the first and the last."""
    rows = (
        (one.name, rank, exact(float(share)), table.keys[row], exact(float(distance)))
        for one in classes
        for rank, (share, row, distance) in enumerate(zip(one.attention, one.rows, one.distances, strict=True), 1)
    )
    write_csv(work / TABLE, ["class", "rank", "attention", "nearest_image", "distance"], rows)
    shown = min(_SHOWN, *(len(one.rows) // 2 for one in classes))
    cells = []
    for one in classes:
        for place in (*range(shown), *range(len(one.rows) - shown, len(one.rows))):
            most, row = place < shown, int(one.rows[place])
            lines = [
                (key_end(one.name), "0.1"),
                (f"{'most' if most else 'least'}: {one.attention[place]:.4f}", BLUE if most else ORANGE),
                (key_end(str(table.keys[row])), "0.5"),
            ]
            cells.append((read_photograph(table.image_path(row)), lines))
    photograph_grid(cells, work / PLOT, columns=2 * shown, meaning=_MEANING)
