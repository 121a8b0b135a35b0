"""Pipelines killed at random moments, again and again: the same command ends with the bytes of an undisturbed run.

Two thirds of the kills are of ``every_stage.yaml``, whose stages take seconds, the rest of both demos. SIGKILL to all
processes of the command, SIGKILL to the first one alone (its workers must not go on for ever), SIGTERM, and SIGINT
(Ctrl-C), which must say that the same command continues.

A command uses many seconds of the processors before it works, above all for importing TensorFlow. So that 300 kills are
affordable, most commands are forks of a process that has imported it; the others are started as a person starts them,
which those of several jobs always are. Moments are drawn on the clock of what the command has used of the processors,
which is the same on a busy machine: a few in its start, most behind it, exponentially distributed, so that no part of
the work is safer than another and a run to its end takes about a dozen kills.
"""

from __future__ import annotations

import gc
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from torture._report import Count
from torture._running import ROOT, Running, forked, started
from torture._world import content, difference, leftovers

SMALL = ("--scale", "0.02", "--limit", "240")
KILLS = 300
A_RUN = 15
"""Kills behind the start that a run to its end takes on average."""
IN_THE_START = 0.1
AS_A_PERSON = 0.06
"""Of the commands with one job; those that are not are forks."""
SEVERAL_JOBS = 0.06


@dataclass(frozen=True)
class _Pipeline:
    """What is killed: its file, options that make it small, and its part of the kills."""

    path: str
    small: tuple[str, ...]
    part: float


PIPELINES = {
    "every stage": _Pipeline("torture/every_stage.yaml", (), 2 / 3),
    "demo at small size": _Pipeline("pipelines/demo.yaml", SMALL, 1 / 6),
    "demo-single-label at small size": _Pipeline("pipelines/demo_single_label.yaml", SMALL, 1 / 6),
}
LONGEST = 7200.0  # seconds of one command


@dataclass(frozen=True)
class _Way:
    """How a command is started: with how many jobs, and whether forked of this process."""

    jobs: int
    fork: bool

    def start(self, pipeline: _Pipeline, folder: Path, work: Path) -> Running:
        """The pipeline's command, working in ``folder``."""
        arguments = ["run", str(ROOT / pipeline.path), "--workdir", str(work), "--jobs", str(self.jobs)]
        return (forked if self.fork else started)([*arguments, *pipeline.small], folder)


FORKED, STARTED, TWO_JOBS = _Way(1, True), _Way(1, False), _Way(2, False)


def moment(draw: random.Random, start: float, work: float) -> float:
    """Seconds of the processors after which a command is killed.

    Args:
        start: What it uses before it works.
        work: What the whole work uses.
    """
    if draw.random() < IN_THE_START:
        return draw.uniform(0, start)
    return start + draw.expovariate(A_RUN / work)


def _drawn_way(draw: random.Random) -> _Way:
    if draw.random() < SEVERAL_JOBS:
        return TWO_JOBS
    return STARTED if draw.random() < AS_A_PERSON else FORKED


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


def _campaign(name: str, pipeline: _Pipeline, kills: int, draw: random.Random) -> Count:
    count = Count("kills", f"{name}: killed at random moments until it is done")
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "here"
        folder.mkdir()
        work = folder / "work"
        undisturbed = STARTED.start(pipeline, folder, work)
        undisturbed.wait(LONGEST)
        count.expect(
            undisturbed.code == 0, f"undisturbed it ends with {undisturbed.code}: {undisturbed.errors()[-300:]}"
        )
        if undisturbed.code:
            return count
        made = next(folder.glob("work*"))  # a part of a pipeline has a work directory of its own
        expected = content(made)
        count.expect(bool(expected), f"{made} holds nothing to compare")
        starts: dict[_Way, float] = {}
        for way in (STARTED, FORKED):
            again = way.start(pipeline, folder, work)
            again.wait(LONGEST)
            starts[way] = again.seconds
        starts[TWO_JOBS] = starts[STARTED] + 2 * (starts[STARTED] - starts[FORKED])  # each worker imports, too
        seconds = undisturbed.seconds - starts[STARTED]
        _say(
            f"{name}: {seconds:.0f} s of work behind a start of {starts[STARTED]:.1f} s, {starts[FORKED]:.1f} s forked"
        )
        while count.times < kills:
            shutil.rmtree(made)
            try:
                ended = _run_killed(name, pipeline, kills, folder, starts, seconds, draw, count)
            except TimeoutError as error:
                ended = False
                count.failures.append(f"after {count.times} kills: {error}")
            if not ended:
                break
            found = content(made)
            differing = difference(expected, found)
            if differing is not None:
                differing += f", kept: {_kept(expected, found)}"
            count.expect(differing is None, f"after {count.times} kills: {differing}")
            count.expect(not leftovers(made), f"left behind: {leftovers(made)}")
            _say(f"{name}: a run is done, {len(count.failures)} promises broken so far {count.failures[-1:]}")
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
    name: str, pipeline: _Pipeline, kills: int, folder: Path, starts: dict[_Way, float], seconds: float,
    draw: random.Random, count: Count,
) -> bool:  # fmt: skip
    """One run, killed until it is done, or until there are enough kills; whether it came to its end."""
    work = folder / "work"
    while True:
        way = _drawn_way(draw)
        how = draw.choice(("all", "all", "all", "first", "term", "int"))
        at = moment(draw, starts[way], seconds)
        if how == "int":
            at = max(at, 2.0)  # Python itself, before it knows of nlcli, ends with a traceback
        command = way.start(pipeline, folder, work)
        if count.times < kills and not command.ends(at, LONGEST):
            time.sleep(draw.uniform(0, 0.1))  # also where it waits for a disk
            _disturb(command, how, count)
            count.times += 1
            _say(f"{name}: {count.times} kills of {kills}; {how} after {at:.1f} s with --jobs {way.jobs}")
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


def run(quick: bool, seed: int, kills: int = KILLS) -> list[Count]:
    """``kills`` in all (``quick``: none, a pipeline takes too long)."""
    if quick:
        return []
    preload()
    draw = random.Random(seed)
    return [_campaign(name, pipeline, round(kills * pipeline.part), draw) for name, pipeline in PIPELINES.items()]
