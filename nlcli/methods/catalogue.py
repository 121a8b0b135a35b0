"""The methods for people: the list, and each method's card with its citation.

A card's first line names the method, what it is, and the paper; the list is made from these lines,
so that it needs no import of a method's file.
"""

from __future__ import annotations

import re
from importlib import resources
from typing import Any

from nlcli.config import unknown_name
from nlcli.errors import NlcliError
from nlcli.methods import METHODS, get_method

_TITLE = re.compile(r"# `(?P<name>[a-z-]+)`: (?P<title>.+) \((?P<paper>[^()]+)\)")


def listing() -> list[dict[str, str]]:
    """``name``, ``title`` and ``paper`` of every method."""
    return [_heading(name) for name in METHODS]


def describe(name: str) -> dict[str, Any]:
    """Everything about one method: its card (Markdown), citation (BibTeX), options, presets, scores."""
    if name not in METHODS:
        raise NlcliError(unknown_name(name, METHODS, "method"))
    method = get_method(name)
    return {
        **_heading(name),
        "card": _card(name),
        "citation": method.citation,
        "options": {
            option: {"default": field.default, "description": field.description}
            for option, field in method.Config.model_fields.items()
        },
        "presets": {preset: dict(settings) for preset, settings in method.presets.items()},
        "scores": list(method.scores),
    }


def _card(name: str) -> str:
    return resources.files("nlcli.methods").joinpath("cards", f"{name}.md").read_text(encoding="utf-8")


def _heading(name: str) -> dict[str, str]:
    first = _card(name).splitlines()[0]
    found = _TITLE.fullmatch(first)
    if found is None or found["name"] != name:
        raise ValueError(f"card of {name} does not begin with '# `{name}`: TITLE (PAPER)'")
    return found.groupdict()
