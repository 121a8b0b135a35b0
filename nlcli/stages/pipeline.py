"""Pipeline files: stages and their settings in one YAML file, run in order.

::

    name: demo
    about: One sentence.
    workdir: runs/demo                  # relative to where nlcli is started
    include: scenes.yaml                # its stages come first; relative to this file; or a list of files
    stages:
      - name: dataset                   # its directory is WORKDIR/dataset
        run: build-coco
        with: {train_images: "${scenes}/images/train", ...}   # ${NAME} is that stage's directory
      - name: "{method}-{seed}"         # `each` makes one stage for every combination
        run: train-head
        each: {method: [noisy, residual], seed: [0, 1]}
        with: {method: "{method}", seed: "{seed}", dataset: "${dataset}", ...}
      - rounds: 2                       # these stages twice, {round} 1 and 2, {previous} 0 and 1
        until: "network-{round}"        # at most twice: once where network-1 is no better than network-0
        stages:
          - name: "noise-{round}"
            run: detect-noise
            with: {features: "${features-{previous}}", ...}
          - name: "network-{round}"
            in: first                   # in round 1 only; or: later, or a list of rounds
            ...
      - name: report
        run: compare
        with: {evaluations: "${eval-*}"}                      # a pattern: every stage it matches

An included file's stages go where they go when that file is run by itself, so what two pipelines
share is made once. Finished stages are skipped and a killed one is resumed, because every stage
does so itself.
"""

from __future__ import annotations

import fnmatch
import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nlcli.console import duration, say
from nlcli.errors import NlcliError, unknown_name
from nlcli.stages.alike_names import folded
from nlcli.stages.commands import find_stage
from nlcli.stages.files import write_json
from nlcli.stages.pipeline_file import Entry, read_pipeline_file
from nlcli.stages.publishing import old_path, work_path
from nlcli.stages.until import Judged, Until
from nlcli.stages.workers import Step

_REFERENCE = re.compile(r"\$\{([^}]*)\}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._%-]*")


@dataclass(frozen=True)
class Plan:
    """A pipeline file, read and checked: every stage's options are valid before the first one runs."""

    name: str
    about: str
    workdir: Path
    steps: tuple[Step, ...]
    until: tuple[Until, ...] = ()
    ending: Callable[[Mapping[str, int]], Plan] | None = None
    """The plan with rounds that ended after so many, by where they stand; None where none may end early."""


def read_pipeline(
    path: Path,
    workdir: Path | None = None,
    *,
    scale: float | None = None,
    limit: int | None = None,
    rounds: int | None = None,
) -> Plan:
    """Read and check a pipeline file and those it includes.

    Args:
        path: The file.
        workdir: Instead of the files' own.
        scale: Factor on the training steps of every stage, for a rehearsal.
        limit: Most images of every data set built, for a rehearsal. A rehearsal has a work
            directory of its own beside the real one.
        rounds: Instead of the number of rounds that the file states.

    Raises:
        NlcliError: with file and stage, for anything malformed, unknown, or out of order, also where
            rounds end after the first.
    """

    def ending(ended: Mapping[str, int]) -> Plan:
        return _read(path, workdir, scale, limit, rounds, ended)

    plan = ending({})
    if not plan.until:
        return plan
    try:
        ending({until.where: 1 for until in plan.until})
    except NlcliError as error:
        raise NlcliError(
            f"{error}; rounds with 'until' may end after the first, so name the stages behind them by a pattern"
        ) from error
    return replace(plan, ending=ending)


def _read(
    path: Path,
    workdir: Path | None,
    scale: float | None,
    limit: int | None,
    rounds: int | None,
    ended: Mapping[str, int],
) -> Plan:
    rehearsal = {key: value for key, value in (("scale", scale), ("limit", limit)) if value is not None}
    suffix = "".join(f"-{key}-{value:g}" for key, value in rehearsal.items())
    file = read_pipeline_file(path, workdir, suffix=suffix, rounds=rounds, ended=ended)
    steps: dict[str, Step] = {}
    for entry in file.entries:
        step = _step(entry, steps, rehearsal)
        steps[step.name] = step
    _refuse_one_place(path, steps.values())
    until = tuple(Until.of(rounds, file.entries, steps) for rounds in file.until)
    return Plan(file.name, file.about, file.root, tuple(steps.values()), until)


