"""How wrong a detection of label noise is: its error rates, by class, on held-out classes, on planted truth.

The verdicts that count are those of the detection's column ``measured``: on test, by the threshold
that validation chose; where only validation is verified, each image's by a threshold that was
chosen without the image's fold. No threshold is chosen here.

``metrics.json`` holds every metric (see ``nlcli.evaluation.metrics_file``), ``per_class.csv`` those of
the classes, ``checked.parquet`` the images themselves (see ``nlcli.evaluation.checked_labels``),
``replicates.npz`` the bootstrap replicates, ``roc.csv`` the curve of right against wrong labels,
``calibration.csv`` what probabilities said and what was so; the plots lie beside them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlcli.console import progress, say
from nlcli.errors import NlcliError
from nlcli.evaluation.calibration_curve import CalibrationCurve, write_calibration
from nlcli.evaluation.checked_labels import FILE, CheckedLabels, write_checked
from nlcli.evaluation.config import Evaluate
from nlcli.evaluation.measured import Measured
from nlcli.evaluation.measured_apart import measured_apart
from nlcli.evaluation.metrics_file import (
    METRICS,
    Bootstrap,
    DetectionMetrics,
    MeasuredHeldOut,
    Named,
    Planted,
    Selection,
    estimates,
    flat,
)
from nlcli.evaluation.plots import areas_plot, errors_plot
from nlcli.evaluation.score_files import REPLICATES, write_replicates
from nlcli.evaluation.tested_model import tested_model
from nlcli.metrics.arrays import Bools, Ints
from nlcli.metrics.curves import RocCurve, roc_curve
from nlcli.metrics.formats import exact
from nlcli.metrics.names import ERRORS, LABEL_NOISE
from nlcli.stages.files import read_json, write_csv
from nlcli.stages.stage import StageRecord
from nlcli.training.result import CleanLabels, SelectedBy

if TYPE_CHECKING:
    from nlcli.data.detection_files import Detection, Threshold


def measure_detection(
    config: Evaluate, split: str, detection: Detection, dataset: StageRecord, work: Path
) -> dict[str, Any]:
    """Write the evaluation of ``detection`` on ``split`` into ``work``; what a person wants to know of it.

    Args:
        split: That it was measured on, ``validation+test`` where on both, or one of these.

    Raises:
        NlcliError: it judges no verified image, or others than those of the data set.
    """
    counted = np.flatnonzero((detection.measured >= 0) & np.isin(detection.splits.astype(str), split.split("+")))
    if not len(counted):
        raise NlcliError(f"{detection.record.path} judges no verified image of {split}; run detect-noise again")
    checked = checked_labels(detection, counted, detection.verified[counted] == 1, detection.measured[counted] == 1)
    say(f"{len(checked):,} verified noisy labels of split '{split}', judged by {detection.method}")
    measured = _measure(config, checked, "bootstrap over images")
    naive = checked.naive().measure(config.bootstrap, config.seed)
    write_checked(work / FILE, checked)
    if config.bootstrap:
        write_replicates(work / REPLICATES, measured.replicates, measured.per_class)
    planted = _planted(config, detection, dataset)
    metrics = _metrics(config, split, detection, dataset, checked, measured, naive, planted)
    metrics.write(work / METRICS)

    ends = measured.class_ends
    _write_per_class(work / "per_class.csv", detection, checked, measured, naive)
    curve = roc_curve(checked.right, checked.score)
    _write_roc(work / "roc.csv", curve)
    held_out = _held_out(detection)
    errors_plot(detection.classes, measured, naive.of_classes, ends, held_out, work / "per_class.png")
    areas_plot(curve, checked, measured, work / "areas.png")
    known = np.flatnonzero(checked.calibrated)
    said = "probability that the label is right"
    write_calibration(
        work, [CalibrationCurve.of("label", said, checked.probability[known], checked.right[known], known)]
    )
    return {
        "name": metrics.name,
        "split": metrics.split,
        "images": metrics.images,
        "cross_fitted": metrics.cross_fitted,
        **flat(metrics.metrics),
        "naive_average_error": metrics.naive["average_error"].value,
        "held_out_classes": len(detection.held_out),
    }


def checked_labels(detection: Detection, rows: Ints, right: Bools, called_right: Bools) -> CheckedLabels:
    """The images ``rows`` of a detection with truth and verdict, sorted by key."""
    order = np.argsort(detection.keys[rows], kind="stable")
    rows, right, called_right = rows[order], right[order], called_right[order]
    return CheckedLabels(
        detection.classes,
        np.asarray(detection.keys[rows], object),
        detection.noisy[rows],
        right,
        called_right,
        detection.score[rows],
        _held_out(detection)[detection.noisy[rows]],
        detection.probability[rows],
    )


def _held_out(detection: Detection) -> Bools:
    """``(C,)`` bool: the verification of the class was withheld."""
    return np.isin(np.asarray(detection.classes, object), detection.held_out)


def _measure(config: Evaluate, checked: CheckedLabels, title: str) -> Measured:
    with progress(max(1, config.bootstrap), title, unit="resamples") as bar:
        return checked.measure(config.bootstrap, config.seed, bar.advance)


# --- metrics ---------------------------------------------------------------------------------


def _metrics(
    config: Evaluate,
    split: str,
    detection: Detection,
    dataset: StageRecord,
    checked: CheckedLabels,
    measured: Measured,
    naive: Measured,
    planted: Planted | None,
) -> DetectionMetrics:
    record, info = detection.record, detection.info
    cross_fitted = info.errors.cross_fitted and "validation" in split
    without = np.flatnonzero(measured.counts == 0)
    metrics = estimates(measured)
    if planted is not None:
        metrics["planted_error"] = planted.metrics["average_error"]
    return DetectionMetrics(
        version=DetectionMetrics.FORMAT,
        task=LABEL_NOISE,
        name=detection.method,
        score="score",
        split=split,
        images=len(checked),
        wrong=int((~checked.right).sum()),
        classes=len(detection.classes),
        dataset=read_json(dataset.path / "dataset.json").get("name"),
        backbone=backbone_of(record),
        model=tested_model(record),
        selection=Selection(selected_by=_selected_by(info.threshold, cross_fitted), clean=CleanLabels.of(info.clean)),
        bootstrap=Bootstrap(resamples=config.bootstrap, seed=config.seed),
        metrics=metrics,
        classes_without_images=Named(count=len(without), names=tuple(detection.classes[c] for c in without)),
        cross_fitted=cross_fitted,
        threshold=info.threshold,
        held_out=MeasuredHeldOut.of(info.held_out, int(checked.held_out.sum())),
        naive=estimates(naive, ERRORS),
        planted=planted,
        remarks=(*info.remarks, *measured_apart(dataset.path, checked.keys)),
    )


def _selected_by(threshold: Threshold, cross_fitted: bool) -> SelectedBy:
    if threshold.chosen_on == "given":
        return SelectedBy(split=None, by="hand")
    if threshold.chosen_on == "detector":
        return SelectedBy(split=None, by="the detector itself")
    told = "average error" + (", each image's without its fold" if cross_fitted else "")
    return SelectedBy(split=threshold.chosen_on, metric=told, images=threshold.images)


def backbone_of(detection: StageRecord) -> str | None:
    """The network whose features the detector saw; None where they are gone."""
    try:
        features = detection.input_stage("features")
    except NlcliError:
        say(f"the features of {detection.path} are gone or changed, so its backbone is not known")
        return None
    name: str | None = read_json(features.path / "features.json").get("backbone")
    return name


def _planted(config: Evaluate, detection: Detection, dataset: StageRecord) -> Planted | None:
    """The same on training images of planted truth whose verification the detector did not see."""
    import pandas as pd

    from nlcli.data.label_files import TRUTH, read_dataset, read_truth
    from nlcli.detection.verification import UNVERIFIED, visible_labels

    if not (dataset.path / TRUTH).is_file():
        return None
    table = read_dataset(dataset.path)
    position = pd.Index(table.keys).get_indexer(detection.keys)
    if (position < 0).any():
        raise NlcliError(f"{detection.record.path} names images that are not in {dataset.path}; run detect-noise again")
    withheld = _held_out(detection)
    if detection.info.held_out.verification_used:
        withheld[:] = False
    clean = detection.info.clean
    unseen = visible_labels(table, clean.fraction, clean.seed, withheld)[position] == UNVERIFIED
    true = read_truth(dataset.path, table)[position]
    rows = np.flatnonzero((detection.splits == "train") & unseen & (true >= 0))
    if not len(rows):
        return None
    checked = checked_labels(detection, rows, true[rows] == detection.noisy[rows], detection.verdict[rows] == 1)
    measured = _measure(config, checked, "bootstrap over planted labels")
    naive = checked.naive().measure(0, config.seed)
    return Planted(
        images=len(checked),
        wrong=int((~checked.right).sum()),
        metrics=estimates(measured),
        naive=estimates(naive, ERRORS),
    )


# --- files -----------------------------------------------------------------------------------


def _write_roc(path: Path, curve: RocCurve) -> None:
    points = zip(curve.threshold, curve.rejected, curve.caught, curve.precision, strict=True)
    rows = ([f"{value:.6g}" for value in point] for point in points)
    write_csv(path, ["threshold", "right_called_wrong", "wrong_called_wrong", "precision"], rows)


def _write_per_class(
    path: Path, detection: Detection, checked: CheckedLabels, measured: Measured, naive: Measured
) -> None:
    count, ends = len(detection.classes), measured.class_ends
    wrong, missed, rejected = (
        np.bincount(checked.noisy[which], minlength=count)
        for which in (~checked.right, ~checked.right & checked.called_right, checked.right & ~checked.called_right)
    )
    rows = (
        (
            name,
            int(name in detection.held_out),
            measured.counts[c],
            wrong[c],
            exact(measured.of_classes[c]),
            *(("", "") if ends is None else (exact(ends[0][c]), exact(ends[1][c]))),
            exact(naive.of_classes[c]),
            missed[c],
            rejected[c],
        )
        for c, name in enumerate(detection.classes)
    )
    header = ["class", "held_out", "images", "wrong", "error", "low", "high", "naive_error", "missed", "rejected"]
    write_csv(path, header, rows)
