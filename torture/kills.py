"""Commands killed at random moments, again and again: the same command ends with the bytes of an undisturbed run.

Two thirds of the kills are of ``every_stage.yaml``, whose stages take seconds, a part of them with two jobs; the rest
of the demos. SIGKILL to all processes of the command, SIGKILL to the first one alone (its workers must not go on for
ever), SIGTERM, and SIGINT (Ctrl-C), which must say that the same command continues.

A command uses many seconds of the processors before it works, above all for importing TensorFlow. So that 300 kills are
affordable, most commands are forks of a process that has imported it; the others are started as a person starts them,
which those of several jobs always are. A work has one number of jobs from its first command to its last, and so has the
undisturbed run that it is compared with: a network that is trained from images rounds as the number of its threads
wants, so another ``--jobs`` is another command. Forks keep checkpoints and parts of work far smaller than people's, so
that a kill finds them everywhere.

Moments are drawn on the clock of what the command has used of the processors,
which is the same on a busy machine: a few in its start, most behind it, exponentially distributed, so that no part of
the work is safer than another and a run to its end takes about a dozen kills.
"""

from __future__ import annotations

import contextlib
import gc
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from torture._report import Count
from torture._running import ROOT, Running, forked, started
from torture._world import content, difference, leftovers

KILLS = 300
A_RUN = 15
"""Kills behind the start that a run to its end takes on average."""
IN_THE_START = 0.1
AS_A_PERSON = 0.06
"""Of the commands with one job; those that are not are forks."""
LONGEST = 7200.0  # seconds of one command


@dataclass(frozen=True)
class Work:
    """What is killed.

    Attributes:
        name: As it is told.
        part: Of the kills.
        arguments: The command, but for ``--jobs``; paths that are not whole are of the folder that it works in.
        makes: What it makes in that folder.
        jobs: How many it has.
        before: Commands that make what it reads, which are not killed.
        files: What stands in that folder from the beginning, by name.
    """

    name: str
    part: float
    arguments: tuple[str, ...]
    makes: Path
    jobs: int = 1
    before: tuple[tuple[str, ...], ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)


def _pipeline(
    name: str,
    part: float,
    path: str,
    scale: float | None = None,
    limit: int | None = None,
    jobs: int = 1,
    before: tuple[tuple[str, ...], ...] = (),
) -> Work:
    from nlcli.stages.pipeline import read_pipeline

    makes = read_pipeline(ROOT / path, Path("work"), scale=scale, limit=limit).workdir  # a rehearsal has its own
    small = [f"--{key}={value}" for key, value in (("scale", scale), ("limit", limit)) if value is not None]
    return Work(name, part, ("run", str(ROOT / path), "--workdir=work", *small), makes, jobs, before)


def small_single_label() -> dict[str, Any]:
    """The single-label demo with every one of its stages, one seed, few images and few resamples.

    ``--limit`` would not do: the digits are drawn all the same, and of so few of them hardly any would be verified.
    """
    demo: dict[str, Any] = yaml.safe_load((ROOT / "pipelines/demo_single_label.yaml").read_text("utf-8"))
    changes = {"digits": {"train_images": 300, "val_images": 120}, "dataset": {"verified": 0.3}}
    changes["backbone"] = {"steps": 40, "eval_every": 20}
    for stage in demo["stages"]:
        options = stage["with"] | changes.get(stage["name"], {})
        stage["with"] = options | {"bootstrap": 30} if "bootstrap" in options else options
        if "seed" in stage.get("each", {}):
            stage["each"] = stage["each"] | {"seed": [0]}
    return demo


