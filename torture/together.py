"""Two processes on one output: one makes it, the other is told, or finds it done.

A command is stopped before each of its operations on the file system, another one goes its whole way there, and the
first goes on: every order in which two can meet while one of them does not move. And two of every kind of stage are
started at once.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from torture import _stages, kills
from torture._command import Ended, forked, run_here
from torture._report import Count
from torture._world import content, difference, leftovers
from torture.events import preload, writes

SECONDS = 600.0
TOLD = ("being written by another process", "holds a different result", "unfinished work of another configuration")


def _stopping(before: int) -> Callable[[], None]:
    """Stops the process before its operation number ``before``."""

    def install() -> None:
        seen = 0

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal seen
            if writes(event, arguments) is not None:
                seen += 1
                if seen == before:
                    os.kill(os.getpid(), signal.SIGSTOP)

        sys.addaudithook(hook)

    return install


class _Other:
    """A command in a fork, beside one that ``forked`` runs."""

    def __init__(self, arguments: Sequence[str], folder: Path, before: Callable[[], None] | None = None) -> None:
        self._streams = folder.parent / ".other.stdout", folder.parent / ".other.stderr"
        self._process = os.fork()
        if self._process == 0:
            code = 121
            try:
                code = run_here(arguments, folder, self._streams, before)
            finally:  # whatever happens, this is not the parent
                os._exit(code)
        self._status = 0

    def stops(self) -> bool:
        """Wait until it is stopped, or ended; whether it is stopped."""
        _, self._status = os.waitpid(self._process, os.WUNTRACED)
        return os.WIFSTOPPED(self._status)

    def goes_on(self) -> None:
        """Continue what was stopped."""
        os.kill(self._process, signal.SIGCONT)
        self.stops()

    def ended(self) -> Ended:
        """How it ended."""
        output, errors = (path.read_text(errors="replace") for path in self._streams)
        return Ended(os.waitstatus_to_exitcode(self._status), errors, output)


def _is_good(count: Count, ended: Ended, where: str) -> bool:
    """Whether it did its work; noted if it neither did nor was told why not."""
    last = ended.errors.strip().rsplit("\n", 1)[-1]
    told = ended.code == 1 and last.startswith("nlcli: ") and any(words in last for words in TOLD)
    count.expect((ended.code == 0 or told) and not ended.is_traceback, f"{where}: {ended.code}: {last[-300:]}")
    return ended.code == 0


def _alone(command: Sequence[str], output: Path, folder: Path) -> dict[str, object]:
    ended = forked(command, folder, seconds=SECONDS)
    if ended.code:
        raise RuntimeError(f"undisturbed, {command[0]} ends with {ended.code}: {ended.errors[-400:]}")
    made = _made(output)
    _remove(output)
    return made


def _made(output: Path) -> dict[str, object]:
    if output.is_dir():
        return content(output)
    return {name: part for name, part in content(output.parent).items() if name == output.name}


def _remove(output: Path) -> None:
    if output.is_dir():
        shutil.rmtree(output)
    else:
        output.unlink(missing_ok=True)


def _stopped(what: str, commands: tuple[Sequence[str], Sequence[str]], name: str, step: int) -> Count:
    """The first of ``commands`` stopped before each of its operations, while the second runs."""
    count = Count("together", f"{what}: another process comes before each operation")
    may_replace = "--force" in commands[0]
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "work"
        folder.mkdir()
        _stages.write_sources(folder)
        forked(_stages.COMMANDS[0], folder, seconds=SECONDS)  # of which a page tells
        output = folder / name
        expected = [_alone(command, output, folder) for command in commands]
        count.expect(expected[0], f"nothing is made at {name}")
        place, stopped = 1, True
        while stopped:
            first = _Other(commands[0], folder, _stopping(place))
            stopped = first.stops()
            if not stopped:
                break
            second = forked(commands[1], folder, seconds=SECONDS)
            first.goes_on()
            where = f"before operation {place}"
            good = [_is_good(count, first.ended(), where), _is_good(count, second, f"{where}: the other")]
            found = _made(output)
            who = [number for number in (0, 1) if good[number] and difference(expected[number], found) is None]
            count.expect(who, f"{where}: what stands there is of none that says so")
            both = all(good) and difference(*expected) is not None and not may_replace
            count.expect(not both, f"{where}: both say that theirs stands there")
            count.expect(not leftovers(folder), f"{where}: left behind: {leftovers(folder)}")
            _remove(output)
            count.times += 1
            place += step
    return count


def needed(commands: Sequence[Sequence[str]], only: Sequence[str]) -> list[tuple[Sequence[str], bool]]:
    """Those that are asked for, and what makes what they read, in order; each with whether it is asked for.

    Args:
        only: Parts of the names of those that are.
    """
    chosen: list[tuple[Sequence[str], bool]] = []
    read: set[str] = set()
    for command in reversed(commands):
        asked = any(part in command[0] for part in only)
        if asked or command[-1] in read:
            chosen.insert(0, (command, asked))
            read |= {part for argument in command[1:-1] for part in re.split("[/=]", argument)}
    return chosen


def _raced(commands: Sequence[tuple[Sequence[str], bool]]) -> list[Count]:
    """Two of every command at once that is asked for; of the others one."""
    made = Count("together", "two of every kind of stage at once: the result is that of one alone")
    alike = Count("together", "files of every kind of stage: no two names that a disk takes for one")
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "work"
        folder.mkdir()
        _stages.write_sources(folder)
        for command, asked in commands:
            begun = time.monotonic()
            output = folder / command[-1]
            if not asked:
                made.expect(forked(command, folder, seconds=SECONDS).code == 0, f"{command[0]} {command[-1]} fails")
                continue
            expected = _alone(command, output, folder)
            other = _Other(command, folder)
            one = forked(command, folder, seconds=SECONDS)
            other.stops()
            good = [_is_good(made, ended, f"{command[0]} {command[-1]}") for ended in (one, other.ended())]
            made.expect(any(good), f"{command[-1]}: none of the two made it")
            differing = difference(expected, _made(output))
            made.expect(differing is None, f"{command[-1]}: {differing}")
            made.expect(not leftovers(folder), f"{command[-1]}: left behind: {leftovers(folder)}")
            made.times += 1
            names = [str(path.relative_to(folder)) for path in (output, *output.rglob("*"))]
            again = _stages.taken_for_one(names)
            alike.expect(not again, f"{command[-1]}: {again}")
            alike.times += len(names)
            print(f"{command[0]} {command[-1]}: {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    return [made, alike]


def run(quick: bool, seed: int, only: Sequence[str] = ()) -> list[Count]:
    """Every operation and every kind of stage; ``quick``: a few of both.

    Args:
        only: Two at once of the stages whose name holds one of these, and nothing else.
    """
    del seed  # nothing is drawn
    preload()
    build, page = _stages.BUILD, _stages.PAGE
    others = (
        ("build-folders, others", (build, (*build, "--seed=5")), "out"),
        ("report, others", (page, (*page, "--title=Another")), "out.html"),
    )
    if quick:
        return [*(_stopped(*one, step=11) for one in others), *_raced(needed(_stages.COMMANDS[:2], ("",)))]
    kills.preload()
    if only:
        return _raced(needed(_stages.COMMANDS, only))
    forced = ((*build, "--force"), (*build, "--seed=5", "--force"))
    alike = (
        ("build-folders, the same", (build, build), "out"),
        ("build-folders --force", forced, "out"),
        ("report, the same", (page, page), "out.html"),
    )
    return [*(_stopped(*one, step=1) for one in (*others, *alike)), *_raced(needed(_stages.COMMANDS, ("",)))]
