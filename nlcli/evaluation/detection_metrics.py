"""Evaluation of a detection of label noise: its error rates, by class, on held-out classes, on planted truth.

The verdicts that count are those of the detection's column ``measured``: on test, by the threshold
that validation chose; where only validation is verified, each image's by a threshold that was
chosen without the image's fold. No threshold is chosen here.

``metrics.json`` holds every figure, ``per_class.csv`` those of the classes, ``checked.parquet`` the
images themselves (see ``nlcli.checked_labels``), ``replicates.npz`` the bootstrap replicates,
``roc.csv`` the curve of right against wrong labels; the figures lie beside them.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlcli.console import progress, say
from nlcli.errors import NlcliError
from nlcli.evaluation.checked_labels import FILE, CheckedLabels, DetectionMetrics, write_checked
from nlcli.evaluation.config import Evaluate
from nlcli.evaluation.models import settings_of
from nlcli.evaluation.score_files import METRICS, shown
from nlcli.metrics.bootstrap import LEVEL
from nlcli.metrics.curves import RocCurve, roc_curve
from nlcli.metrics.names import LABEL_NOISE
from nlcli.stages.files import atomic_path, number, read_json, write_json
from nlcli.stages.stage import StageRecord, open_stage, read_stage

if TYPE_CHECKING:
    from nlcli.data.detection_files import Detection


def evaluate_detection(config: Evaluate, model: StageRecord, *, force: bool = False) -> Path:
    """Measure the detection ``model``; the evaluation's directory.

    Args:
        config: Without ``output`` the directory is ``DETECTION-SPLIT`` beside the detection.

    Raises:
        NlcliError: options that mean nothing to a detection, a split that the detection was not
            measured on, a data set that is gone or another one.
    """
    for name in ("features", "score"):
        if getattr(config, name) is not None:
            raise NlcliError(f"{model.path} is a detection of label noise; leave out --{name}")
    from nlcli.data.detection_files import read_detection

    detection = read_detection(model.path)
    split = detection.info.errors.split
    if split is None:
        raise NlcliError(
            f"no noisy label of test or validation is verified, so the errors of {model.path} cannot be measured; "
            "verify some"
        )
    if config.split not in (None, split):
        raise NlcliError(f"{model.path} was measured on {split}, not on {config.split}; leave out --split")
    where = Path(config.model)
    output = config.output or where.with_name(f"{where.resolve().name}-{split}")
    config = config.model_copy(update={"split": split, "output": output})
    if config.dataset is not None:
        dataset = read_stage(config.dataset, "dataset")
    else:
        dataset = model.input_stage("dataset", "--dataset")
    if dataset.fingerprint != detection.info.dataset_fingerprint:
        raise NlcliError(f"{model.path} is of another data set than {dataset.path}; pass the one that it was made on")
    inputs: dict[str, StageRecord | Path | str | None] = {"model": model, "dataset": dataset}
    with open_stage("evaluation", config, inputs, seed=config.seed, force=force) as stage:
        if not stage.up_to_date:
            stage.finish(_evaluate(config, detection, dataset, stage.work))
    return stage.output


def _evaluate(config: Evaluate, detection: Detection, dataset: StageRecord, work: Path) -> dict[str, Any]:
    from nlcli.evaluation.plots import areas_plot, errors_plot
    from nlcli.evaluation.score_files import REPLICATES, write_replicates
    from nlcli.metrics.bootstrap import interval

    counted = np.flatnonzero(detection.measured >= 0)
    if not len(counted):
        raise NlcliError(f"{detection.record.path} judges no verified image of {config.split}; run detect-noise again")
    checked = checked_labels(detection, counted, detection.verified[counted] == 1, detection.measured[counted] == 1)
    say(f"{len(checked):,} verified noisy labels of split '{config.split}', judged by {detection.method}")
    with progress(max(1, config.bootstrap), "bootstrap over images", unit="resamples") as bar:
        found = checked.figures(config.bootstrap, config.seed, bar.advance)
    naive = checked.naive().figures(config.bootstrap, config.seed)
    write_checked(work / FILE, checked)
    if config.bootstrap:
        write_replicates(work / REPLICATES, found.replicates, found.per_class)
    planted = _planted(config, detection, dataset)
    per_class = interval(found.per_class, LEVEL) if config.bootstrap else None

    def told(figures: DetectionMetrics, *, only: tuple[str, ...] | None = None) -> dict[str, Any]:
        wanted = {name: value for name, value in figures.values.items() if only is None or name in only}
        values: dict[str, Any] = {}
        for name, value in wanted.items():
            values[name] = number(value)
            if figures.replicates:
                values[f"{name}_interval"] = [number(end) for end in interval(figures.replicates[name], LEVEL)]
        return values

    errors = ("average_error", "held_out_error", "micro_error")
    metrics = _about(config, detection, dataset, checked, found) | told(found)
    metrics["naive"] = told(naive, only=errors)
    if planted is not None:
        metrics["planted"] = told(planted.figures) | {
            "images": planted.images,
            "wrong": planted.wrong,
            "naive": told(planted.naive, only=errors),
        }
        metrics["planted_error"] = metrics["planted"]["average_error"]
        if config.bootstrap:
            metrics["planted_error_interval"] = metrics["planted"]["average_error_interval"]
    write_json(work / METRICS, metrics)
    _write_per_class(work / "per_class.csv", detection, checked, found, naive, per_class)
    curve = roc_curve(checked.right, checked.score)
    _write_roc(work / "roc.csv", curve)
    held_out = np.isin(np.asarray(detection.classes, object), detection.held_out)
    errors_plot(detection.classes, found, naive.of_classes, per_class, held_out, work / "per_class.png")
    areas_plot(curve, checked, found, work / "areas.png")
    first = ("name", "split", "images", "cross_fitted", "planted_error", "planted_error_interval")
    names = (*first, *(n for value in found.values for n in (value, f"{value}_interval")))
    return {name: metrics[name] for name in names if name in metrics} | {
        "naive_average_error": metrics["naive"]["average_error"],
        "held_out_classes": len(detection.held_out),
    }


def checked_labels(
    detection: Detection, rows: np.ndarray, right: np.ndarray, called_right: np.ndarray
) -> CheckedLabels:
    """The images ``rows`` of a detection with truth and verdict (bool each), sorted by key."""
    order = np.argsort(detection.keys[rows].astype(str), kind="stable")
    rows, right, called_right = rows[order], right[order], called_right[order]
    held_out = np.isin(np.asarray(detection.classes, object), detection.held_out)
    return CheckedLabels(
        detection.classes,
        np.asarray(detection.keys[rows], object),
        detection.noisy[rows],
        right,
        called_right,
        detection.score[rows],
        held_out[detection.noisy[rows]],
    )


def _about(
    config: Evaluate, detection: Detection, dataset: StageRecord, checked: CheckedLabels, found: DetectionMetrics
) -> dict[str, Any]:
    """What was measured on what, and what chose it."""
    record, info = detection.record, detection.info
    threshold, without = info.threshold, np.flatnonzero(found.counts == 0)
    by = "hand" if threshold.chosen_on == "given" else "the detector itself"
    chosen: dict[str, Any] = {"split": None, "by": by}
    if threshold.chosen_on == "validation":
        told = "average error" + (", each image's without its fold" if info.errors.cross_fitted else "")
        chosen = {"split": "validation", "metric": told, "images": threshold.images}
    features = None
    try:
        features = read_json(record.input_stage("features").path / "features.json")
    except NlcliError:
        say(f"the features of {record.path} are gone or changed, so its backbone is not known")
    return {
        "task": LABEL_NOISE,
        "name": detection.method,
        "score": "score",
        "split": config.split,
        "images": len(checked),
        "wrong": int((~checked.right).sum()),
        "classes": len(detection.classes),
        "dataset": read_json(dataset.path / "dataset.json").get("name"),
        "backbone": None if features is None else features.get("backbone"),
        "classes_without_images": {"count": len(without), "names": [detection.classes[c] for c in without]},
        "cross_fitted": info.errors.cross_fitted,
        "threshold": threshold.model_dump(mode="json"),
        "held_out": info.held_out.model_dump(mode="json") | {"images": int(checked.held_out.sum())},
        "model": {"directory": record.path.resolve().name, "kind": record.kind, "settings": settings_of(record)},
        "selection": {"selected_by": chosen, "clean": info.clean.model_dump(mode="json")},
        "bootstrap": {"resamples": config.bootstrap, "seed": config.seed, "level": LEVEL},
    }


# --- planted truth ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Planted:
    """Figures on training images whose verification the detector did not see."""

    images: int
    wrong: int
    figures: DetectionMetrics
    naive: DetectionMetrics


def _planted(config: Evaluate, detection: Detection, dataset: StageRecord) -> _Planted | None:
    import pandas as pd

    from nlcli.data.label_files import TRUTH, read_dataset, read_truth
    from nlcli.detection.verification import UNVERIFIED, visible_labels

    if not (dataset.path / TRUTH).is_file():
        return None
    table = read_dataset(dataset.path)
    position = pd.Index(table.keys).get_indexer(detection.keys)
    if (position < 0).any():
        raise NlcliError(f"{detection.record.path} names images that are not in {dataset.path}; run detect-noise again")
    withheld = np.isin(np.asarray(detection.classes, object), detection.held_out)
    if detection.info.held_out.verification_used:
        withheld[:] = False
    clean = detection.info.clean
    unseen = visible_labels(table, clean.fraction, clean.seed, withheld)[position] == UNVERIFIED
    true = read_truth(dataset.path, table)[position]
    rows = np.flatnonzero((detection.splits == "train") & unseen & (true >= 0))
    if not len(rows):
        return None
    checked = checked_labels(detection, rows, true[rows] == detection.noisy[rows], detection.verdict[rows] == 1)
    with progress(max(1, config.bootstrap), "bootstrap over planted labels", unit="resamples") as bar:
        found = checked.figures(config.bootstrap, config.seed, bar.advance)
    naive = checked.naive().figures(0, config.seed)
    return _Planted(len(checked), int((~checked.right).sum()), found, naive)


def _write_roc(path: Path, curve: RocCurve) -> None:
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["threshold", "right_called_wrong", "wrong_called_wrong", "precision"])
        for point in zip(curve.threshold, curve.rejected, curve.caught, curve.precision, strict=True):
            rows.writerow([f"{value:.6g}" for value in point])


def _write_per_class(
    path: Path,
    detection: Detection,
    checked: CheckedLabels,
    found: DetectionMetrics,
    naive: DetectionMetrics,
    ends: tuple[np.ndarray, np.ndarray] | None,
) -> None:
    count = len(detection.classes)
    wrong, missed, rejected = (
        np.bincount(checked.noisy[which], minlength=count)
        for which in (~checked.right, ~checked.right & checked.called_right, checked.right & ~checked.called_right)
    )
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(
            [
                "class",
                "held_out",
                "images",
                "wrong",
                "error",
                "low",
                "high",
                "naive_error",
                "missed",
                "rejected",
            ]
        )
        for c, name in enumerate(detection.classes):
            low, high = ("", "") if ends is None else (shown(ends[0][c]), shown(ends[1][c]))
            rows.writerow(
                [
                    name,
                    int(name in detection.held_out),
                    found.counts[c],
                    wrong[c],
                    shown(found.of_classes[c]),
                    low,
                    high,
                    shown(naive.of_classes[c]),
                    missed[c],
                    rejected[c],
                ]
            )
