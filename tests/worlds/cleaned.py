"""Data sets with planted noise and detections whose probabilities are made up, for tests of cleaned labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nlcli.data.labels import FULL, LabelTable, matrix_from_lists, single_label_table
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


def detected(
    folder: Path,
    world: Planted,
    *,
    truth: bool = True,
    held_out: tuple[str, ...] = (),
    score: list[float] | None = None,
) -> tuple[Path, Path]:
    """The data set and the detection as directories; labels of a ``score`` below 0.5 are called wrong."""
    from nlcli.data.label_files import read_dataset

    dataset = made_dataset(folder / "dataset", world.table, world.true.tolist() if truth else None)
    table = read_dataset(dataset)
    detection = made_detection(
        folder / "detection",
        dataset,
        table,
        world.own.tolist() if score is None else score,
        method="knn",
        held_out=held_out,
        probability=world.own.tolist(),
        suggested=world.suggested.tolist(),
        suggested_probability=world.probability.tolist(),
    )
    return dataset, detection


def tag_world(images: int = 400, classes: int = 5, seed: int = 0) -> tuple[LabelTable, np.ndarray, np.ndarray]:
    """Images of several labels, their truth (n, C), and the probability of every class.

    The first half is fully verified, every fourth of these in validation; tags are wrong in a fifth of the entries.
    """
    rng = np.random.default_rng(seed)
    chance = rng.beta(0.25, 0.6, (images, classes))
    truth = rng.random(chance.shape) < chance
    given = truth ^ (rng.random(chance.shape) < np.where(truth, 0.3, 0.12))
    known = np.arange(images) < images // 2
    table = LabelTable(
        task="multi-label",
        classes=tuple(f"tag {c}" for c in range(classes)),
        keys=np.array([f"k{i:05d}.jpg" for i in range(images)], object),
        paths=np.array([f"k{i:05d}.jpg" for i in range(images)], object),
        image_root=Path("/images"),
        split=np.where(known & (np.arange(images) % 4 == 0), 1, 0).astype(np.int8),
        noisy=matrix_from_lists([np.flatnonzero(row).tolist() for row in given], classes, given_ones(given)),
        present=matrix_from_lists(
            [np.flatnonzero(row & k).tolist() for row, k in zip(truth, known, strict=True)], classes
        ),
        absent=matrix_from_lists([[]] * images, classes),
        verification=np.where(known, FULL, 0).astype(np.uint8),
    )
    like = np.where(given, 0.7 / 0.12, 0.3 / 0.88)  # how much likelier the tag is where the class is there
    odds = chance / (1 - chance) * like
    return table, truth, odds / (1 + odds)


def tag_dataset(output: Path, table: LabelTable, truth: np.ndarray) -> Path:
    """A data set directory of several labels an image that knows the truth."""
    from scipy.sparse import csr_array

    from nlcli.data.label_files import write_dataset
    from nlcli.data.true_tags import write_true_tags
    from nlcli.stages.stage import open_stage
    from worlds.stage_builders import MakeConfig

    with open_stage("dataset", MakeConfig(output=output, size=len(table)), {}) as stage:
        write_dataset(stage.work, table, {"name": "tags", "source": "made by a test"})
        write_true_tags(stage.work, table.keys, csr_array(truth.astype(np.uint8)), np.ones(len(table), bool))
        stage.finish({"images": len(table)})
    return output


def given_ones(given: np.ndarray) -> list[list[float]]:
    """A confidence of 1 for every tag."""
    return [[1.0] * int(row.sum()) for row in given]


def tag_detection(output: Path, dataset: Path, probability: np.ndarray, *, by_run: bool = False) -> Path:
    """A detection of tags: every given one and all missing ones from 0.05 on."""
    from nlcli.data.detection_files import DETECTION, CleanSet
    from nlcli.data.label_files import read_dataset
    from nlcli.data.tag_detection_files import (
        MeasuredEntries,
        MeasuredShare,
        MeasuredTags,
        TagCalibration,
        TagDetectionRecord,
        TagDetectionWriter,
        TagEntries,
        TagThreshold,
    )
    from nlcli.stages.stage import open_stage, read_stage
    from worlds.made_evaluations import made_run
    from worlds.stage_builders import MakeConfig

    table = read_dataset(dataset)
    given = table.noisy.toarray() > 0
    row, column = np.nonzero(given | (probability >= 0.05))
    v, mask = table.verified_targets(np.arange(len(table)))
    chance = probability[row, column].astype(np.float32)
    entries = TagEntries(
        keys=table.keys[row],
        splits=np.array(("train", "validation", "test"), object)[table.split[row]],
        classes=column,
        given=given[row, column],
        score=chance,
        probability=chance,
        right=(chance > 0.5) == given[row, column],
        verified=np.where(mask[row, column] > 0, v[row, column].astype(np.int8), np.int8(-1)),
    )
    inputs = {"dataset": read_stage(dataset)}
    if by_run:
        inputs["from_run"] = read_stage(made_run(output.with_name("run"), []))
    none = MeasuredShare(value=None, interval=None, count=0, whole=0)
    tags = MeasuredTags(entries=0, wrong=0, called=0, precision=none, recall=none)
    measured = MeasuredEntries(
        split=None, images=0, cross_fitted=False, given=tags, missing=tags, error=none, naive_error=none
    )
    threshold, curve = TagThreshold(value=0.5, chosen_on="rule"), TagCalibration(curve="none", entries=0, positives=0)
    with open_stage("detection", MakeConfig(output=output, size=int(by_run)), inputs) as stage:
        with TagDetectionWriter(stage.work, table.classes) as writer:
            writer.write(entries)
        TagDetectionRecord(
            task="multi-label",
            method="margin",
            title="made",
            options={},
            seed=0,
            classes=table.classes,
            uses_verification=True,
            floor=0.05,
            others=10,
            thresholds={"given": threshold, "missing": threshold},
            calibration={"given": curve, "missing": curve},
            clean=CleanSet(images=1, keys="sha256:x", fraction=1.0, seed=0),
            images={},
            entries={"given": 0, "missing": 0},
            called={"given": {}, "missing": {}},
            images_without_features=0,
            measured=measured,
            planted=None,
            notes={},
            dataset_fingerprint=table.fingerprint,
            backbone_fingerprint="sha256:b",
        ).write(stage.work / DETECTION)
        stage.finish({})
    return output
