"""Stage directories: fingerprints, atomic publishing, resuming, skipping, refusing to overwrite.

A stage writes into ``OUT.partial`` and renames it to ``OUT`` when everything is there, with
``stage.json`` as the last file written. Killed at any moment, it is resumed by the same command.
The lock is on the directory ``OUT.partial`` itself, so the kernel drops it with the process.
"""

from __future__ import annotations

import contextlib
import fcntl
import fnmatch
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlcli.console import say
from nlcli.errors import NlcliError
from nlcli.runtime import versions
from nlcli.stages.files import TEMPORARY, fingerprint_file, fingerprint_json, read_json, system_sentences, write_json

if TYPE_CHECKING:
    from nlcli.stages.config import StageConfig

SCHEMA = 1
RECORD = "stage.json"
_RECIPE = "recipe.json"  # in OUT.partial only: what the unfinished work belongs to
_MOST_FILES_LISTED = 200
_SPOKEN = {"dataset": "data set", "features": "features directory"}  # inputs that sentences call otherwise


# --- finished stages -------------------------------------------------------------------------


@dataclass(frozen=True)
class StageRecord:
    """What ``stage.json`` of a finished stage says."""

    path: Path
    kind: str
    config: dict[str, Any]
    inputs: dict[str, dict[str, Any]]
    fingerprint: str
    seed: int | None
    versions: dict[str, str]
    summary: dict[str, Any]
    seconds: float
    files: dict[str, str] = field(default_factory=dict)

    def input_path(self, name: str) -> Path | None:
        """Where the input ``name`` lay when this stage read it (relative paths: from this stage)."""
        found = self.inputs.get(name, {}).get("path")
        if found is None:
            return None
        recorded = Path(found)
        if recorded.exists():
            return recorded
        beside = self.inputs[name].get("relative")
        if beside is not None and (self.path / beside).exists():
            return (self.path / beside).resolve()  # the whole work directory was moved
        return recorded

    def input_stage(self, name: str, instead: str | None = None) -> StageRecord:
        """The stage that was read as ``name``, as long as it is there and holds what it held then.

        Args:
            instead: What can be passed in its place, such as ``--dataset``; the sentence names it.

        Raises:
            NlcliError: there was no such input, or it is gone or has changed.
        """
        entry, where = self.inputs.get(name, {}), self.input_path(name)
        what = _SPOKEN.get(name, name)
        hint = "" if instead is None else f"pass {instead}, or "
        if where is None:
            told = f"{self.path} does not tell of its {what}"
            raise NlcliError(told if instead is None else f"{told}; pass {instead}")
        if not where.exists():
            raise NlcliError(f"the {what} of {self.path} is no longer at {where}; {hint}make it again")
        found = read_stage(where, entry.get("stage"))
        if found.fingerprint != entry["fingerprint"]:
            raise NlcliError(f"{where} changed since {self.path} was made from it; {hint}make {self.path} again")
        return found


def read_stage(path: Path | str, kind: str | tuple[str, ...] | None = None) -> StageRecord:
    """The record of the finished stage at ``path``.

    Raises:
        NlcliError: nothing there, not a stage, unfinished, of another kind, or a newer format.
    """
    path = Path(path)
    kinds = (kind,) if isinstance(kind, str) else kind
    wanted = f"a {' or '.join(kinds)} directory" if kinds else "a directory made by nlcli"
    if not path.exists():
        if _work_path(path).exists():
            raise NlcliError(f"{path} is unfinished; run the command that makes it again to complete it")
        raise NlcliError(f"{path} does not exist; expected {wanted}")
    if not (path / RECORD).is_file():
        raise NlcliError(f"{path} is not {wanted}: it has no {RECORD}")
    record = read_json(path / RECORD)
    try:
        if record["schema"] > SCHEMA:
            raise NlcliError(f"{path} was written by a newer nlcli (format {record['schema']}); update nlcli")
        if record["complete"] is not True:
            raise NlcliError(f"{path} is unfinished; run the command that makes it again")
        found = StageRecord(
            path=path,
            kind=record["stage"],
            config=record["config"],
            inputs=record["inputs"],
            fingerprint=record["fingerprint"],
            seed=record["seed"],
            versions=record["versions"],
            summary=record["summary"],
            seconds=record["seconds"],
            files=record.get("files", {}),
        )
    except (KeyError, TypeError) as error:
        raise NlcliError(f"{path / RECORD} is not a stage record ({error}); make the directory again") from error
    if kinds and found.kind not in kinds:
        raise NlcliError(f"{path} is a {found.kind} directory; expected {wanted}")
    return found