def works() -> tuple[Work, ...]:
    """All that is killed, the parts of which are 1 together."""
    pile = ("build-digits", "--kind=pile", "--train-images=300", "--output=pile")
    every = ("run", str(ROOT / "torture/every_stage.yaml"), "--workdir=every", "--only=features", "--jobs=1")
    clean = (
        "clean", "pile/photos", "--labels=pile/labels.csv", "--checked=pile/checked.csv", "--backbone=small_cnn",
        "--weights=none", "--pretrain-steps=30", "--output=cleaned",
    )  # fmt: skip
    return (
        _pipeline("every stage", 1 / 2, "torture/every_stage.yaml"),
        _pipeline("every stage with two jobs", 1 / 12, "torture/every_stage.yaml", jobs=2),
        _pipeline("light stages with two jobs", 1 / 12, "torture/two_jobs.yaml", jobs=2, before=(every,)),
        _pipeline("demo at small size", 1 / 9, "pipelines/demo.yaml", 0.02, 240),
        Work("demo-clean at small size", 1 / 9, clean, Path("cleaned"), before=(pile,)),
        Work(
            "demo-single-label at small size",
            1 / 9,
            ("run", "single_label.yaml", "--workdir=work", "--scale=0.01"),
            Path("work-scale-0.01"),
            files={"single_label.yaml": yaml.safe_dump(small_single_label(), sort_keys=False)},
        ),
    )


_Start = Callable[[Sequence[str], Path], Running]


def _start(work: Work, way: _Start, folder: Path) -> Running:
    """The work's command, working in ``folder``."""
    return way([*work.arguments, f"--jobs={work.jobs}"], folder)


def moment(draw: random.Random, start: float, work: float) -> float:
    """Seconds of the processors after which a command is killed.

    Args:
        start: What it uses before it works.
        work: What the whole work uses.
    """
    if draw.random() < IN_THE_START:
        return draw.uniform(0, start)
    return start + draw.expovariate(A_RUN / work)


def _drawn_way(draw: random.Random, ways: Sequence[_Start]) -> _Start:
    return started if draw.random() < AS_A_PERSON else ways[-1]


def _disturb(command: Running, how: str, count: Count) -> None:
    """Send ``how`` and wait for the end."""
    if how in ("all", "first"):
        command.send(signal.SIGKILL, everyone=how == "all")
    else:
        command.send(signal.SIGTERM if how == "term" else signal.SIGINT)
    command.wait(LONGEST)
    count.expect(command.orphans_end(), f"{how}: workers live on without the process that started them")
    errors = command.errors()
    if how == "int" and command.code != 0:
        count.expect(command.code == 130, f"Ctrl-C ends with {command.code}, expected 130")
        count.expect("the same command continues" in errors, f"Ctrl-C does not say how to go on: {errors[-200:]}")
        count.expect("Traceback" not in errors, f"Ctrl-C gives a traceback: {errors[-300:]}")
    if how == "term":
        count.expect(command.code in (0, -15, 143), f"SIGTERM ends with {command.code}")


@dataclass
class _Undisturbed:
    """A work that nothing disturbs: what it makes and what it uses of the processors, before it works by the way."""

    made: dict[str, object]
    seconds: float
    starts: dict[_Start, float]

    @classmethod
    def of(cls, work: Work, folder: Path, count: Count) -> _Undisturbed:
        """Run it once from its beginning as a person does, and in all ways with nothing left to do."""
        whole = _to_its_end(_start(work, started, folder), count)
        made = content(folder / work.makes)
        count.expect(made, f"{work.makes} holds nothing to compare")
        ways: tuple[_Start, ...] = (started, forked) if work.jobs == 1 else (started,)
        starts = {way: _to_its_end(_start(work, way, folder), count) for way in ways}
        seconds = whole - starts[started]
        if work.jobs > 1:
            starts[started] *= 1 + work.jobs  # the workers import, too, where there is something to do
        told = ", ".join(f"{start:.1f} s" for start in starts.values())
        _say(f"{work.name}: {seconds:.0f} s of work behind a start of {told}")
        return cls(made, max(seconds, 1.0), starts)


def _to_its_end(command: Running, count: Count) -> float:
    command.wait(LONGEST)
    if command.code:
        count.failures.append(f"undisturbed it ends with {command.code}: {command.errors()[-300:]}")
        raise RuntimeError(count.failures[-1])
    return command.seconds


