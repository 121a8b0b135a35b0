"""Detections of made-up scores: everything that a real one holds, without fitting anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np

from nlcli.data.detection_files import (
    CleanSet,
    DetectionRecord,
    HeldOut,
    MeasuredErrors,
    ScoredLabels,
    Threshold,
    write_detection,
)
from nlcli.data.label_files import write_dataset
from nlcli.data.labels import LabelTable, single_label_table
from nlcli.detection.config import DetectNoise
from nlcli.stages.stage import open_stage, read_stage

CLASSES = ("a", "b", "c")


def checked_table(
    noisy: list[int], true: list[int], split: list[int], verified: list[bool] | None = None
) -> LabelTable:
    """Images ``k00``, ``k01``, ... of three classes; where ``verified`` their true class is known."""
    keys = [f"k{i:02d}" for i in range(len(noisy))]
    known = np.array(true) if verified is None else np.where(verified, true, -1)
    return single_label_table(CLASSES, keys, keys, Path("/images"), np.array(split), np.array(noisy), known)


def made_dataset(output: Path, table: LabelTable, truth: list[int] | None = None, name: str = "made") -> Path:
    """A data set directory, with planted truth where it is given."""
    from nlcli.data.label_files import write_truth
    from worlds.stage_builders import MakeConfig

    with open_stage("dataset", MakeConfig(output=output, size=len(table)), {}) as stage:
        write_dataset(stage.work, table, {"name": name, "source": "made by a test"})
        if truth is not None:
            write_truth(stage.work, table.keys, np.array(truth))
        stage.finish({"images": len(table)})
    return output


def record_of(**known: Any) -> DetectionRecord:
    """What ``detection.json`` says of a detection of which only ``known`` matters."""
    return DetectionRecord(
        **{
            "method": "average",
            "title": "made",
            "options": {},
            "seed": 0,
            "classes": CLASSES,
            "soft": False,
            "uses_verification": False,
            "threshold": Threshold(value=0.5, chosen_on="given"),
            "held_out": HeldOut(classes=(), drawn=False, verification_used=False),
            "clean": CleanSet(images=2, keys="sha256:x", fraction=1.0, seed=known.get("seed", 0)),
            "verified": {},
            "images": {},
            "called_wrong": {},
            "images_without_features": 0,
            "subsampled_classes": {},
            "errors": MeasuredErrors(split=None, cross_fitted=False, all=None, held_out=None, others=None, by_class=()),
            "own_threshold": None,
            "planted": None,
            "probabilities": None,
            "notes": {},
            "dataset_fingerprint": "sha256:data",
            "backbone_fingerprint": "sha256:backbone",
            **known,
        }
    )


def made_detection(
    output: Path,
    dataset: Path,
    table: LabelTable,
    score: list[float],
    *,
    threshold: float = 0.5,
    measured_on: Literal["test", "validation"] | None = "test",
    cross_fitted: bool = False,
    verdicts: dict[str, int] | None = None,
    held_out: tuple[str, ...] = (),
    method: str = "average",
    seed: int = 0,
    chosen: list[str] | None = None,
    features: Path | None = None,
    probability: list[float] | None = None,
    suggested: list[int] | None = None,
    suggested_probability: list[float] | None = None,
    **settings: Any,
) -> Path:
    """A detection of all noisy labels of ``table``.

    Args:
        score: Of every image.
        verdicts: By key, those that count where they are not by ``threshold``.
    """
    from nlcli.data.labels import SPLITS
    from nlcli.detection.verification import verification_labels

    noisy = table.noisy.indices.astype(np.int64)
    verified = verification_labels(table)
    values = np.array(score, np.float32)
    chance = np.full(len(values), np.nan) if probability is None else np.array(probability)
    verdict = (values >= threshold).astype(np.int8)
    splits = np.asarray(SPLITS, object)[table.split]
    counts = (splits == measured_on) & (verified >= 0)
    measured = np.where(counts, verdict, -1).astype(np.int8)
    for i, key in enumerate(table.keys):
        if verdicts is not None and key in verdicts:
            measured[i] = verdicts[key]
    labels = ScoredLabels(
        keys=table.keys,
        paths=table.paths,
        splits=splits,
        noisy=noisy,
        verified=verified,
        score=values,
        verdict=verdict,
        measured=measured,
        probability=chance.astype(np.float32),
        suggested=np.full(len(values), -1) if suggested is None else np.array(suggested),
        suggested_probability=np.full(len(values), np.nan, np.float32)
        if suggested_probability is None
        else np.array(suggested_probability, np.float32),
    )
    info = record_of(
        method=method,
        classes=table.classes,
        seed=seed,
        threshold=Threshold(value=threshold, chosen_on="validation", images=6, error=0.1),
        held_out=HeldOut(classes=held_out, drawn=False, verification_used=False),
        errors=MeasuredErrors(
            split=measured_on, cross_fitted=cross_fitted, all=None, held_out=None, others=None, by_class=()
        ),
        dataset_fingerprint=read_stage(dataset).fingerprint,
    )
    config = DetectNoise(dataset=dataset, features=dataset, output=output, method=method, seed=seed, **settings)
    inputs = {"dataset": read_stage(dataset), "features": features}
    with open_stage("detection", config, inputs, seed=seed) as stage:
        write_detection(stage.work, info, labels)
        stage.finish({"method": method})
    return output
