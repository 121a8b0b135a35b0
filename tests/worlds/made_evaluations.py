"""Evaluations of made-up scores: everything that a real one holds, without training anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from nlcli.data.labels import LabelTable
from nlcli.evaluation.config import Evaluate
from nlcli.evaluation.metrics_file import (
    FORMAT,
    METRICS,
    Bootstrap,
    ClassifierMetrics,
    Metrics,
    Named,
    Selection,
    TestedModel,
    estimates,
)
from nlcli.evaluation.score_files import FILE, REPLICATES, write_replicates, write_scores
from nlcli.evaluation.scored_images import measure
from nlcli.stages.config import StageConfig
from nlcli.stages.stage import open_stage, read_stage
from nlcli.training.result import RESULT, CleanLabels, HeadResult, SelectedBy
from worlds.stage_builders import MakeConfig


def made_result(phase: str, step: int, **changes: Any) -> HeadResult:
    """The result of a head whose weights are those of ``step`` of ``phase``."""
    values: dict[str, Any] = {
        "method": "noisy",
        "score": "classifier",
        "selected_by": SelectedBy.of("AP_all", 0.5, steps=9),
        "phase": phase,
        "step": step,
        "steps": step,
        "stopped_by": "steps",
        "validation": {"AP_all": 0.5, "images": 60},
        "clean": None,
        "training_images": {"clean": 0, "noisy": 1},
        "classes_without_positives": {},
        "initial_layer": None,
        "settings": {},
    }
    return HeadResult(**values | changes)


def made_run(output: Path, lines: list[dict[str, Any]], chosen: tuple[str, int] | None = None) -> Path:
    """A run directory with the lines of ``metrics.jsonl``."""
    with open_stage("run", MakeConfig(output=output, seed=len(str(output))), {}) as stage:
        (stage.work / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        made_result(*(chosen or ("another", 0)), settings={"name": output.name}).write(stage.work / RESULT)
        stage.finish({})
    return output


def curve_lines(values: list[float], phase: str = "joint", every: int = 10) -> list[dict[str, Any]]:
    """Lines of one phase, ``every`` steps apart, AP_all a tenth above mAP."""
    return [
        {"phase": phase, "step": every * i, "train": {}, "validation": {"mAP": value, "AP_all": value + 0.1}}
        for i, value in enumerate(values)
    ]


def made_evaluation(
    output: Path,
    table: LabelTable,
    dataset: Path,
    run: Path,
    scores: np.ndarray,
    *,
    name: str,
    seed: int = 0,
    resamples: int = 0,
    fraction: float | None = None,
) -> Path:
    """An evaluation directory of ``scores`` for the test images of ``table``."""
    rows = table.rows("test")
    config = Evaluate(model=run, output=output, bootstrap=resamples)
    inputs = {"model": read_stage(run), "dataset": read_stage(dataset)}
    with open_stage("evaluation", config, inputs, format=FORMAT) as stage:
        with write_scores(stage.work / FILE, table, rows) as writer:
            writer.add(rows, scores)
        measured = measure(writer.scored(), table.task, resamples, 0)
        if resamples:
            write_replicates(stage.work / REPLICATES, measured.replicates, measured.per_class)
        settings = {"method": name, "seed": seed} | ({} if fraction is None else {"clean_fraction": fraction})
        ClassifierMetrics(
            version=FORMAT,
            task=table.task,
            name=name,
            score="clean",
            split="test",
            images=len(rows),
            classes=len(table.classes),
            model=TestedModel(directory=run.name, kind="run", settings=settings),
            selection=Selection(clean=None if fraction is None else made_clean_set(fraction)),
            bootstrap=Bootstrap(resamples=resamples, seed=0),
            metrics=estimates(measured),
            verified_entries=int(measured.ranking.scored.sum()),
            positives=int(measured.counts.sum()),
            classes_without_positives=Named(count=0),
        ).write(stage.work / METRICS)
        stage.finish({})
    return output


def made_clean_set(fraction: float, images: int | None = None) -> CleanLabels:
    """A part of a clean set of 100 images."""
    return CleanLabels(
        images=round(100 * fraction) if images is None else images, keys="made", fraction=fraction, seed=0
    )


def written(metrics: Metrics, output: Path, config: StageConfig | None = None) -> Path:
    """A finished evaluation that holds nothing but ``metrics``."""
    with open_stage("evaluation", config or MakeConfig(output=output), {}, format=FORMAT) as stage:
        metrics.write(stage.work / METRICS)
        stage.finish({})
    return output
