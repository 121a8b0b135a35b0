"""A model, scored."""

from __future__ import annotations

from pathlib import Path

from nlcli.evaluation.config import Evaluate
from nlcli.evaluation.evaluate import evaluate
from nlcli.evaluation.metrics_file import ClassifierMetrics, DetectionMetrics, read_metrics
from nlcli.stages.stage import read_stage


def evaluated(model: Path, **options: object) -> Path:
    options = {"bootstrap": 60, "examples": 0} | options
    return evaluate(Evaluate(model=model, **options))


def metrics_of(evaluation: Path) -> ClassifierMetrics:
    """``metrics.json`` of a classifier's evaluation."""
    metrics = read_metrics(read_stage(evaluation))
    assert isinstance(metrics, ClassifierMetrics)
    return metrics


def errors_of(evaluation: Path) -> DetectionMetrics:
    """``metrics.json`` of a detection's evaluation."""
    metrics = read_metrics(read_stage(evaluation))
    assert isinstance(metrics, DetectionMetrics)
    return metrics


def value_of(evaluation: Path, name: str) -> float | None:
    """A metric of an evaluation."""
    return read_metrics(read_stage(evaluation)).metrics[name].value
