"""Commands killed at random moments, again and again: the same command ends with the bytes of an undisturbed run.

Two thirds of the kills are of ``every_stage.yaml``, whose stages take seconds, the rest of the demos. SIGKILL to all
processes of the command, SIGKILL to the first one alone (its workers must not go on for ever), SIGTERM, and SIGINT
(Ctrl-C), which must say that the same command continues.

A command uses many seconds of the processors before it works, above all for importing TensorFlow. So that 300 kills are
affordable, most commands are forks of a process that has imported it; the others are started as a person starts them,
which those of several jobs always are. One run in ``RUNS_OF_ONE_JOB`` has two jobs from its first command to its last:
a network that is trained from images rounds as the number of its threads wants, so another ``--jobs`` is another
command. Forks keep checkpoints and parts of work far smaller than people's, so that a kill finds them everywhere.

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
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torture._report import Count
from torture._running import ROOT, Running, forked, started
from torture._world import content, difference, leftovers

KILLS = 300
A_RUN = 15
"""Kills behind the start that a run to its end takes on average."""
IN_THE_START = 0.1
AS_A_PERSON = 0.06
"""Of the commands with one job; those that are not are forks."""
RUNS_OF_ONE_JOB = 7
"""After so many the next run has two."""
LONGEST = 7200.0  # seconds of one command


@dataclass(frozen=True)
class Work:
    """What is killed.

    Attributes:
        name: As it is told.
        part: Of the kills.
        arguments: The command, but for ``--jobs``; paths that are not whole are of the folder that it works in.
        makes: What it makes in that folder.
        before: Commands that make what it reads, which are not killed.
    """

    name: str
    part: float
    arguments: tuple[str, ...]
    makes: Path
    before: tuple[tuple[str, ...], ...] = ()


def _pipeline(name: str, part: float, path: str, scale: float | None = None, limit: int | None = None) -> Work:
    from nlcli.stages.pipeline import read_pipeline

    makes = read_pipeline(ROOT / path, Path("work"), scale=scale, limit=limit).workdir  # a rehearsal has its own
    small = [f"--{key}={value}" for key, value in (("scale", scale), ("limit", limit)) if value is not None]
    return Work(name, part, ("run", str(ROOT / path), "--workdir=work", *small), makes)


def works() -> tuple[Work, ...]:
    """All that is killed, the parts of which are 1 together."""
    pile = ("build-digits", "--kind=pile", "--train-images=300", "--output=pile")
    clean = (
        "clean", "pile/photos", "--labels=pile/labels.csv", "--checked=pile/checked.csv", "--backbone=small_cnn",
        "--weights=none", "--pretrain-steps=30", "--output=cleaned",
    )  # fmt: skip
    return (
        _pipeline("every stage", 2 / 3, "torture/every_stage.yaml"),
        _pipeline("demo at small size", 1 / 9, "pipelines/demo.yaml", 0.02, 240),
        Work("demo-clean at small size", 1 / 9, clean, Path("cleaned"), (pile,)),
        _pipeline("demo-single-label at small size", 1 / 9, "pipelines/demo_single_label.yaml", 0.02, 240),
    )


@dataclass(frozen=True)
class _Way:
    """How a command is started: with how many jobs, and whether forked of this process."""

    jobs: int
    fork: bool

    def start(self, work: Work, folder: Path) -> Running:
        """The work's command, working in ``folder``."""
        return self.run([*work.arguments, f"--jobs={self.jobs}"], folder)

    def run(self, arguments: Sequence[str], folder: Path) -> Running:
        """Any command, working in ``folder``."""
        return (forked if self.fork else started)(arguments, folder)


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


def _drawn_way(draw: random.Random, jobs: int) -> _Way:
    if jobs > 1:
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


@dataclass
class _Undisturbed:
    """A work that nothing disturbs, with one number of jobs: what it makes and what it uses of the processors."""

    made: dict[str, object]
    seconds: float
    starts: dict[_Way, float]

    @classmethod
    def of(cls, work: Work, ways: Sequence[_Way], folder: Path, count: Count) -> _Undisturbed:
        """Run it once from its beginning in the first of ``ways``, and in all of them with nothing left to do."""
        shutil.rmtree(folder / work.makes, ignore_errors=True)
        whole = _to_its_end(ways[0].start(work, folder), count)
        made = content(folder / work.makes)
        count.expect(made, f"{work.makes} holds nothing to compare")
        starts = {way: _to_its_end(way.start(work, folder), count) for way in ways}
        seconds = whole - starts[ways[0]]
        if TWO_JOBS in starts:
            starts[TWO_JOBS] *= 3  # both workers import, too, where there is something to do
        told = ", ".join(f"{start:.1f} s" for start in starts.values())
        _say(f"{work.name}: {seconds:.0f} s of work with {ways[0].jobs} jobs behind a start of {told}")
        return cls(made, max(seconds, 1.0), starts)


def _to_its_end(command: Running, count: Count) -> float:
    command.wait(LONGEST)
    if command.code:
        count.failures.append(f"undisturbed it ends with {command.code}: {command.errors()[-300:]}")
        raise RuntimeError(count.failures[-1])
    return command.seconds


def _campaign(work: Work, kills: int, draw: random.Random) -> Count:
    count = Count("kills", f"{work.name}: killed at random moments until it is done")
    undisturbed: dict[int, _Undisturbed] = {}
    runs = 0
    with tempfile.TemporaryDirectory() as root, contextlib.suppress(RuntimeError):
        folder = Path(root) / "here"
        folder.mkdir()
        for arguments in work.before:
            _to_its_end(STARTED.run(arguments, folder), count)
        while count.times < kills:
            jobs = 2 if runs % (RUNS_OF_ONE_JOB + 1) == RUNS_OF_ONE_JOB else 1
            if jobs not in undisturbed:
                ways = [TWO_JOBS] if jobs > 1 else [STARTED, FORKED]
                undisturbed[jobs] = _Undisturbed.of(work, ways, folder, count)
            shutil.rmtree(folder / work.makes)
            try:
                ended = _run_killed(work, kills, folder, undisturbed[jobs], draw, count)
            except TimeoutError as error:
                ended = False
                count.failures.append(f"after {count.times} kills: {error}")
            if not ended:
                break
            runs += 1
            expected, found = undisturbed[jobs].made, content(folder / work.makes)
            differing = difference(expected, found)
            if differing is not None:
                differing += f", kept: {_kept(expected, found)}"
            count.expect(differing is None, f"after {count.times} kills, with {jobs} jobs: {differing}")
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
        way = _drawn_way(draw, max(way.jobs for way in undisturbed.starts))
        how = draw.choice(("all", "all", "all", "first", "term", "int"))
        at = moment(draw, undisturbed.starts[way], undisturbed.seconds)
        if how == "int":
            at = max(at, 2.0)  # Python itself, before it knows of nlcli, ends with a traceback
        command = way.start(work, folder)
        if count.times < kills and not command.ends(at, LONGEST):
            time.sleep(draw.uniform(0, 0.1))  # also where it waits for a disk
            _disturb(command, how, count)
            count.times += 1
            _say(f"{work.name}: {count.times} kills of {kills}; {how} after {at:.1f} s with --jobs {way.jobs}")
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


def run(quick: bool, seed: int, kills: int = KILLS) -> list[Count]:
    """``kills`` in all (``quick``: none, a pipeline takes too long)."""
    if quick:
        return []
    preload()
    small_pieces()
    draw = random.Random(seed)
    return [_campaign(work, round(kills * work.part), draw) for work in works()]
