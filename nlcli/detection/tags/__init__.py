"""Which tags are wrong and which are missing, with several labels an image; a detector is imported when asked for.

What the author of a detector of tags needs comes from here (docs/add-your-own.md): the base class, its options, and
what it sees of a data set.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nlcli.registry import Catalogue

if TYPE_CHECKING:
    from nlcli.detection.tags.base import TagData as TagData
    from nlcli.detection.tags.base import TagDetector as TagDetector
    from nlcli.detection.tags.base import TagDetectorConfig as TagDetectorConfig

_OF_AUTHORS = ("TagData", "TagDetector", "TagDetectorConfig")


def __getattr__(name: str) -> Any:
    if name not in _OF_AUTHORS:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(importlib.import_module("nlcli.detection.tags.base"), name)


def _facts(detector: type[TagDetector]) -> dict[str, Any]:
    return {"uses_verification": detector.uses_verification}


TAG_DETECTORS: Catalogue[TagDetector, TagDetectorConfig] = Catalogue(
    "detector of tags",
    "nlcli.tag_detectors",
    {
        "auto": "nlcli.detection.tags.detectors.combined:Combined",
        "margin": "nlcli.detection.tags.detectors.checked_margin:CheckedMargin",
        "posterior": "nlcli.detection.tags.detectors.posterior_tags:PosteriorTags",
        "confident-learning": "nlcli.detection.tags.detectors.confident_tags:ConfidentTags",
        "neighbours": "nlcli.detection.tags.detectors.neighbour_tags:NeighbourTags",
        "run": "nlcli.detection.tags.detectors.trained_run:TrainedRun",
        "naive": "nlcli.detection.tags.detectors.given_tags:GivenTags",
    },
    "nlcli.detection.tags.base:TagDetector",
    _facts,
)


def make_tag_detector(name: str, options: Mapping[str, Any] | None = None) -> TagDetector:
    """Detector ``name`` with its defaults and then ``options``.

    Raises:
        NlcliError: unknown detector or option, or a value out of range.
    """
    return TAG_DETECTORS.get(name)(TAG_DETECTORS.configure(name, options))
