"""What is told of a finished stage: settings, numbers, and curves over steps."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nlcli.errors import printable
from nlcli.stages.files import fingerprint_json, read_json
from nlcli.stages.publishing import RECORD
from nlcli.training.loop.history import CountedSteps, Evaluation, read_history
from nlcli.training.result import RESULT, HeadResult, read_result

if TYPE_CHECKING:
    from nlcli.stages.stage import StageRecord

_NO_NAME = re.compile(r"[^\w\-. /]")
_HASH = re.compile(r"sha256:[0-9a-f]{64}")
_LONGEST_NAME, _LONGEST_TEXT = 200, 400


@dataclass(frozen=True)
class ToldStage:
    """One stage, its names and texts fit for other programs.

    Attributes:
        name: Of its directory.
        kind: Such as ``run``.
        fingerprint: Of its content.
        settings: What decided the result, as texts by name.
        numbers: What came of it.
        history: How a training went; empty for what is none.
        solved: Whether its phases are candidates beside each other, and not one behind the other.
        about: More texts: versions, fingerprints of what it was made from.
    """

    name: str
    kind: str
    fingerprint: str
    settings: Mapping[str, str]
    numbers: Mapping[str, float]
    history: tuple[Evaluation, ...]
    solved: bool
    about: Mapping[str, str]

    def points(self) -> Iterator[tuple[str, float, int]]:
        """Name, value and step of all points of its curves."""
        counted = CountedSteps()
        for entry in self.history:
            before = f"{entry.phase}/" if self.solved else ""
            step = entry.step if self.solved else counted(entry)
            for part, values in (("train", entry.train), ("validation", entry.validation)):
                for name, value in values.items():
                    if math.isfinite(value):
                        yield plain_name(f"{before}{part}/{name}"), value, step


def told_stage(record: StageRecord) -> ToldStage:
    """What is told of the finished stage ``record``.

    Raises:
        NlcliError: a file of it is damaged.
    """
    recipe = read_json(record.path / RECORD).get("recipe") if record.path.is_dir() else {}
    settings = dict(recipe.get("config", {})) if isinstance(recipe, dict) else {}
    result = read_result(record.path) if (record.path / RESULT).is_file() else None
    solved = isinstance(result, HeadResult) and result.solved is not None
    if isinstance(result, HeadResult):
        settings |= {f"settings/{name}": value for name, value in result.settings.items()}
    about = {f"input {name}": entry.fingerprint for name, entry in record.inputs.items()}
    about |= {f"version {name}": version for name, version in record.versions.items()}
    return ToldStage(
        name=printable(record.path.name),
        kind=printable(record.kind),
        fingerprint=record.fingerprint if _HASH.fullmatch(record.fingerprint) else fingerprint_json(record.fingerprint),
        settings={plain_name(name): text for name, text in _texts(settings)},
        numbers={plain_name(name): value for name, value in _numbers(record.summary)},
        history=tuple(read_history(record.path) or ()) if record.kind in ("run", "backbone") else (),
        solved=solved,
        about={plain_name(name): printable(text, _LONGEST_TEXT) for name, text in about.items()},
    )


def plain_name(name: str) -> str:
    """``name`` as every program takes it: letters, digits, spaces and ``_-./``, no part empty or of dots alone."""
    parts = [part for part in _NO_NAME.sub("_", name).split("/") if part.strip(". ")]
    return "/".join(parts)[:_LONGEST_NAME].rstrip("/ ") or "unnamed"


def _texts(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _texts(value, f"{before}{name}/")
        elif value is not None:
            yield f"{before}{name}", printable(str(value), _LONGEST_TEXT)


def _numbers(values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            yield name, float(value)