# --- running a stage -------------------------------------------------------------------------


class Stage:
    """A stage being run: write into ``work``, then call ``finish``."""

    def __init__(self, kind: str, output: Path, recipe: dict[str, Any], record: dict[str, Any]) -> None:
        self.kind = kind
        self.output = output
        self.work = _work_path(output)
        self.recipe = recipe
        self.up_to_date = False
        self.resumed = False
        self.finished = False
        self._record = record
        self._started = time.monotonic()

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
            if path.is_dir() or name in (RECORD, _RECIPE) or name in hashes:
                continue
            if any(fnmatch.fnmatch(name, pattern) for pattern in volatile):
                continue
            hashes[name] = fingerprint_file(path)
        self._record |= {
            "fingerprint": fingerprint_json({"recipe": self.recipe, "content": hashes}),
            "files": hashes if len(hashes) <= _MOST_FILES_LISTED else {},
            "summary": dict(summary),
            "seconds": round(time.monotonic() - self._started, 3),
            "complete": True,
        }
        write_json(self.work / RECORD, self._record)
        self.finished = True


@contextmanager
def open_stage(
    kind: str,
    config: StageConfig,
    inputs: Mapping[str, StageRecord | Path | str | None],
    *,
    seed: int | None = None,
    force: bool = False,
    format: int = 0,
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

    Yields:
        The stage. With ``up_to_date`` set there is nothing to do.

    Raises:
        NlcliError: the output holds something else, another process is writing it, or the disk is
            full or read-only.
    """
    output = Path(os.path.abspath(config.output))  # type: ignore[attr-defined]
    described = {name: _describe(value, output) for name, value in inputs.items() if value is not None}
    recipe = {
        "stage": kind,
        "schema": SCHEMA,
        "config": config.recipe(),
        "inputs": {name: entry["fingerprint"] for name, entry in described.items()},
    }
    if format:
        recipe["format"] = format
    record = {
        "stage": kind,
        "schema": SCHEMA,
        "config": config.model_dump(mode="json"),
        "inputs": described,
        "recipe": recipe,
        "seed": seed,
        "versions": versions(),
        "complete": False,
    }
    stage = Stage(kind, output, recipe, record)
    with system_sentences(output):
        lock = None
        while lock is None:
            if _is_up_to_date(stage, force):
                break
            lock = _lock(stage, force)
        if lock is None or stage.up_to_date:
            stage.up_to_date = True
            say(f"{output} is up to date")
            yield stage
            return
        try:
            if stage.finished:  # killed between its last file and its renaming
                _publish(stage)
                stage.up_to_date = True
                yield stage
                return
            yield stage
            if not stage.finished:
                raise RuntimeError(f"stage {kind} ended without finish()")
            _publish(stage)
        except BaseException:
            _discard_if_nothing_was_done(stage)
            raise
        finally:
            os.close(lock)


def _discard_if_nothing_was_done(stage: Stage) -> None:
    """A stage refused before its first file leaves nothing that a corrected command would trip over."""
    with contextlib.suppress(OSError):
        if [path.name for path in stage.work.iterdir()] == [_RECIPE]:
            shutil.rmtree(stage.work)


def _work_path(output: Path) -> Path:
    return output.with_name(output.name + ".partial")


def _old_path(output: Path) -> Path:
    return output.with_name(output.name + ".replaced")


def _describe(value: StageRecord | Path | str, output: Path) -> dict[str, Any]:
    if isinstance(value, str):
        return {"fingerprint": value}
    if isinstance(value, Path):
        if (value / RECORD).exists():
            value = read_stage(value)
        else:
            return {"path": os.path.abspath(value), "fingerprint": fingerprint_file(value)}
    path = os.path.abspath(value.path)
    return {
        "path": path,
        "relative": os.path.relpath(path, output),
        "stage": value.kind,
        "fingerprint": value.fingerprint,
    }


def _is_up_to_date(stage: Stage, force: bool) -> bool:
    output = stage.output
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return False
    if not (output / RECORD).is_file():
        raise NlcliError(f"{output} exists and was not made by nlcli; choose another --output")
    recorded = read_json(output / RECORD)
    if not isinstance(recorded, dict) or not recorded.get("complete"):
        raise NlcliError(f"{output / RECORD} is not a stage record; remove {output} or choose another --output")
    before = recorded.get("recipe")
    if before == stage.recipe:
        return True
    format = stage.recipe.get("format", 0)
    if isinstance(before, dict) and before.get("format", 0) < format and before | {"format": format} == stage.recipe:
        say(f"{output} was made by an earlier version of nlcli; it is made again")
        return False
    if not force:
        raise NlcliError(
            f"{output} holds a different result ({_differences(recorded.get('recipe', {}), stage.recipe)}); "
            "pass --force to replace it, or choose another --output"
        )
    return False


def _lock(stage: Stage, force: bool) -> int | None:
    """Take ``OUT.partial`` for this process; None when the directory moved meanwhile (try again)."""
    work = stage.work
    work.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(work, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            moved = os.stat(work).st_ino != os.fstat(descriptor).st_ino
        except FileNotFoundError:
            moved = True
        if moved:
            os.close(descriptor)
            return None
        _prepare(stage, force)
    except BlockingIOError:
        os.close(descriptor)
        raise NlcliError(
            f"{stage.output} is being written by another process; wait for it, or choose another --output"
        ) from None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _prepare(stage: Stage, force: bool) -> None:
    """Resume what is in the work directory if it is ours, or begin anew."""
    work = stage.work
    shutil.rmtree(_old_path(stage.output), ignore_errors=True)
    for path in work.rglob(f".*{TEMPORARY}"):
        path.unlink(missing_ok=True)
    left = list(work.iterdir())
    # Another version may leave other files behind or go on otherwise: what comes out would be of neither.
    ours = stage.recipe | {"nlcli": versions()["nlcli"]}
    if left:
        recipe = read_json(work / _RECIPE) if (work / _RECIPE).is_file() else None
        if recipe == ours:
            stage.resumed = True
            stage.finished = (work / RECORD).is_file()
            say(f"resuming {stage.output}")
            return
        if not force:
            difference = _differences(recipe, ours) if isinstance(recipe, dict) else "not made by nlcli"
            raise NlcliError(
                f"{work} holds unfinished work of another configuration ({difference}); "
                "pass --force to discard it, or choose another --output"
            )
        for path in left:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    write_json(work / _RECIPE, ours)


def _publish(stage: Stage) -> None:
    old = _old_path(stage.output)
    if stage.output.exists():
        os.replace(stage.output, old)
    (stage.work / _RECIPE).unlink(missing_ok=True)
    os.replace(stage.work, stage.output)
    shutil.rmtree(old, ignore_errors=True)


def _differences(before: dict[str, Any], now: dict[str, Any]) -> str:
    """``differs in seed 0 -> 1, dataset``: the settings in which two recipes differ."""
    if before.get("stage") != now["stage"]:
        return f"made by stage {before.get('stage')}"
    found = []
    old, new = before.get("config", {}), now["config"]
    for key in sorted(set(old) | set(new)):
        if old.get(key) != new.get(key):
            found.append(f"{key} {old.get(key)} -> {new.get(key)}")
    old, new = before.get("inputs", {}), now["inputs"]
    found += [f"content of {key}" for key in sorted(set(old) | set(new)) if old.get(key) != new.get(key)]
    if before.get("nlcli") != now.get("nlcli"):
        found.append(f"version of nlcli {before.get('nlcli')} -> {now.get('nlcli')}")
    return "differs in " + ", ".join(found) if found else "of another format version"