def _campaign(work: Work, kills: int, draw: random.Random) -> Count:
    count = Count("kills", f"{work.name}: killed at random moments until it is done")
    runs = 0
    with tempfile.TemporaryDirectory() as root, contextlib.suppress(RuntimeError):
        folder = Path(root) / "here"
        folder.mkdir()
        for name, text in work.files.items():
            (folder / name).write_text(text, "utf-8")
        for arguments in work.before:
            _to_its_end(started(arguments, folder), count)
        undisturbed = _Undisturbed.of(work, folder, count)
        while count.times < kills:
            shutil.rmtree(folder / work.makes)
            try:
                ended = _run_killed(work, kills, folder, undisturbed, draw, count)
            except TimeoutError as error:
                ended = False
                count.failures.append(f"after {count.times} kills: {error}")
            if not ended:
                break
            runs += 1
            expected, found = undisturbed.made, content(folder / work.makes)
            differing = difference(expected, found)
            if differing is not None:
                differing += f", kept: {_kept(expected, found)}"
            count.expect(differing is None, f"after {count.times} kills: {differing}")
            left = leftovers(folder / work.makes)
            count.expect(not left, f"left behind: {left}")
            _say(f"{work.name}: run {runs} is done, {len(count.failures)} promises broken so far {count.failures[-1:]}")
    return count


def _kept(expected: dict[str, object], found: dict[str, object]) -> Path:
    """Where the files that differ are kept as they should be and as they are, to look for the reason."""
    folder = Path(tempfile.mkdtemp(prefix="nlcli-torture-"))
    for name in sorted(set(expected) | set(found)):
        if expected.get(name) == found.get(name):
            continue
        for which, value in (("expected", expected.get(name)), ("found", found.get(name))):
            if value is not None:
                at = folder / which / name
                at.parent.mkdir(parents=True, exist_ok=True)
                at.write_bytes(value if isinstance(value, bytes) else json.dumps(value, indent=2).encode())
    return folder


def _run_killed(
    work: Work, kills: int, folder: Path, undisturbed: _Undisturbed, draw: random.Random, count: Count
) -> bool:
    """One run, killed until it is done, or until there are enough kills; whether it came to its end."""
    while True:
        way = _drawn_way(draw, list(undisturbed.starts))
        how = draw.choice(("all", "all", "all", "first", "term", "int"))
        at = moment(draw, undisturbed.starts[way], undisturbed.seconds)
        if how == "int":
            at = max(at, 2.0)  # Python itself, before it knows of nlcli, ends with a traceback
        command = _start(work, way, folder)
        if count.times < kills and not command.ends(at, LONGEST):
            time.sleep(draw.uniform(0, 0.1))  # also where it waits for a disk
            _disturb(command, how, count)
            count.times += 1
            _say(f"{work.name}: {count.times} kills of {kills}; {how} after {at:.1f} s")
            continue
        if command.code is None:
            command.wait(LONGEST)
        count.expect(command.code == 0, f"afterwards it ends with {command.code}: {command.errors()[-300:]}")
        return command.code == 0


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def preload() -> None:
    """Import once, here, what every forked command would import; a fork would not survive that anything is computed."""
    import nlcli.networks.architectures
    from nlcli.registry import load, registry_of
    from nlcli.stages.commands import StageCommand, commands
    from torture import events

    events.preload()
    for command in commands().values():
        load(command.config), load(command.function)
        if isinstance(command, StageCommand) and command.show is not None:
            load(command.show)
    for kind in ("method", "detector"):
        dict(registry_of(kind).items())
    gc.collect()
    gc.freeze()  # what is there now, a fork need not look through after each stage
    del nlcli


def small_pieces() -> None:
    """Let what is forked of this process keep what it has at once, and work in small pieces.

    Stages of a campaign take seconds: a training that keeps its state every half minute would never be taken up.
    """
    from nlcli.training.loop import pace

    pace.FIRST_BLOCK, pace.BLOCK_SECONDS = 2, 0.05
    pace.CHECKPOINT_SECONDS = pace.IMAGE_CHECKPOINT_SECONDS = 0.0


def run(quick: bool, seed: int, kills: int = KILLS, only: Sequence[str] = ("",)) -> list[Count]:
    """``kills`` in all, of which a work has its part (``quick``: none, a pipeline takes too long).

    Args:
        only: Of the works whose name holds one of these.
    """
    if quick:
        return []
    preload()
    small_pieces()
    draw = random.Random(seed)
    asked = [work for work in works() if any(part in work.name for part in only)]
    return [_campaign(work, round(kills * work.part), draw) for work in asked]
