"""Label-noise detection: the registry of detectors; a detector's file is imported when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from nlcli.errors import NlcliError, first_problem, unknown_name

if TYPE_CHECKING:
    from nlcli.detection.base import Detector

# Name -> module:class, in the order of Lee 2018's table 2.
DETECTORS = {
    "naive": "naive:Naive",
    "mlp": "supervised:Mlp",
    "knn": "supervised:Knn",
    "svm": "supervised:Svm",
    "label-propagation": "propagation:LabelPropagation",
    "label-spreading": "propagation:LabelSpreading",
    "classification-filter": "classification_filter:ClassificationFilter",
    "drae": "drae:Drae",
    "average": "average:Average",
    "cleannet": "cleannet:CleanNetDetector",
    "confident-learning": "confident_learning:ConfidentLearning",
}
_ON_TENSORFLOW = {"drae", "cleannet"}


def get_detector(name: str) -> type[Detector]:
    """The detector called ``name``; NlcliError naming the nearest one when there is none."""
    if name not in DETECTORS:
        raise NlcliError(unknown_name(name, DETECTORS, "detector"))
    if name in _ON_TENSORFLOW:  # their modules import it at the top
        from nlcli.runtime import quiet_tensorflow

        quiet_tensorflow()
    module, cls = DETECTORS[name].split(":")
    return getattr(importlib.import_module(f"nlcli.detection.detectors.{module}"), cls)


def make_detector(name: str, options: Mapping[str, Any] | None = None, scale: float = 1.0) -> Detector:
    """Detector ``name`` with its defaults and then ``options``; ``scale`` is a factor on its steps, if it has any.

    Raises:
        NlcliError: unknown detector or option, or a value out of range.
    """
    detector, options = get_detector(name), dict(options or {})
    for option in sorted(options):
        if option not in detector.Config.model_fields:
            known = detector.Config.model_fields
            what = unknown_name(option, known, "option") if known else f"unknown option '{option}'; it has none"
            raise NlcliError(f"detector {name}: {what}")
    try:
        config = detector.Config(**options)
    except ValidationError as error:
        raise NlcliError(f"detector {name}: {first_problem(error)}") from error
    steps = getattr(config, "steps", None)
    return detector(config if steps is None else config.model_copy(update={"steps": max(1, round(scale * steps))}))