def _step(entry: Entry, before: dict[str, Step], rehearsal: dict[str, Any]) -> Step:
    stage = find_stage(entry.run, entry.where)
    if not _NAME.fullmatch(entry.name):
        raise NlcliError(f"{entry.where}: the name '{entry.name}' may hold only letters, digits and ._%-")
    where = f"{entry.where} ({entry.name})"
    if entry.name in before:
        raise NlcliError(f"{where}: the name '{entry.name}' is taken by an earlier stage")
    outputs = {name: step.output for name, step in before.items()}
    needs: list[str] = []
    values = _resolved(entry.options, outputs, needs, where)
    known = stage.config_class().model_fields
    values |= {key: value for key, value in rehearsal.items() if key in known}
    name = entry.name if entry.name.endswith(stage.ending) else entry.name + stage.ending
    config = stage.config_class().parse({"output": entry.root / name, **values}, where)
    stage.refuse(config, where)
    return Step(entry.name, stage, config, tuple(dict.fromkeys(needs)))


def _refuse_one_place(path: Path, steps: Iterable[Step]) -> None:
    """Refuse two steps of which one writes where the other does, on a disk that tells no capitals apart either."""
    taken: dict[str, str] = {}
    for step in steps:
        for place in (step.output, work_path(step.output), old_path(step.output)):
            other = taken.setdefault(folded(str(place)), step.name)
            if other != step.name:
                raise NlcliError(
                    f"{path}: the stages '{other}' and '{step.name}' would both be written to {place} (on many disks "
                    "capitals do not count); call one of them otherwise"
                )


def _resolved(value: Any, outputs: dict[str, Path], needs: list[str], where: str) -> Any:
    """Put the directories of earlier stages into ``${name}``; a pattern becomes a list of them."""
    if isinstance(value, dict):
        return {key: _resolved(inner, outputs, needs, where) for key, inner in value.items()}
    if isinstance(value, list):
        items: list[Any] = []
        for inner in value:
            resolved = _resolved(inner, outputs, needs, where)
            if isinstance(resolved, list) and isinstance(inner, str):
                items += resolved
            else:
                items.append(resolved)
        return items
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
    from nlcli.stages.workers import default_jobs, run_steps

    begun = time.monotonic()
    jobs = jobs or default_jobs()
    done: dict[str, str] = {}

    def go(steps: Sequence[Step], of: Sequence[Step]) -> None:
        """Run those of ``steps`` that were not yet, told by their number among all ``of`` the run."""
        number = {step.name: f"[{i}/{len(of)}] {step.name}" for i, step in enumerate(of, start=1)}
        new = [step for step in steps if step.name not in done]
        run_steps(
            new,
            jobs,
            force,
            started=lambda step: say(f"\n{number[step.name]}: {step.stage.name} -> {step.output}"),
            finished=lambda step, seconds: say(f"{number[step.name]}: done in {duration(seconds)}"),
        )
        done.update({step.name: str(step.output) for step in new})

    steps = selected(plan, only)
    most = "at most " if plan.until else ""
    about = f" - {plan.about}" if plan.about else ""
    say(f"{plan.name}: {most}{len(steps)} stages into {plan.workdir}{about}")
    ended: dict[str, int] = {}
    judgements: list[Judged] = []
    for until in plan.until:
        judged: Judged | None = None
        for number in range(1, until.count + 1):
            go(until.through(number, steps), steps)
            judged = until.judge(number, {step.name: step for step in steps}) or judged
            if judged is not None and not judged.goes_on:
                ended[until.where] = number
                break
        if judged is not None:
            judged.tell()
            judgements.append(judged)
    if judgements:
        name = re.sub(r"[^\w.-]", "_", plan.name)
        write_json(plan.workdir / f"rounds-{name}.json", [judged.record() for judged in judgements])
    if ended and plan.ending is not None:
        plan = plan.ending(ended)
        steps = selected(plan, tuple(each for each in only if fnmatch.filter((s.name for s in plan.steps), each)))
    go(steps, steps)
    say(f"\n{plan.name}: all stages done in {duration(time.monotonic() - begun)}; results lie in {plan.workdir}")
    return done


def selected(plan: Plan, only: tuple[str, ...]) -> list[Step]:
    """The steps that ``only`` names, and all they need, in order; all of them where it is empty.

    Raises:
        NlcliError: a name or pattern that no stage matches.
    """
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


def reports(plan: Plan, names: Collection[str]) -> list[Step]:
    """Those of the steps ``names`` that people look at: reports that nothing else needs, or else the last step."""
    needed = {name for step in plan.steps for name in step.needs}
    shown = [step for step in plan.steps if step.name in names and step.name not in needed and step.stage.is_report]
    return shown or [step for step in plan.steps[-1:] if step.name in names]
