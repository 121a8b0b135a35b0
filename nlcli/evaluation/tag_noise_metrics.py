"""How good a detection on several labels an image is: finding wrong tags, finding missing ones, what is wrong after it.

The verdicts that count are those of the detection's ``verified.parquet``: on test by calibration and thresholds that
saw nothing of test, elsewhere by such that were fitted without the image's fold. Nothing is chosen here.

``metrics.json`` holds every metric (see ``nlcli.evaluation.metrics_file``), ``per_class.csv`` those of the classes,
``checked.parquet`` the entries (see ``nlcli.evaluation.checked_tags``), ``replicates.npz`` the bootstrap replicates,
``calibration.csv`` what probabilities said and what was so; the plots lie beside them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlcli.console import progress, say
from nlcli.data.tag_detection_files import VERIFIED, TagDetection, read_verified
from nlcli.errors import NlcliError
from nlcli.evaluation.calibration_curve import CalibrationCurve, write_calibration
from nlcli.evaluation.checked_labels import FILE
from nlcli.evaluation.checked_tags import CheckedTags, write_checked_tags
from nlcli.evaluation.config import Evaluate
from nlcli.evaluation.detection_metrics import backbone_of
from nlcli.evaluation.measured_apart import measured_apart
from nlcli.evaluation.metrics_file import (
    METRICS,
    Bootstrap,
    Estimate,
    Named,
    Selection,
    TagNoiseMetrics,
    estimates,
    flat,
)
from nlcli.evaluation.plots import errors_plot
from nlcli.evaluation.score_files import REPLICATES, write_replicates
from nlcli.evaluation.tag_curves import tag_curves_plot
from nlcli.evaluation.tested_model import tested_model
from nlcli.metrics.formats import exact
from nlcli.metrics.names import ERRORS, TAG_NOISE
from nlcli.stages.files import read_json, write_csv
from nlcli.stages.stage import StageRecord
from nlcli.training.result import CleanLabels, SelectedBy

if TYPE_CHECKING:
    from nlcli.data.tag_detection_files import TagDetectionRecord
    from nlcli.evaluation.measured import Measured


def measure_tags(
    config: Evaluate, split: str, detection: TagDetection, dataset: StageRecord, work: Path
) -> dict[str, Any]:
    """Write the evaluation of ``detection`` on ``split`` into ``work``; what a person wants to know of it.

    Args:
        split: That it was measured on, or some of these, joined by ``+``.

    Raises:
        NlcliError: it judges no verified entry of them.
    """
    checked = checked_tags(detection, split)
    if not checked.entries:
        raise NlcliError(f"{detection.record.path} judges no verified image of {split}; run detect-noise again")
    say(
        f"{checked.entries:,} verified entries of {len(checked):,} images of split '{split}', judged by "
        f"{detection.info.method}"
    )
    with progress(max(1, config.bootstrap), "bootstrap over images", unit="resamples") as bar:
        measured = checked.measure(config.bootstrap, config.seed, bar.advance)
    naive = checked.naive().measure(config.bootstrap, config.seed)
    write_checked_tags(work / FILE, checked)
    if config.bootstrap:
        write_replicates(work / REPLICATES, measured.replicates, measured.per_class)
    metrics = _metrics(config, split, detection, dataset, checked, measured, naive)
    metrics.write(work / METRICS)
    _write_per_class(work / "per_class.csv", checked, measured, naive)
    nothing = np.zeros(len(checked.classes), bool)
    errors_plot(
        checked.classes, measured, naive.of_classes, measured.class_ends, nothing, work / "per_class.png", "label_error"
    )
    tag_curves_plot(checked, measured, work / "areas.png")
    write_calibration(
        work,
        [
            CalibrationCurve.of(kind, said, checked.probability[which], checked.present[which], checked.image[which])
            for kind, said, which in (
                ("given", "probability that a given tag is right", checked.given),
                ("missing", "probability that a class without its tag is there", ~checked.given),
            )
        ],
    )
    return {
        "name": metrics.name,
        "split": metrics.split,
        "images": metrics.images,
        "entries": metrics.entries,
        "cross_fitted": metrics.cross_fitted,
        **flat(metrics.metrics),
        "naive_label_error": metrics.naive["label_error"].value,
    }


def checked_tags(detection: TagDetection, split: str) -> CheckedTags:
    """The verified entries of ``split`` that the detection was measured on, sorted by image and class."""
    info = detection.info
    entries = read_verified(detection.record.path / VERIFIED, info.classes)
    rows = np.flatnonzero(np.isin(entries.splits.astype(str), split.split("+")))
    keys, image = np.unique(entries.keys[rows].astype(str), return_inverse=True)
    order = np.lexsort((entries.classes[rows], image))
    rows = rows[order]
    return CheckedTags(
        info.classes,
        keys.astype(object),
        image[order].astype(np.int64),
        entries.classes[rows],
        entries.given[rows],
        entries.present[rows],
        entries.called_present[rows],
        entries.probability[rows],
    )


def _metrics(
    config: Evaluate,
    split: str,
    detection: TagDetection,
    dataset: StageRecord,
    checked: CheckedTags,
    measured: Measured,
    naive: Measured,
) -> TagNoiseMetrics:
    record, info = detection.record, detection.info
    without = np.flatnonzero(measured.counts == 0)
    metrics = estimates(measured)
    cross_fitted = info.measured.cross_fitted and split != "test"
    wrong = checked.given != checked.present
    planted = None
    if info.planted is not None and info.planted.error.value is not None:
        share = info.planted.error
        planted = Estimate(value=share.value, interval=share.interval, rests_on=share.whole, counted="entries")
        metrics["planted_error"] = planted
    return TagNoiseMetrics(
        version=TagNoiseMetrics.FORMAT,
        task=TAG_NOISE,
        name=info.method,
        score="probability",
        split=split,
        images=len(checked),
        entries=checked.entries,
        given=int(checked.given.sum()),
        wrong=int((checked.given & wrong).sum()),
        missing=int((~checked.given & wrong).sum()),
        classes=len(info.classes),
        dataset=read_json(dataset.path / "dataset.json").get("name"),
        backbone=backbone_of(record),
        model=tested_model(record),
        selection=Selection(selected_by=_selected_by(info), clean=CleanLabels.of(info.clean)),
        bootstrap=Bootstrap(resamples=config.bootstrap, seed=config.seed),
        metrics=metrics,
        classes_without_images=Named(count=len(without), names=tuple(checked.classes[c] for c in without)),
        cross_fitted=cross_fitted,
        thresholds=info.thresholds,
        naive=estimates(naive, ERRORS),
        planted=planted,
        remarks=(*info.remarks, *measured_apart(dataset.path, checked.keys)),
    )


def _selected_by(info: TagDetectionRecord) -> SelectedBy:
    chosen = [threshold for threshold in info.thresholds.values() if threshold.chosen_on == "verified"]
    if chosen:
        return SelectedBy(split=None, by=f"label errors of {sum(t.entries for t in chosen):,} verified entries")
    by_hand = any(threshold.chosen_on == "given" for threshold in info.thresholds.values())
    return SelectedBy(split=None, by="hand" if by_hand else "a probability of 1/2")


def _write_per_class(path: Path, checked: CheckedTags, measured: Measured, naive: Measured) -> None:
    count, ends = len(checked.classes), measured.class_ends
    wrong, called = checked.given != checked.present, checked.given != checked.called_present
    columns = [
        np.bincount(checked.of_class[which], minlength=count)
        for kind in (checked.given, ~checked.given)
        for which in (kind, kind & wrong, kind & called, kind & wrong & called)
    ]
    header = ["class", "entries", "error", "low", "high", "naive_error"]
    header += [
        "given",
        "wrong",
        "called_wrong",
        "wrong_caught",
        "others",
        "missing",
        "called_missing",
        "missing_caught",
    ]
    write_csv(
        path,
        header,
        (
            (
                name,
                measured.counts[c],
                exact(measured.of_classes[c]),
                *(("", "") if ends is None else (exact(ends[0][c]), exact(ends[1][c]))),
                exact(naive.of_classes[c]),
                *(column[c] for column in columns),
            )
            for c, name in enumerate(checked.classes)
        ),
    )
