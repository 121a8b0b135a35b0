"""The detect-noise stage: which noisy labels are wrong, by one of the registered detectors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nlcli.data.detection_files import DetectionRecord
from nlcli.data.features.store import FeatureStore
from nlcli.data.label_files import DESCRIPTION, DatasetRecord, read_dataset
from nlcli.detection import DETECTORS, make_detector
from nlcli.detection.base import Detector
from nlcli.detection.several_labels import detect_noise_in_tags, options_of_tags
from nlcli.detection.single_label import detect_wrong_labels
from nlcli.detection.tags import TAG_DETECTORS
from nlcli.errors import NlcliError
from nlcli.stages.stage import StageRecord, open_stage, read_stage

if TYPE_CHECKING:
    from nlcli.detection.config import DetectNoise


def detect_noise(config: DetectNoise, *, force: bool = False) -> Path:
    """Score every noisy label of a data set and call it right or wrong; the directory written.

    What it holds is described in ``nlcli.data.detection_files``, with several labels an image in
    ``nlcli.data.tag_detection_files``. Held-out classes lend their images, not
    their verification: neither the detector nor the threshold sees any of it.

    Raises:
        NlcliError: an unknown detector or option, or options of the other kind of data sets; features of another one;
            nothing verified where the detector or the threshold needs it; scores that are not finite.
    """
    source = read_stage(config.dataset, "dataset")
    if DatasetRecord.read(source.path / DESCRIPTION).task == "multi-label":
        return detect_noise_in_tags(config, source, force=force)
    detector = make_detector(config.method, config.options, config.scale)
    _check(config, detector)
    features = read_stage(config.features, "features")
    inputs: dict[str, StageRecord | Path | str | None] = {
        "dataset": source,
        "features": features,
        "classifier": None if config.classifier is None else read_stage(config.classifier, "run"),
        "hold_out_classes": config.hold_out_classes,
    }
    made = open_stage("detection", config, inputs, seed=config.seed, force=force, format=DetectionRecord.FORMAT)
    with made as stage:
        if stage.up_to_date:
            return stage.output
        table, store = read_dataset(config.dataset), FeatureStore(config.features)
        store.require_images_of(table, config.dataset)
        stage.finish(detect_wrong_labels(config, detector, table, store, stage.work))
    return stage.output


def check_options(config: DetectNoise) -> None:
    """Refuse what no data set could make right, whether its images have one label or several.

    Raises:
        NlcliError: an unknown detector, an option that it has for neither kind of data, or a value out of range.
    """
    refused: list[NlcliError] = []
    catalogues = (DETECTORS, TAG_DETECTORS)
    for catalogue in [one for one in catalogues if config.method in one] or [DETECTORS]:
        try:
            catalogue.configure(config.method, config.options)
        except NlcliError as error:
            refused.append(error)
        else:
            return
    raise refused[0]


def _check(config: DetectNoise, detector: Detector) -> None:
    detector.check()
    given = options_of_tags(config)
    if given:
        raise NlcliError(f"{given[0]} is of data with several labels an image, and this data set has one; leave it out")
    if config.classifier is not None and not detector.takes_classifier:
        raise NlcliError(f"{config.method} takes no --classifier; leave it out")
    if config.threshold is not None and detector.fixed_threshold:
        raise NlcliError(f"{config.method} has no threshold to choose; leave out --threshold")
    if config.hold_out is not None and config.hold_out_classes is not None:
        raise NlcliError("--hold-out and --hold-out-classes both name the held-out classes; leave one out")
    if config.use_held_out and config.hold_out is None and config.hold_out_classes is None:
        raise NlcliError("--use-held-out needs --hold-out or --hold-out-classes, whose classes it reports on")
