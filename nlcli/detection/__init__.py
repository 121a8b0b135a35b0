"""Label-noise detection; a detector's file is imported when it is asked for.

What the author of a detector needs comes from here (docs/add-your-own.md): the base class, its options, and what it
sees of a data set.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nlcli.registry import Catalogue

if TYPE_CHECKING:
    from nlcli.detection.base import Data as Data
    from nlcli.detection.base import Detector as Detector
    from nlcli.detection.base import DetectorConfig as DetectorConfig
    from nlcli.detection.base import Images as Images

_OF_AUTHORS = ("Data", "Detector", "DetectorConfig", "Images")


def __getattr__(name: str) -> Any:
    if name not in _OF_AUTHORS:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(importlib.import_module("nlcli.detection.base"), name)


def _facts(detector: type[Detector]) -> dict[str, Any]:
    return {"uses_verification": detector.uses_verification, "soft_weights": detector.soft}


# Those for any data, then those of Lee 2018's table 2 in its order.
DETECTORS: Catalogue[Detector, DetectorConfig] = Catalogue(
    "detector",
    "nlcli.detectors",
    {
        "auto": "nlcli.detection.detectors.auto:Auto",
        "margin": "nlcli.detection.detectors.margin:Margin",
        "neighbours": "nlcli.detection.detectors.neighbours:NeighboursVote",
        "posterior": "nlcli.detection.detectors.posterior:Posterior",
        "naive": "nlcli.detection.detectors.naive:Naive",
        "mlp": "nlcli.detection.detectors.mlp:Mlp",
        "knn": "nlcli.detection.detectors.knn:Knn",
        "svm": "nlcli.detection.detectors.svm:Svm",
        "label-propagation": "nlcli.detection.detectors.label_propagation:LabelPropagation",
        "label-spreading": "nlcli.detection.detectors.label_spreading:LabelSpreading",
        "classification-filter": "nlcli.detection.detectors.classification_filter:ClassificationFilter",
        "drae": "nlcli.detection.detectors.drae:Drae",
        "one-class-svm": "nlcli.detection.detectors.one_class_svm:OneClassSvm",
        "average": "nlcli.detection.detectors.average:Average",
        "cleannet": "nlcli.detection.detectors.cleannet:CleanNetDetector",
        "confident-learning": "nlcli.detection.detectors.confident_learning:ConfidentLearning",
    },
    "nlcli.detection.base:Detector",
    _facts,
)
get_detector = DETECTORS.get


def make_detector(name: str, options: Mapping[str, Any] | None = None, scale: float = 1.0) -> Detector:
    """Detector ``name`` with its defaults and then ``options``; ``scale`` is a factor on its steps, if it has any.

    Raises:
        NlcliError: unknown detector or option, or a value out of range.
    """
    config = DETECTORS.configure(name, options)
    steps = getattr(config, "steps", None)
    scaled = config if steps is None else config.model_copy(update={"steps": max(1, round(scale * steps))})
    return DETECTORS.get(name)(scaled)
