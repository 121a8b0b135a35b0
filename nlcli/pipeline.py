"""Pipeline files: stages and their settings in one YAML file, run in order.

::

    name: demo
    about: One sentence.
    workdir: runs/demo                  # relative to where nlcli is started
    stages:
      - name: scenes                    # its directory is WORKDIR/scenes
        run: build-digits
        with: {seed: 0}
      - name: dataset
        run: build-coco
        with: {train_images: "${scenes}/images/train", ...}   # ${NAME} is that stage's directory
      - name: "{method}-{seed}"         # `each` makes one stage for every combination
        run: train-head
        each: {method: [noisy, residual], seed: [0, 1]}
        with: {method: "{method}", seed: "{seed}", dataset: "${dataset}", ...}
      - name: report
        run: compare
        with: {evaluations: "${eval-*}"}                      # a pattern: every stage it matches

Finished stages are skipped and a killed one is resumed, because every stage does so itself.
"""

from __future__ import annotations

import fnmatch
import itertools
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlcli.commands import StageCommand, find_stage
from nlcli.config import StageConfig, unknown_name
from nlcli.errors import NlcliError
from nlcli.progress import duration, say

_REFERENCE = re.compile(r"\$\{([^}]*)\}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._%-]*")
_TOP_KEYS = ("name", "about", "workdir", "stages", "expected")
_STAGE_KEYS = ("name", "run", "each", "with")


@dataclass(frozen=True)
class Step:
    """One stage to run: its name, the stage command, its validated configuration, what it needs."""

    name: str
    stage: StageCommand
    config: StageConfig
    needs: tuple[str, ...]

    @property
    def output(self) -> Path:
        """The directory it writes."""
        return Path(self.config.output)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Plan:
    """A pipeline file, read and checked: every stage's options are valid before the first one runs."""

    name: str
    about: str
    workdir: Path
    steps: tuple[Step, ...]


def read_pipeline(
    path: Path, workdir: Path | None = None, *, scale: float | None = None, limit: int | None = None
) -> Plan:
    """Read and check a pipeline file.

    Args:
        path: The file.
        workdir: Instead of the file's own.
        scale: Factor on the training steps of every stage, for a rehearsal.
        limit: Most images of every data set built, for a rehearsal. A rehearsal has a work
            directory of its own beside the real one.

    Raises:
        NlcliError: with file and stage, for anything malformed, unknown, or out of order.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise NlcliError(f"cannot read pipeline {path}: {error}") from error
    except yaml.YAMLError as error:
        raise NlcliError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or not isinstance(content.get("stages"), list):
        raise NlcliError(f"{path}: expected a mapping with a list 'stages'")
    for key in content:
        if key not in _TOP_KEYS:
            raise NlcliError(f"{path}: {unknown_name(str(key), _TOP_KEYS, 'key')}")
    name = str(content.get("name", path.stem))
    root = workdir or Path(str(content.get("workdir", f"runs/{name}")))
    rehearsal = {key: value for key, value in (("scale", scale), ("limit", limit)) if value is not None}
    for key, value in rehearsal.items():
        root = root.with_name(f"{root.name}-{key}-{value:g}")
    steps: list[Step] = []
    for number, entry in enumerate(content["stages"], start=1):
        where = f"{path}, stage {number}"
        if not isinstance(entry, dict):
            raise NlcliError(f"{where}: expected a mapping with 'name', 'run' and 'with'")
        for key in entry:
            if key not in _STAGE_KEYS:
                raise NlcliError(f"{where}: {unknown_name(str(key), _STAGE_KEYS, 'key')}")
        for key in ("name", "run"):
            if not isinstance(entry.get(key), str):
                raise NlcliError(f"{where}: '{key}' is missing or not a text")
        stage = find_stage(entry["run"], where)
        for combination in _combinations(entry.get("each", {}), where):
            steps.append(_step(entry, stage, combination, steps, root, rehearsal, where))
    if not steps:
        raise NlcliError(f"{path}: 'stages' is empty")
    return Plan(name, str(content.get("about", "")), root, tuple(steps))


def _combinations(each: Any, where: str) -> list[dict[str, Any]]:
    if not isinstance(each, dict) or not all(isinstance(values, list) and values for values in each.values()):
        raise NlcliError(f"{where}: 'each' must map names to non-empty lists")
    return [dict(zip(each, values, strict=True)) for values in itertools.product(*each.values())]


def _step(
    entry: dict[str, Any], stage: StageCommand, combination: dict[str, Any], before: list[Step], root: Path,
    rehearsal: dict[str, Any], where: str,
) -> Step:
    name = _filled(entry["name"], combination, where)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise NlcliError(f"{where}: the name '{name}' may hold only letters, digits and ._%-")
    where = f"{where} ({name})"
    if any(step.name == name for step in before):
        raise NlcliError(f"{where}: the name '{name}' is taken by an earlier stage")
    options = entry.get("with", {})
    if not isinstance(options, dict):
        raise NlcliError(f"{where}: 'with' must map options to values")
    outputs = {step.name: step.output for step in before}
    needs: list[str] = []
    values = _resolved(_filled(options, combination, where), outputs, needs, where)
    known = stage.config_class().model_fields
    values |= {key: value for key, value in rehearsal.items() if key in known}
    config = stage.config_class().parse({"output": root / name, **values}, where)
    return Step(name, stage, config, tuple(dict.fromkeys(needs)))


def _filled(value: Any, combination: dict[str, Any], where: str) -> Any:
    """Put the values of `each` into ``{name}``; a text that is only ``{name}`` keeps the value's type."""
    if isinstance(value, dict):
        return {key: _filled(inner, combination, where) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, combination, where) for inner in value]
    if not isinstance(value, str):
        return value
    for key, choice in combination.items():
        if value == f"{{{key}}}":
            return choice
        value = value.replace(f"{{{key}}}", str(choice))
    return value


