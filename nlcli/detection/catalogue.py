"""The detectors for people: the list, and each detector's card with its citation."""

from __future__ import annotations

from typing import Any

from nlcli.detection import DETECTORS, get_detector
from nlcli.errors import NlcliError, unknown_name
from nlcli.methods.catalogue import card_of, heading_of, options_of

_CARDS = "nlcli.detection"


def listing() -> list[dict[str, str]]:
    """``name``, ``title`` and ``paper`` of every detector."""
    return [heading_of(_CARDS, name) for name in DETECTORS]


def describe(name: str) -> dict[str, Any]:
    """Everything about one detector: its card (Markdown), citation (BibTeX), options, whether it needs verification."""
    if name not in DETECTORS:
        raise NlcliError(unknown_name(name, DETECTORS, "detector"))
    detector = get_detector(name)
    return {
        **heading_of(_CARDS, name),
        "card": card_of(_CARDS, name),
        "citation": detector.citation,
        "options": options_of(detector.Config),
        "uses_verification": detector.uses_verification,
        "soft_weights": detector.soft,
    }
