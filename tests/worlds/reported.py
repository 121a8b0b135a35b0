"""Stages for a page to report on: hostile names everywhere, pictures that are drawn here, numbers that are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from nlcli.answers.verification_record import (
    VERIFICATION,
    AgreementRecord,
    Found,
    Rate,
    RoundRecord,
    VerificationRecord,
)
from nlcli.data.label_files import read_dataset, write_dataset
from nlcli.data.labels import LabelTable, single_label_table
from nlcli.stages.stage import open_stage, read_stage
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


ANSWERED = (
    {"labels": (30, 24.0, 27), "random": (20, 6.0, 8), "unchecked": 100},
    {"labels": (30, 20.0, 16), "random": (60, 15.0, 18), "unchecked": 80},
)
"""Two rounds: answered labels of images chosen by score and at random, those expected to be wrong, those that are."""


def reported_answers(root: Path, table: LabelTable, people: tuple[str, ...] = ("ann", "bob")) -> Path:
    """``answers-2``, whose labels were answered twice, made of ``answers-1``, made of ``data``."""
    before = root / "data"
    for number, of_round in enumerate(ANSWERED, 1):
        output = root / f"answers-{number}"
        with open_stage("dataset", MakeConfig(output=output, size=number), {"dataset": read_stage(before)}) as stage:
            write_dataset(stage.work, table, {"name": table.classes[0], "source": "made by a test"})
            answered_record(number, of_round, people, table.fingerprint).write(stage.work / VERIFICATION)
            stage.finish({"round": number})
        before = output
    return before


def answered_record(number: int, of_round: dict[str, Any], people: tuple[str, ...], dataset: str) -> VerificationRecord:
    """What ``import-verification`` would say of a round."""
    (scored, expected, wrong), (drawn, predicted, found) = of_round["labels"], of_round["random"]
    share = found / drawn
    rate = Rate(of="100 images that nobody had checked", value=share, interval=(0.2, 0.5), drawn=drawn, rounds=1)
    return VerificationRecord(
        task="single-label",
        round=number,
        scope="asked",
        conflicts="refuse",
        measured_splits="random",
        answers={"answered": scored + drawn, "no such image": 0, "skipped": 3},
        images=scored + drawn,
        present=scored + drawn - 5,
        absent=5,
        left_out={},
        changed=0,
        annotators={name: 10 * i for i, name in enumerate(people, 1)},
        agreement=AgreementRecord(units=25, people=2, raw=0.92, kappa=0.875, alpha=0.871),
        found=(
            Found(how="errors", labels=scored, expected=expected, wrong=wrong, interval=(0.3, 0.9)),
            Found(how="random", labels=drawn, expected=predicted, wrong=found, interval=(0.2, 0.5)),
        ),
        by_probability=(
            Found(how="0 to 0.1", labels=40, expected=2.0, wrong=4, interval=(0.03, 0.23)),
            Found(how="0.7 to 0.9", labels=20, expected=16.0, wrong=15, interval=(0.5, 0.9)),
        ),
        rates=(rate,),
        rounds=(
            RoundRecord(suggestion="s", unchecked=100, known_wrong=0, drawn=drawn, wrong=found, answered=0, found=0),
        ),
        pool=100,
        ancestors=(dataset,),
        dataset_fingerprint=dataset,
        suggestion_fingerprint="s",
        remarks=("3 images were skipped <b>",),
    )


def whole_story(root: Path, classes: tuple[str, ...], images: int = 120, side: int = 48) -> list[Path]:
    """The directories of everything that a page shows."""
    reported_dataset(root, classes, images, side)
    table = read_dataset(root / "data")
    detection = reported_detection(root, table)
    with_probabilities(detection / "noise.parquet", classes)
    return [
        root / "data",
        detection,
        *reported_evaluations(root, table),
        reported_changes(root),
        reported_queue(root, table),
        reported_answers(root, table, ("ann", "bob") if classes is PLAIN else HOSTILE),
    ]