def _resolved(value: Any, outputs: dict[str, Path], needs: list[str], where: str) -> Any:
    """Put the directories of earlier stages into ``${name}``; a pattern becomes a list of them."""
    if isinstance(value, dict):
        return {key: _resolved(inner, outputs, needs, where) for key, inner in value.items()}
    if isinstance(value, list):
        found: list[Any] = []
        for inner in value:
            resolved = _resolved(inner, outputs, needs, where)
            if isinstance(resolved, list) and isinstance(inner, str):
                found += resolved
            else:
                found.append(resolved)
        return found
    if not isinstance(value, str):
        return value
    whole = _REFERENCE.fullmatch(value)
    if whole and any(sign in whole[1] for sign in "*?["):
        matched = [name for name in outputs if fnmatch.fnmatch(name, whole[1])]
        if not matched:
            raise NlcliError(f"{where}: no earlier stage matches '{whole[1]}'")
        needs += matched
        return [str(outputs[name]) for name in matched]

    def directory(match: re.Match[str]) -> str:
        if match[1] not in outputs:
            raise NlcliError(f"{where}: {unknown_name(match[1], outputs, 'earlier stage')}")
        needs.append(match[1])
        return str(outputs[match[1]])

    return _REFERENCE.sub(directory, value)


def run_pipeline(plan: Plan, *, only: tuple[str, ...] = (), force: bool = False, jobs: int = 1) -> dict[str, str]:
    """Run the stages of ``plan``; returns every stage's output directory.

    Args:
        plan: From ``read_pipeline``.
        only: Names or patterns; these stages and all they need are run, the others not.
        force: Replace outputs made with other settings.
        jobs: Processes for stages that do not need each other; 0 decides by the machine.

    Raises:
        NlcliError: the first failure, preceded by the stage's name.
    """
    from nlcli.workers import default_jobs, run_steps

    steps = _selected(plan, only)
    begun = time.monotonic()
    number = {step.name: f"[{i}/{len(steps)}] {step.name}" for i, step in enumerate(steps, start=1)}
    say(f"{plan.name}: {len(steps)} stages into {plan.workdir}" + (f" - {plan.about}" if plan.about else ""))
    run_steps(
        steps, jobs or default_jobs(), force,
        started=lambda step: say(f"\n{number[step.name]}: {step.stage.name} -> {step.output}"),
        finished=lambda step, seconds: say(f"{number[step.name]}: done in {duration(seconds)}"),
    )
    say(f"\n{plan.name}: all stages done in {duration(time.monotonic() - begun)}; results lie in {plan.workdir}")
    return {step.name: str(step.output) for step in steps}


def _selected(plan: Plan, only: tuple[str, ...]) -> list[Step]:
    if not only:
        return list(plan.steps)
    by_name = {step.name: step for step in plan.steps}
    wanted: set[str] = set()
    for pattern in only:
        matched = fnmatch.filter(by_name, pattern)
        if not matched:
            raise NlcliError(f"--only {pattern}: {unknown_name(pattern, by_name, 'stage')}")
        waiting = matched
        while waiting:
            name = waiting.pop()
            if name not in wanted:
                wanted.add(name)
                waiting.extend(by_name[name].needs)
    return [step for step in plan.steps if step.name in wanted]
