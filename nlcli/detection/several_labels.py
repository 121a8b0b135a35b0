"""The detect-noise stage on several labels an image: options, pictures, and what is told of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlcli.console import say
from nlcli.data.detection_files import DETECTION
from nlcli.data.features.store import FeatureStore
from nlcli.data.label_files import read_dataset
from nlcli.data.labels import LabelTable
from nlcli.data.tag_detection_files import MeasuredShare, TagDetectionRecord, TagEntries
from nlcli.detection.plots import Suspect, suspects_plot
from nlcli.detection.tag_plots import probabilities_plot
from nlcli.detection.tags import TAG_DETECTORS, make_tag_detector
from nlcli.detection.tags.base import TagDetector
from nlcli.detection.tags.detect_tags import TagSettings, detect_tags
from nlcli.errors import NlcliError
from nlcli.stages.options import flag_of, option_of
from nlcli.stages.stage import StageRecord, open_stage, read_stage

if TYPE_CHECKING:
    from nlcli.detection.config import DetectNoise

_OF_TAGS = ("from_run", "missing_threshold", "others", "floor")
_OF_SINGLE_LABELS = ("hold_out", "hold_out_classes", "use_held_out", "classifier", "class_images")


def options_of_tags(config: DetectNoise) -> list[str]:
    """Flags of the options that were given and mean something with several labels an image alone."""
    return _given(config, _OF_TAGS)


def detect_noise_in_tags(config: DetectNoise, source: StageRecord, *, force: bool) -> Path:
    """Give every entry of a data set with several labels an image a probability and a verdict; the directory written.

    Raises:
        NlcliError: see ``nlcli.detection.detect_noise``.
    """
    detector = _detector(config)
    inputs: dict[str, StageRecord | Path | str | None] = {
        "dataset": source,
        "features": read_stage(config.features, "features"),
        "from_run": None if config.from_run is None else read_stage(config.from_run, "run"),
    }
    settings = TagSettings(
        seed=config.seed,
        clean_fraction=config.clean_fraction,
        threshold=config.threshold,
        missing_threshold=config.missing_threshold,
        floor=config.floor,
        others=config.others,
    )
    made = open_stage("detection", config, inputs, seed=config.seed, force=force, format=TagDetectionRecord.FORMAT)
    with made as stage:
        if stage.up_to_date:
            return stage.output
        table, store = read_dataset(config.dataset), FeatureStore(config.features)
        store.require_images_of(table, config.dataset)
        came = detect_tags(
            settings,
            detector,
            table,
            store,
            config.dataset,
            stage.work,
            run=config.from_run,
            score=config.score,
            suspects=config.suspects,
        )
        for remark in came.info.remarks:
            say(f"note: {came.info.method}: {remark}")
        came.info.write(stage.work / DETECTION)
        if len(came.verified):
            probabilities_plot(came.verified, came.info.thresholds, stage.work / "scores.png")
        if len(came.suspects):
            suspects_plot(_suspects(table, came.suspects), stage.work / "suspects.png")
        stage.finish(_summary(came.info))
    return stage.output


def _detector(config: DetectNoise) -> TagDetector:
    """The detector that is asked for: the default one where none is named, a run's scores with ``--from``.

    Raises:
        NlcliError: options that mean nothing here, or do not fit together.
    """
    given = _given(config, _OF_SINGLE_LABELS)
    if given:
        raise NlcliError(f"{given[0]} is of data with one label an image, and this data set has several; leave it out")
    if config.threshold is not None and not 0 <= config.threshold <= 1:
        raise NlcliError(
            f"--threshold {config.threshold:g} is no probability; with several labels an image it is one from 0 to 1"
        )
    default = type(config).model_fields["method"].default
    name = config.method
    if name == default:
        name = "auto" if config.from_run is None else "run"
    detector = make_tag_detector(name, config.options)
    if detector.takes_run and config.from_run is None:
        raise NlcliError(f"--method {name} needs --from, the trained head whose scores it takes")
    if config.from_run is not None and not detector.takes_run:
        takers = [other for other, cls in TAG_DETECTORS.items() if cls.takes_run]
        raise NlcliError(f"--method {name} takes no scores of a run; leave out --from, or name {' or '.join(takers)}")
    return detector


def _given(config: DetectNoise, names: tuple[str, ...]) -> list[str]:
    fields = type(config).model_fields
    return [
        option_of(fields[name]).flag or flag_of(name) for name in names if getattr(config, name) != fields[name].default
    ]


# --- for people ------------------------------------------------------------------------------


def _suspects(table: LabelTable, entries: TagEntries) -> list[Suspect]:
    row = {key: i for i, key in enumerate(table.keys.tolist())}
    suspects = []
    for i in range(len(entries)):
        name = table.classes[int(entries.classes[i])]
        present = int(entries.verified[i])
        right = None if present < 0 else "right" if (present == 1) == bool(entries.given[i]) else "wrong"
        suspects.append(
            Suspect(
                str(entries.keys[i]),
                table.image_path(row[str(entries.keys[i])]),
                name if entries.given[i] else f"no {name}",
                float(entries.probability[i]),
                right,
            )
        )
    return suspects


def _summary(info: TagDetectionRecord) -> dict[str, Any]:
    """What ``nlcli info`` shows."""
    measured = info.measured
    where = "nothing is verified to measure on"
    if measured.split is not None:
        where = f"{measured.error.whole:,} verified entries of {measured.images:,} images of {measured.split}"
        where += ", cross-fitted" if measured.cross_fitted else ""
    summary: dict[str, Any] = {"method": info.method, "measured_on": where}
    for kind, tags, label in (("given", measured.given, "wrong"), ("missing", measured.missing, "missing")):
        threshold = info.thresholds["given" if kind == "given" else "missing"]
        summary |= {
            f"{kind}_threshold": threshold.value,
            f"called_{label}": sum(info.called["given" if kind == "given" else "missing"].values()),
            f"{label}_precision": share_told(tags.precision),
            f"{label}_recall": share_told(tags.recall),
        }
        if tags.surest is not None and tags.surest.value is not None:
            summary[f"surest_{label}_precision"] = share_told(tags.surest)
    summary |= {"label_error": share_told(measured.error), "label_error_before": share_told(measured.naive_error)}
    if info.planted is not None:
        summary |= {
            "planted_label_error": info.planted.error.value,
            "planted_label_error_before": info.planted.naive_error.value,
            "planted_images": info.planted.images,
        }
    summary |= {"clean_images": info.clean.images, **info.clean.apart, "images": sum(info.images.values())}
    return summary | ({"remarks": list(info.remarks)} if info.remarks else {})


def share_told(share: MeasuredShare) -> str:
    """A share with its interval and counts, for people."""
    if share.value is None or not np.isfinite(share.value):
        return "nothing to tell it by"
    ends = "too few to tell" if share.interval is None else f"{share.interval[0]:.4f} to {share.interval[1]:.4f}"
    return f"{share.value:.4f} ({share.count:,} of {share.whole:,}; {ends})"
