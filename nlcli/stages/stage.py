"""Stage directories: fingerprints, resuming, skipping, refusing to overwrite.

A stage writes into ``OUT.partial`` and renames it to ``OUT`` when everything is there, with ``stage.json`` as the
last file written. Killed at any moment, it is resumed by the same command (``publishing.py``). The lock is on the
directory ``OUT.partial`` itself, so the kernel drops it with the process.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from nlcli.console import say
from nlcli.errors import NlcliError, first_problem
from nlcli.registry import load
from nlcli.runtime import versions
from nlcli.stages.embedded_record import read_embedded
from nlcli.stages.files import (
    fingerprint_file,
    fingerprint_folder,
    fingerprint_json,
    read_json,
    system_sentences,
    write_json,
)
from nlcli.stages.publishing import (
    RECIPE,
    RECORD,
    claim,
    empty,
    place_of,
    publish,
    refuse_what_is_not_ours,
    remove_temporary_files,
    standing,
    tidy,
    work_path,
)
from nlcli.stages.records import InputRecord, StageFile

if TYPE_CHECKING:
    from nlcli.stages.config import StageConfig

_Config = TypeVar("_Config", bound="StageConfig")
SCHEMA = 1
PICTURES = "pictures.parquet"
"""What the pictures were that a stage read: kept beside its result and no part of it."""
_MOST_FILES_LISTED = 200
_SPOKEN = {"dataset": "data set", "features": "features directory"}  # inputs that sentences call otherwise


# --- finished stages -------------------------------------------------------------------------


@dataclass(frozen=True)
class StageRecord:
    """What ``stage.json`` of a finished stage says."""

    path: Path
    kind: str
    config: dict[str, Any]
    inputs: Mapping[str, InputRecord]
    fingerprint: str
    seed: int | None
    versions: dict[str, str]
    summary: dict[str, Any]
    seconds: float
    files: dict[str, str] = field(default_factory=dict)

    def input_fingerprint(self, name: str) -> str | None:
        """Fingerprint of the content of the input ``name``; None where there was no such input."""
        entry = self.inputs.get(name)
        return None if entry is None else entry.fingerprint

    def input_path(self, name: str) -> Path | None:
        """Where the input ``name`` lay when this stage read it (relative paths: from this stage)."""
        entry = self.inputs.get(name)
        if entry is None or entry.path is None:
            return None
        recorded = Path(entry.path)
        here = self.path.parent if self.path.is_file() else self.path
        if not recorded.exists() and entry.relative is not None and (here / entry.relative).exists():
            return (here / entry.relative).resolve()  # the whole work directory was moved
        return recorded

    def input_stage(self, name: str, instead: str | None = None) -> StageRecord:
        """The stage that was read as ``name``, as long as it is there and holds what it held then.

        Args:
            instead: What can be passed in its place, such as ``--dataset``; the sentence names it.

        Raises:
            NlcliError: there was no such input, or it is gone or has changed.
        """
        entry, where = self.inputs.get(name), self.input_path(name)
        what = _SPOKEN.get(name, name)
        hint = "" if instead is None else f"pass {instead}, or "
        if entry is None or where is None:
            told = f"{self.path} does not tell of its {what}"
            raise NlcliError(told if instead is None else f"{told}; pass {instead}")
        if not where.exists():
            raise NlcliError(f"the {what} of {self.path} is no longer at {where}; {hint}make it again")
        record = read_stage(where, entry.stage)
        if record.fingerprint != entry.fingerprint:
            raise NlcliError(f"{where} changed since {self.path} was made from it; {hint}make {self.path} again")
        return record


def read_stage(path: Path | str, kind: str | tuple[str, ...] | None = None) -> StageRecord:
    """The record of the finished stage at ``path``.

    Raises:
        NlcliError: nothing there, not a stage, unfinished, of another kind, a newer format, or a record
            that is damaged. A page is read as a directory is.
    """
    path = Path(path)
    kinds = (kind,) if isinstance(kind, str) else kind
    wanted = f"{_with_article(' or '.join(kinds))} directory" if kinds else "a directory made by nlcli"
    if not path.exists():
        if work_path(path).exists():
            raise NlcliError(f"{path} is unfinished; run the command that makes it again to complete it")
        raise NlcliError(f"{path} does not exist; expected {wanted}")
    if path.is_file() and kinds and path.suffix.lower() != ".html":
        raise NlcliError(f"{path} is a file; expected {wanted}")
    if not path.is_file() and not (path / RECORD).is_file():
        raise NlcliError(f"{path} is not {wanted}: it has no {RECORD}")
    file = _read_file(path)
    if not file.complete:
        raise NlcliError(f"{path} is unfinished; run the command that makes it again")
    if kinds and file.stage not in kinds:
        raise NlcliError(f"{path} is {_with_article(file.stage)} directory; expected {wanted}")
    return StageRecord(
        path=path,
        kind=file.stage,
        config=file.config,
        inputs=file.inputs,
        fingerprint=file.fingerprint,
        seed=file.seed,
        versions=file.versions,
        summary=file.summary,
        seconds=file.seconds,
        files=file.files,
    )


def _with_article(kind: str) -> str:
    return f"{'an' if kind[:1] in 'aeiou' else 'a'} {kind}"


def _read_file(path: Path, remedy: str = "make the directory again") -> StageFile:
    """``stage.json`` of the directory ``path``, or what a page says in its place, checked.

    Args:
        remedy: What to do where it is damaged.
    """
    where = path if path.is_file() else path / RECORD
    content = read_embedded(path) if path.is_file() else read_json(where)
    if content is None:
        if (path.parent / RECORD).is_file():
            raise NlcliError(f"{path} is a file of a directory made by nlcli; give the directory, {path.parent}")
        raise NlcliError(f"{path} is not a page made by nlcli")
    format = content.get("schema") if isinstance(content, dict) else None
    if isinstance(format, int) and format > SCHEMA:
        raise NlcliError(f"{path} was written by a newer nlcli (format {format}); update nlcli")
    try:
        return StageFile.model_validate(content)
    except ValidationError as error:
        problem = first_problem(error, kind="field")
        raise NlcliError(f"{where} is not a stage record ({problem}); {remedy}") from error


# --- running a stage -------------------------------------------------------------------------


@dataclass(frozen=True)
class Making:
    """What is made, of what and how: all that its record says before it is there.

    Attributes:
        kind: What it is (dataset, backbone, page, ...).
        recipe: All that decides the result.
        config: The whole configuration, as JSON.
        inputs: What it reads, by name.
    """

    kind: str
    output: Path
    recipe: dict[str, Any]
    config: dict[str, Any]
    inputs: dict[str, InputRecord]
    seed: int | None

    @classmethod
    def of(
        cls,
        kind: str,
        config: StageConfig,
        inputs: Mapping[str, StageRecord | Path | str | None],
        *,
        seed: int | None,
        format: int,
        page: bool = False,
    ) -> Making:
        """As ``open_stage`` has the arguments; a ``page`` is a file, and sees its inputs from its folder.

        Raises:
            NlcliError: an input is the output, or in it.
        """
        output = place_of(config.output)  # type: ignore[attr-defined]
        seen_from = output.parent if page else output
        described = {name: input_record(value, seen_from) for name, value in inputs.items() if value is not None}
        real = os.path.realpath(output)
        for record in described.values():
            if record.path is not None and os.path.commonpath([real, read := os.path.realpath(record.path)]) == real:
                raise NlcliError(
                    f"{read} is read to make {output}, which would take its place; choose another --output"
                )
        recipe = recipe_of(kind, config, described, format)
        return cls(kind, output, recipe, config.model_dump(mode="json"), described, seed)

    def record(
        self, content: Any, summary: Mapping[str, Any], *, files: dict[str, str] | None = None, seconds: float = 0.0
    ) -> StageFile:
        """The record of the result, whose ``content`` (JSON) stands for its bytes."""
        return StageFile(
            stage=self.kind,
            format=SCHEMA,
            config=self.config,
            inputs=self.inputs,
            recipe=self.recipe,
            seed=self.seed,
            versions=versions(),
            complete=True,
            fingerprint=fingerprint_json({"recipe": self.recipe, "content": content}),
            files=files or {},
            summary=dict(summary),
            seconds=seconds,
        )


class Stage:
    """A stage being run: write into ``work``, then call ``finish``."""

    def __init__(self, making: Making) -> None:
        self.making = making
        self.output = making.output
        self.work = work_path(making.output)
        self.up_to_date = False
        self.resumed = False
        self.finished = False
        self._started = time.monotonic()

    def input_fingerprint(self, name: str) -> str | None:
        """Fingerprint of the content of the input ``name``; None where there is no such input."""
        entry = self.making.inputs.get(name)
        return None if entry is None else entry.fingerprint

    def finish(
        self,
        summary: Mapping[str, Any],
        *,
        content: Mapping[str, str] | None = None,
        volatile: tuple[str, ...] = (),
    ) -> None:
        """Write ``stage.json``; the directory is published when the ``open_stage`` block ends.

        Args:
            summary: JSON values worth showing by ``nlcli info``.
            content: Hashes already known, by path relative to ``work``; other files are hashed here.
            volatile: Patterns of files (logs with times in them) that do not count as result.
        """
        hashes = dict(content or {})
        for path in sorted(self.work.rglob("*")):
            name = path.relative_to(self.work).as_posix()
            if path.is_dir() or name in (RECORD, RECIPE, PICTURES) or name in hashes:
                continue
            if any(fnmatch.fnmatch(name, pattern) for pattern in volatile):
                continue
            hashes[name] = fingerprint_file(path)
        files = hashes if len(hashes) <= _MOST_FILES_LISTED else {}
        file = self.making.record(hashes, summary, files=files, seconds=round(time.monotonic() - self._started, 3))
        write_json(self.work / RECORD, file.to_json())
        self.finished = True


def recipe_of(kind: str, config: StageConfig, inputs: Mapping[str, InputRecord], format: int = 0) -> dict[str, Any]:
    """All that decides a result; ``format`` is that of its files, 0 where it has none."""
    recipe: dict[str, Any] = {
        "stage": kind,
        "schema": SCHEMA,
        "config": config.recipe(),
        "inputs": {name: entry.fingerprint for name, entry in inputs.items()},
    }
    return recipe | {"format": format} if format else recipe


@contextmanager
def open_stage(
    kind: str,
    config: StageConfig,
    inputs: Mapping[str, StageRecord | Path | str | None],
    *,
    seed: int | None = None,
    force: bool = False,
    format: int = 0,
    stale: Callable[[Path], str | None] | None = None,
    renew: Callable[[Path], None] | None = None,
) -> Iterator[Stage]:
    """Run one stage; see the module's docstring.

    Args:
        kind: What the directory is (dataset, backbone, features, run, ...).
        config: Its configuration; ``config.output`` is where it goes.
        inputs: What it reads: finished stages, plain files (their content counts), or fingerprints.
        seed: The seed, for the record.
        force: Replace a different result, or unfinished work of a different configuration.
        format: Of the files of this kind, where earlier ones are no longer read: a directory that has an
            earlier one is made again.
        stale: Says of a directory of the same recipe why it is made, or begun, again all the same; None where
            it is not. What it was made from outside of the recipe has changed.
        renew: Where such a change touches nothing but a note of it: renews the note instead.

    Yields:
        The stage. With ``up_to_date`` set there is nothing to do.

    Raises:
        NlcliError: the output holds something else, another process is writing it, or the disk is
            full or read-only.
    """
    stage = Stage(Making.of(kind, config, inputs, seed=seed, format=format))
    output = stage.output
    with system_sentences(output):
        lock = None
        while lock is None:
            before = standing(output)
            if _is_up_to_date(stage, force, stale, renew):
                break
            lock = _claim(stage, force, stale, before)
        if lock is None or stage.up_to_date:
            stage.up_to_date = True
            tidy(output)
            yield stage
            return
        try:
            if stage.finished:  # killed between its last file and its renaming
                publish(stage.output)
                stage.up_to_date = True
                yield stage
                return
            _tell_changed_pictures(inputs.values())
            yield stage
            if not stage.finished:
                raise RuntimeError(f"stage {kind} ended without finish()")
            publish(stage.output)
        except BaseException:
            _discard_if_nothing_was_done(stage)
            raise
        finally:
            os.close(lock)


def _tell_changed_pictures(inputs: Iterable[StageRecord | Path | str | None]) -> None:
    """Warn of inputs whose own pictures are others now, which nothing made again."""
    directories = {value.path if isinstance(value, StageRecord) else value for value in inputs}
    for directory in sorted(path for path in directories if isinstance(path, Path)):
        if (directory / PICTURES).is_file():
            with contextlib.suppress(NlcliError):  # a damaged note of them is told by who needs it
                load("nlcli.data.pictures:tell_changed")(directory)


def begun_as(
    kind: str, candidates: Sequence[_Config], inputs: Mapping[str, StageRecord | Path | str | None], format: int = 0
) -> _Config | None:
    """That of ``candidates`` by which the output was made, or begun; None where it was by none of them.

    For a setting that the machine chooses: what is finished, or half finished, decides before it does.

    Args:
        kind, inputs, format: As ``open_stage`` has them.
    """
    output = place_of(candidates[0].output)  # type: ignore[attr-defined]
    described = {name: input_record(value, output) for name, value in inputs.items() if value is not None}
    found = [
        _recipe_at(output / RECORD),
        _recipe_at(work_path(output) / RECORD),
        _recipe_at(work_path(output) / RECIPE),
    ]
    for config in candidates:
        if recipe_of(kind, config, described, format) in found:
            return config
    return None


def _recipe_at(path: Path) -> dict[str, Any] | None:
    """The recipe in ``stage.json``, or ``recipe.json``; None where there is none that can be read."""
    try:
        content = read_json(path) if path.is_file() else None
    except NlcliError:  # told when the stage is opened
        return None
    recipe = content.get("recipe") if isinstance(content, dict) and path.name == RECORD else content
    return {name: value for name, value in recipe.items() if name != "nlcli"} if isinstance(recipe, dict) else None


def _discard_if_nothing_was_done(stage: Stage) -> None:
    """A stage refused before its first file leaves nothing that a corrected command would trip over."""
    with contextlib.suppress(OSError):
        if {path.name for path in stage.work.iterdir()} <= {RECIPE, PICTURES}:
            shutil.rmtree(stage.work)


def input_record(value: StageRecord | Path | str, output: Path) -> InputRecord:
    """What the record of a stage says of its input ``value``; its place also as seen from the directory ``output``."""
    if isinstance(value, str):
        return InputRecord(fingerprint=value)
    if isinstance(value, Path):
        if not (value / RECORD).exists():
            fingerprint = fingerprint_folder(value) if value.is_dir() else fingerprint_file(value)
            return InputRecord(path=os.path.abspath(value), fingerprint=fingerprint)
        value = read_stage(value)
    path = os.path.abspath(value.path)
    return InputRecord(
        path=path, relative=os.path.relpath(path, output), stage=value.kind, fingerprint=value.fingerprint
    )


def _is_up_to_date(
    stage: Stage, force: bool, stale: Callable[[Path], str | None] | None, renew: Callable[[Path], None] | None
) -> bool:
    output = stage.output
    if os.path.lexists(output) and not output.is_dir():
        raise NlcliError(f"{output} is a file and was not made by nlcli; choose another --output")
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return False
    if not (output / RECORD).is_file():
        raise NlcliError(f"{output} exists and was not made by nlcli; choose another --output")
    before = _read_file(output, f"remove {output} or choose another --output").recipe
    if before == stage.making.recipe:
        why = None if stale is None else stale(output)
        if why is None:
            say(f"{output} is up to date")
        elif renew is not None:
            renew(output)
            say(f"{output}: {why}; that was noted, and the rest is up to date")
        else:
            say(f"{output}: {why}; it is made again")
        return why is None or renew is not None
    format, earlier = stage.making.recipe.get("format", 0), before.get("format", 0)
    if isinstance(earlier, int) and earlier < format and before | {"format": format} == stage.making.recipe:
        say(f"{output} was made by an earlier version of nlcli; it is made again")
        return False
    if not force:
        raise NlcliError(
            f"{output} holds a different result ({differences(before, stage.making.recipe)}); "
            "pass --force to replace it, or choose another --output"
        )
    return False


def _claim(
    stage: Stage, force: bool, stale: Callable[[Path], str | None] | None, before: tuple[int, int] | None
) -> int | None:
    """Take ``OUT.partial`` for this process; None when it, or what stood at ``OUT``, moved meanwhile (try again)."""
    refuse_what_is_not_ours(stage.output)
    descriptor = claim(stage.output)
    if descriptor is None:
        return None
    try:
        if standing(stage.output) == before:
            _prepare(stage, force, stale)
            return descriptor
        _discard_if_nothing_was_done(stage)
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _prepare(stage: Stage, force: bool, stale: Callable[[Path], str | None] | None) -> None:
    """Resume what is in the work directory if it is ours, or begin anew."""
    work = stage.work
    remove_temporary_files(work)
    # Another version may leave other files behind or go on otherwise: what comes out would be of neither.
    ours = stage.making.recipe | {"nlcli": versions()["nlcli"]}
    if any(work.iterdir()):
        stage.finished = (work / RECORD).is_file() and _read_file(work).recipe == stage.making.recipe
        recipe = read_json(work / RECIPE) if (work / RECIPE).is_file() else None
        same = stage.finished or recipe == ours
        why = stale(work) if same and stale is not None else None
        if same and why is None:
            stage.resumed = True
            say(f"resuming {stage.output}")
            return
        if why is not None:
            stage.finished = False
            say(f"{work}: {why}; it is begun again")
        elif not force:
            difference = differences(recipe, ours) if isinstance(recipe, dict) else "its recipe is damaged"
            raise NlcliError(
                f"{work} holds unfinished work of another configuration ({difference}); "
                "pass --force to discard it, or choose another --output"
            )
        empty(work)
    write_json(work / RECIPE, ours)


def differences(before: dict[str, Any], now: dict[str, Any]) -> str:
    """``differs in seed 0 -> 1, dataset``: the settings in which two recipes differ."""
    if before.get("stage") != now["stage"]:
        return f"made by stage {before.get('stage')}"
    old, new = _section(before, "config"), now["config"]
    keys = sorted(set(old) | set(new))
    told = [f"{key} {old.get(key)} -> {new.get(key)}" for key in keys if old.get(key) != new.get(key)]
    old, new = _section(before, "inputs"), now["inputs"]
    told += [f"content of {key}" for key in sorted(set(old) | set(new)) if old.get(key) != new.get(key)]
    if before.get("nlcli") != now.get("nlcli"):
        told.append(f"version of nlcli {before.get('nlcli')} -> {now.get('nlcli')}")
    return "differs in " + ", ".join(told) if told else "of another format version"


def _section(recipe: dict[str, Any], name: str) -> dict[str, Any]:
    section = recipe.get(name)
    return section if isinstance(section, dict) else {}
