"""Data sets with planted noise and detections whose probabilities are made up, for tests of cleaned labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nlcli.data.detection_files import NOISE
from nlcli.data.labels import LabelTable, single_label_table
from worlds.made_detections import made_dataset, made_detection


@dataclass(frozen=True)
class Planted:
    """Images with a noisy and a true class, and what a detection would say of them.

    Attributes:
        own: (n,) probability that the noisy label is right.
        suggested, probability: (n,) another class, and the probability that it is right.
    """

    table: LabelTable
    true: np.ndarray
    own: np.ndarray
    suggested: np.ndarray
    probability: np.ndarray


def planted(
    images: int = 600, classes: int = 4, verified: int = 200, seed: int = 0, sharper: float = 1.0, root: str = "/images"
) -> Planted:
    """Images whose class probabilities are known and from whose distribution the truth is drawn.

    The noisy label is the truth or, for a third of the images, another class. The first ``verified`` images are
    verified, every other one of them in validation; the last fiftieth is test.

    Args:
        sharper: By how much probabilities promise too much: their log-odds are multiplied by it.
    """
    rng = np.random.default_rng(seed)
    chance = rng.dirichlet(np.full(classes, 0.35), images)
    true = (chance.cumsum(1) < rng.random((images, 1))).sum(1).clip(0, classes - 1)
    noisy = np.where(rng.random(images) < 1 / 3, rng.integers(0, classes, images), true)
    flip = np.full((classes, classes), 1 / 3 / classes) + np.eye(classes) * 2 / 3
    posterior = chance * flip[:, noisy].T
    posterior = posterior / posterior.sum(1, keepdims=True)
    posterior = posterior**sharper
    posterior /= posterior.sum(1, keepdims=True)
    at = np.arange(images)
    own = posterior[at, noisy]
    others = posterior.copy()
    others[at, noisy] = -1
    suggested = others.argmax(1)
    split = np.zeros(images, int)
    split[:verified:2] = 1
    split[images - images // 50 :] = 2
    known = np.full(images, -1)
    known[:verified] = true[:verified]
    known[split == 2] = true[split == 2]
    names = tuple(f"class {i}" for i in range(classes))
    keys = [f"k{i:05d}.jpg" for i in range(images)]
    table = single_label_table(names, keys, keys, Path(root), split, noisy, known)
    return Planted(table, true, own, suggested, others[at, suggested])


def detected(folder: Path, world: Planted, *, truth: bool = True, held_out: tuple[str, ...] = ()) -> tuple[Path, Path]:
    """The data set and the detection as directories."""
    from nlcli.data.label_files import read_dataset

    dataset = made_dataset(folder / "dataset", world.table, world.true.tolist() if truth else None)
    table = read_dataset(dataset)
    detection = made_detection(
        folder / "detection", dataset, table, world.own.tolist(), method="knn", held_out=held_out
    )
    add_suggestions(detection, world)
    return dataset, detection


def add_suggestions(detection: Path, world: Planted) -> None:
    """Probabilities and suggested classes as columns of ``noise.parquet``."""
    rows = pq.read_table(detection / NOISE)
    place = [int(key[1:6]) for key in rows.column("key").to_pylist()]
    names = [world.table.classes[world.suggested[i]] for i in place]
    values = {
        "probability": pa.array(world.own[place], pa.float32()),
        "suggested": pa.array(names, pa.string()),
        "suggested_probability": pa.array(world.probability[place], pa.float32()),
    }
    for name, column in values.items():
        if name in rows.column_names:
            rows = rows.drop_columns([name])
        rows = rows.append_column(name, column)
    pq.write_table(rows, detection / NOISE)
