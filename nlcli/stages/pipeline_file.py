"""The syntax of pipeline files: includes, rounds and combinations unfolded into a flat list of stages.

What the stages' options mean is ``pipeline.py``'s business.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nlcli.errors import NlcliError, unknown_name
from nlcli.stages.addresses import refuse_address
from nlcli.stages.files import parse_yaml
from nlcli.stages.foreign_files import FIRST_BYTES, encoding_of, foreign_kind

_TOP_KEYS = ("name", "about", "workdir", "include", "stages")
_STAGE_KEYS = ("name", "run", "each", "with")
_ROUNDS_KEYS = ("rounds", "until", "stages")
_IN_ROUNDS = (*_STAGE_KEYS, "in")
_COUNTERS = ("round", "previous")
_MOST_COMBINATIONS = 100_000
_MOST_ROUNDS = 1000


@dataclass(frozen=True)
class Entry:
    """A stage as the file states it, for one round and one combination of ``each``.

    Attributes:
        where: File and position, for what is said about mistakes.
        root: Directory that its output goes into.
        name, run: The stage's name, and the stage command.
        options: What stands under ``with``; ``${...}`` as it is, every other placeholder filled.
        block, round: Where the rounds stand that it is part of, and in which of them; None outside of rounds.
    """

    where: str
    root: Path
    name: str
    run: str
    options: dict[str, Any]
    block: str | None = None
    round: int | None = None


@dataclass(frozen=True)
class Rounds:
    """Rounds that end when a stage gets no better.

    Attributes:
        where: File and position.
        count: How many there are at most.
        until: Name or pattern of the stage, with ``{round}`` in it.
    """

    where: str
    count: int
    until: str

    def judged(self, number: int) -> str:
        """Name or pattern of the stage in round ``number``; in round 0 of what stands before."""
        return self.until.replace("{round}", str(number))


@dataclass(frozen=True)
class PipelineFile:
    """A pipeline file with what it includes, unfolded."""

    name: str
    about: str
    root: Path
    entries: tuple[Entry, ...]
    until: tuple[Rounds, ...]


def read_pipeline_file(
    path: Path,
    workdir: Path | None = None,
    *,
    suffix: str = "",
    rounds: int | None = None,
    ended: Mapping[str, int] | None = None,
) -> PipelineFile:
    """Read a pipeline file and those it includes.

    Args:
        path: The file.
        workdir: Where all stages go, instead of the files' own work directories.
        suffix: Added to the name of every work directory.
        rounds: Instead of the number that every ``rounds`` states.
        ended: By where rounds stand after how many of them they ended.

    Raises:
        NlcliError: with file and stage, for anything malformed or unknown, files that include each
            other, or ``rounds`` given where there are none.
    """
    if rounds is not None and not _is_count(rounds):
        raise NlcliError(f"--rounds {rounds}: expected a whole number from 1 to {_MOST_ROUNDS}")
    reader = _Reader(workdir, suffix, rounds, ended or {})
    content = reader.read(path, None, ())
    if rounds is not None and not reader.has_rounds:
        raise NlcliError(f"--rounds {rounds}: {path} has no 'rounds'; leave the option out")
    return PipelineFile(
        reader.name(path, content),
        str(content.get("about", "")),
        reader.root(path, content, None),
        tuple(reader.entries),
        tuple(reader.until),
    )


@dataclass
class _Reader:
    workdir: Path | None
    suffix: str
    rounds: int | None
    ended: Mapping[str, int]
    entries: list[Entry] = field(default_factory=list)
    until: list[Rounds] = field(default_factory=list)
    has_rounds: bool = False
    _read: set[Path] = field(default_factory=set)

    def name(self, path: Path, content: dict[str, Any]) -> str:
        return str(content.get("name", path.stem))

    def root(self, path: Path, content: dict[str, Any], outer: Path | None) -> Path:
        """Where a file's stages go: an included one's where they go when it is run by itself."""
        if outer is not None and (self.workdir is not None or "workdir" not in content):
            return outer
        root = self.workdir or Path(str(content.get("workdir", f"runs/{self.name(path, content)}")))
        refuse_address(root, "--workdir" if self.workdir else f"{path}: workdir", path=True, written=True)
        if not self.suffix:
            return root
        whole = root if root.name else Path(os.path.abspath(root))  # '.', or the root of the disk
        if not whole.name:
            raise NlcliError(f"{whole} is the root of the disk; give --workdir a directory of its own")
        return whole.with_name(whole.name + self.suffix)

    def read(self, path: Path, outer: Path | None, above: tuple[Path, ...]) -> dict[str, Any]:
        """Append the entries of ``path``, behind those of what it includes."""
        content = _load(path)
        stages = content.get("stages", [] if "include" in content else None)
        if not isinstance(stages, list):
            raise NlcliError(f"{path}: expected a mapping with a list 'stages'")
        _check_keys(content, _TOP_KEYS, str(path))
        for key in ("name", "about", "workdir"):
            value = content.get(key, "-")
            if isinstance(value, bool) or not isinstance(value, str | int | float) or not str(value).strip():
                raise NlcliError(f"{path}: '{key}' is empty or no text; write one behind it, or leave the line out")
        root, before = self.root(path, content, outer), len(self.entries)
        above = (*above, path.resolve())
        for other in _included(path, content):
            if other.resolve() in above:
                raise NlcliError(f"{path}: includes {other}, which leads back to it; files may not include each other")
            if other.resolve() not in self._read:  # two files may share a third: its stages stand once
                self.read(other, root, above)
        for number, entry in enumerate(stages, start=1):
            where = f"{path}, stage {number}"
            if isinstance(entry, dict) and "rounds" in entry:
                self._add_rounds(entry, where, root)
            else:
                self._add(entry, where, root, {})
        if len(self.entries) == before and "include" not in content:
            raise NlcliError(f"{path}: 'stages' is empty")
        self._read.add(path.resolve())
        return content

    def _add_rounds(self, block: dict[str, Any], where: str, root: Path) -> None:
        _check_keys(block, _ROUNDS_KEYS, where)
        count, stages = block["rounds"], block.get("stages")
        if not _is_count(count):
            raise NlcliError(f"{where}: 'rounds' must be a whole number from 1 to {_MOST_ROUNDS}, not {count!r}")
        if not isinstance(stages, list) or not stages:
            raise NlcliError(f"{where}: 'rounds' needs a list 'stages' of what is repeated")
        self.has_rounds = True
        count = self.ended.get(where, count if self.rounds is None else self.rounds)
        if "until" in block:
            self.until.append(Rounds(where, count, _judged(block["until"], where)))
        for number in range(1, count + 1):
            for inner, entry in enumerate(stages, start=1):
                place = f"{where}.{inner}"
                if isinstance(entry, dict) and "rounds" in entry:
                    raise NlcliError(f"{place}: rounds within rounds are not possible; write the inner stages out")
                if _is_in(entry, number, place):
                    self._add(entry, place, root, {"round": number, "previous": number - 1}, where)

    def _add(self, entry: Any, where: str, root: Path, counters: dict[str, int], block: str | None = None) -> None:
        if not isinstance(entry, dict):
            raise NlcliError(f"{where}: expected a mapping with 'name', 'run' and 'with'")
        if "in" in entry and not counters:
            raise NlcliError(f"{where}: 'in' names the rounds of a stage, but this one is not within 'rounds'")
        _check_keys(entry, _IN_ROUNDS if counters else _STAGE_KEYS, where)
        for key in ("name", "run"):
            if not isinstance(entry.get(key), str):
                raise NlcliError(f"{where}: '{key}' is missing or not a text")
        options = entry.get("with", {})
        if not isinstance(options, dict):
            raise NlcliError(f"{where}: 'with' must map options to values")
        for choice in _combinations(entry.get("each", {}), where):
            for key in _COUNTERS:
                if key in choice:
                    raise NlcliError(f"{where}: '{key}' is what 'rounds' counts; give what 'each' varies another name")
            values = choice | counters
            name, filled = _filled(entry["name"], values), _filled(options, values)
            if not counters and any(_mentions([name, filled], key) for key in _COUNTERS):
                raise NlcliError(f"{where}: {{round}} and {{previous}} have a meaning only within 'rounds'")
            self.entries.append(Entry(where, root, str(name), entry["run"], filled, block, counters.get("round")))


def _load(path: Path) -> dict[str, Any]:
    if path.is_dir():
        inside = sorted(one for one in path.iterdir() if one.suffix in (".yaml", ".yml"))
        such = f", such as {inside[0]}" if inside else ""
        raise NlcliError(f"{path} is a folder, not a pipeline; name a pipeline file{such}")
    try:
        raw = path.read_bytes()
        kind = foreign_kind(raw[:FIRST_BYTES])
        if kind is not None:
            raise NlcliError(f"{path} {kind}")
        content = parse_yaml(raw.decode(encoding_of(raw[:FIRST_BYTES])), str(path))
    except FileNotFoundError as error:
        meant = [
            path.with_name(f"{path.name}.yaml"),
            Path("pipelines", path.name),
            Path("pipelines", f"{path.name}.yaml"),
        ]
        told = next((f"; did you mean {one}?" for one in meant if one.is_file()), f": {error.strerror}")
        raise NlcliError(f"cannot read pipeline {path}{told}") from None
    except UnicodeDecodeError as error:
        raise NlcliError(f"cannot read pipeline {path}: byte {error.start} is not UTF-8; save it as UTF-8") from error
    except OSError as error:
        raise NlcliError(f"cannot read pipeline {path}: {error.strerror or error}") from error
    if not isinstance(content, dict):
        raise NlcliError(f"{path}: expected a mapping with a list 'stages'")
    return content


def _included(path: Path, content: dict[str, Any]) -> Iterator[Path]:
    names = content.get("include", [])
    for name in [names] if isinstance(names, str) else names if isinstance(names, list) else [None]:
        if not isinstance(name, str) or not name:
            raise NlcliError(f"{path}: 'include' must be a pipeline file, relative to this one, or a list of them")
        yield path.parent / name


def _check_keys(mapping: dict[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in mapping:
        if key not in known:
            within = "; options of a stage stand under 'with'" if "with" in known and "run" in known else ""
            raise NlcliError(f"{where}: {unknown_name(str(key), known, 'key')}{within}")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MOST_ROUNDS


def _judged(until: Any, where: str) -> str:
    if not isinstance(until, str) or not _mentions(until, "round"):
        raise NlcliError(
            f"{where}: 'until' must name the stage that has to get better, with {{round}} in its name, not {until!r}"
        )
    return until


def _is_in(entry: Any, number: int, where: str) -> bool:
    """Whether a stage stands in round ``number``: in all, in those that ``in`` names."""
    wanted = entry.get("in") if isinstance(entry, dict) else None
    if wanted in ("first", "later"):
        return bool((number == 1) == (wanted == "first"))
    if isinstance(wanted, list) and wanted and all(_is_count(value) for value in wanted):
        return number in wanted
    if wanted is not None:
        raise NlcliError(f"{where}: 'in' must be first, later, or a list of rounds, not {wanted!r}")
    return True


def _combinations(each: Any, where: str) -> list[dict[str, Any]]:
    if not isinstance(each, dict) or not all(isinstance(values, list) and values for values in each.values()):
        raise NlcliError(f"{where}: 'each' must map names to non-empty lists")
    if math.prod(len(values) for values in each.values()) > _MOST_COMBINATIONS:
        raise NlcliError(f"{where}: 'each' makes more than {_MOST_COMBINATIONS:,} stages; vary less")
    return [dict(zip(each, values, strict=True)) for values in itertools.product(*each.values())]


def _filled(value: Any, choice: dict[str, Any]) -> Any:
    """Put ``choice`` into ``{name}``; a text that is only ``{name}`` keeps the value's type."""
    if isinstance(value, dict):
        return {key: _filled(inner, choice) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, choice) for inner in value]
    if not isinstance(value, str):
        return value
    for key, chosen in choice.items():
        if value == f"{{{key}}}":
            return chosen
        value = value.replace(f"{{{key}}}", str(chosen))
    return value


def _mentions(value: Any, key: str) -> bool:
    if isinstance(value, dict):
        return any(_mentions(inner, key) for inner in value.values())
    if isinstance(value, list):
        return any(_mentions(inner, key) for inner in value)
    return isinstance(value, str) and f"{{{key}}}" in value
