"""Stages for a page to report on: hostile names everywhere, pictures that are drawn here, numbers that are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from nlcli.data.label_files import write_dataset
from nlcli.data.labels import LabelTable, single_label_table
from nlcli.stages.stage import open_stage
from worlds.made_detections import made_detection
from worlds.made_evaluations import curve_lines, made_evaluation, made_run
from worlds.stage_builders import MakeConfig

HOSTILE = (
    "<script>document.title = 'owned'</script>",
    "\"><img src='https://example.com/x.png' onerror='document.title = 1'>",
    "{{ 7 * 7 }} {% raw %} ${7*7}",
    "cat\u202egpj.exe\n\x00\x1b[31m",
    "a very long name " * 20,
    "</script></style></svg></title><!-- ]]>",
)
"""Names that would be something else than text if they could."""
PLAIN = ("cat", "dog", "fox", "hen", "owl", "rat")


def pictures(root: Path, names: list[str], side: int = 48) -> None:
    """JPEGs of noise, which no format makes small."""
    root.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    for i, name in enumerate(names):
        Image.fromarray(np.roll(noise, (i, i // side), axis=(0, 1))).save(root / name, "JPEG", quality=90)


def reported_table(root: Path, classes: tuple[str, ...], images: int = 120) -> LabelTable:
    """Images of train and test, half and half; every third label is the next class; test is checked."""
    number = np.arange(images)
    true = number % len(classes)
    noisy = np.where(number % 3 == 0, (true + 1) % len(classes), true)
    split = np.where(number < images // 2, 0, 2)
    names = [f"{i:03d}.jpg" for i in number]
    names[0] = "<b>&'\" #%3F 0.jpg" if classes is HOSTILE else names[0]
    keys = [f"train/{name}" if at == 0 else f"test/{name}" for name, at in zip(names, split, strict=True)]
    return single_label_table(classes, keys, names, root, split, noisy, np.where(split == 2, true, -1))


def reported_dataset(root: Path, classes: tuple[str, ...], images: int = 120, side: int = 48) -> Path:
    """``data``, its pictures beside it; the second one cannot be read."""
    table = reported_table(root / "photos", classes, images)
    pictures(root / "photos", table.paths.tolist(), side)
    (root / "photos" / str(table.paths[1])).write_bytes(b"no picture")
    with open_stage("dataset", MakeConfig(output=root / "data", size=images), {}) as stage:
        write_dataset(stage.work, table, {"name": classes[0], "source": "made by a test"})
        stage.finish({"images": images})
    return root / "data"


def reported_detection(root: Path, table: LabelTable) -> Path:
    """``detection``: scores that are right but for the first two of every ten images."""
    number = np.arange(len(table))
    wrong = (number % 3 == 0) ^ (number % 10 < 2)
    score = np.where(wrong, 0.15, 0.85) + 0.001 * (number % 7)
    return made_detection(root / "detection", root / "data", table, score.tolist(), features=None)


def with_probabilities(noise: Path, classes: tuple[str, ...]) -> None:
    """What a noisy label probably is, as calibrated detections have it."""
    table = pq.read_table(noise)
    score = table["score"].to_numpy().astype(np.float64)
    following = dict(zip(classes, (*classes[1:], classes[0]), strict=True))
    suggested = [
        following[label] if s < 0.5 else None for label, s in zip(table["label"].to_pylist(), score, strict=True)
    ]
    columns = {
        "probability": pa.array(score, pa.float32()),
        "suggested": pa.array(suggested, pa.string()),
        "suggested_probability": pa.array([None if name is None else 0.8 for name in suggested], pa.float32()),
    }
    for name, column in columns.items():
        table = table.set_column(table.column_names.index(name), name, column)
    pq.write_table(table, noise)


def reported_evaluations(root: Path, table: LabelTable) -> list[Path]:
    """Evaluations of three runs with their learning curves, the later ones better."""
    rng = np.random.default_rng(0)
    rows = table.rows("test")
    true = table.present[rows].indices
    paths = []
    for quality, name in ((0.6, "residual"), (0.2, "noisy"), (0.5, "forward")):
        run = made_run(root / name, curve_lines([0.2, 0.3 + quality / 2, 0.3 + quality]))
        scores = rng.random((len(rows), table.num_classes)).astype(np.float32)
        scores[np.arange(len(rows)), true] += quality
        scores /= scores.sum(axis=1, keepdims=True)
        path = root / f"{name}-test"
        paths.append(made_evaluation(path, table, root / "data", run, scores, name=name, resamples=30))
    return paths


def reported_changes(root: Path) -> Path:
    """``cleaned``: the labels that the detection calls wrong, as it has them; train alone."""
    from nlcli.cleaning.clean_labels import clean_labels
    from nlcli.cleaning.config import CleanDataset

    config = CleanDataset(
        dataset=root / "data", source=root / "detection", output=root / "cleaned", precision=0, max_changes=1
    )
    return clean_labels(config)


def reported_queue(root: Path, table: LabelTable) -> Path:
    """``asked``: the last twelve images, each with a reason."""
    with open_stage("suggestion", MakeConfig(output=root / "asked", size=12), {}) as stage:
        rows = {
            "key": table.keys[-12:].tolist(),
            "reason": [f"the {i}th most useful" for i in range(12)],
            "classes": [table.classes[0]] * 12,
        }
        pq.write_table(pa.table(rows), stage.work / "queue.parquet")
        stage.finish({})
    return root / "asked"


def whole_story(root: Path, classes: tuple[str, ...], images: int = 120, side: int = 48) -> list[Path]:
    """The directories of everything that a page shows."""
    reported_dataset(root, classes, images, side)
    from nlcli.data.label_files import read_dataset

    table = read_dataset(root / "data")
    detection = reported_detection(root, table)
    with_probabilities(detection / "noise.parquet", classes)
    return [
        root / "data",
        detection,
        *reported_evaluations(root, table),
        reported_changes(root),
        reported_queue(root, table),
    ]
