"""Where everything on a page came from, and the commands that make it again."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from nlcli.console import duration
from nlcli.reporting.given import Step
from nlcli.stages.lineage import what_of
from nlcli.stages.repeat import command_words


@dataclass(frozen=True)
class Place:
    """A directory or file as seen from the page.

    Attributes:
        told: For people.
        link: For a browser: leads nowhere but to files.
    """

    told: str
    link: str

    @classmethod
    def of(cls, path: Path, page: Path) -> Place:
        """``path`` as seen from the folder of ``page``."""
        relative = os.path.relpath(os.path.realpath(path), os.path.realpath(page.parent))
        told = Path(relative).as_posix()
        return cls(told, quote(f"./{told}", safe="/", errors="surrogateescape"))


@dataclass(frozen=True)
class Origin:
    """A stage, what it made and from what.

    Attributes:
        made_from: Numbers of the stages that it read, from 1, by what they are for it.
        command: None where the command is not known here.
        missing: Inputs that are gone, or other ones by now.
    """

    number: int
    place: Place
    what: str
    given: bool
    made_from: tuple[tuple[str, int], ...]
    command: str | None
    seed: int | None
    took: str
    fingerprint: str
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Origins:
    """All stages, each after what it was made from, and the versions that made them."""

    stages: tuple[Origin, ...]
    versions: tuple[tuple[str, str], ...]


def tell_origins(steps: Sequence[Step], page: Path) -> Origins:
    """What is told of ``steps``, as seen from ``page``."""
    numbers = {step.record.fingerprint: number for number, step in enumerate(steps, 1)}
    stages = []
    for step in steps:
        record = step.record
        words = command_words(record)
        stages.append(
            Origin(
                number=numbers[record.fingerprint],
                place=Place.of(record.path, page),
                what=what_of(record.kind),
                given=step.given,
                made_from=tuple(
                    (name, numbers[entry.fingerprint])
                    for name, entry in record.inputs.items()
                    if entry.fingerprint in numbers and entry.fingerprint != record.fingerprint
                ),
                command=None if words is None else shlex.join(words),
                seed=record.seed,
                took=duration(record.seconds),
                fingerprint=record.fingerprint.removeprefix("sha256:")[:12],
                missing=step.missing,
            )
        )
    return Origins(tuple(stages), _versions(steps))


def _versions(steps: Sequence[Step]) -> tuple[tuple[str, str], ...]:
    """Of every library; several of them where the stages were made with several."""
    known: dict[str, dict[str, None]] = {}
    for step in steps:
        for name, version in step.record.versions.items():
            known.setdefault(name, {})[version] = None
    return tuple((name, ", ".join(versions)) for name, versions in known.items())
