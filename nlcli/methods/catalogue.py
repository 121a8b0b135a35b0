"""The methods for people: the list, and each method's card with its citation.

A card's first line names the method, what it is, and the paper; the list is made from these lines,
so that it needs no import of a method's file.
"""

from __future__ import annotations

import re
from importlib import resources
from typing import Any

from nlcli.errors import NlcliError, unknown_name
from nlcli.methods import METHODS, get_method

_CARDS = "nlcli.methods"
_TITLE = re.compile(r"# `(?P<name>[a-z-]+)`: (?P<title>.+) \((?P<paper>[^()]+)\)")


def listing() -> list[dict[str, str]]:
    """``name``, ``title`` and ``paper`` of every method."""
    return [heading_of(_CARDS, name) for name in METHODS]


def describe(name: str) -> dict[str, Any]:
    """Everything about one method: its card (Markdown), citation (BibTeX), options, presets, scores."""
    if name not in METHODS:
        raise NlcliError(unknown_name(name, METHODS, "method"))
    method = get_method(name)
    return {
        **heading_of(_CARDS, name),
        "card": card_of(_CARDS, name),
        "citation": method.citation,
        "options": options_of(method.Config),
        "presets": {preset: dict(settings) for preset, settings in method.presets.items()},
        "scores": list(method.scores),
    }


def options_of(config: Any) -> dict[str, dict[str, Any]]:
    """Default and description of every field of a configuration model."""
    return {
        option: {"default": field.default, "description": field.description}
        for option, field in config.model_fields.items()
    }


def card_of(package: str, name: str) -> str:
    """The card ``name`` (Markdown) among those of ``package``."""
    return resources.files(package).joinpath("cards", f"{name}.md").read_text(encoding="utf-8")


def heading_of(package: str, name: str) -> dict[str, str]:
    """``name``, ``title`` and ``paper`` by the first line of a card."""
    first = card_of(package, name).splitlines()[0]
    found = _TITLE.fullmatch(first)
    if found is None or found["name"] != name:
        raise ValueError(f"card of {name} does not begin with '# `{name}`: TITLE (PAPER)'")
    return found.groupdict()
