"""A stage killed before every single operation that creates, renames or removes something.

Python tells of each such operation before it happens (audit events), so the places where a process can die
are counted, and each is tried. Afterwards the same command must end with the bytes of an undisturbed run and
leave nothing else behind.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from torture._command import forked
from torture._report import Count
from torture._world import content, difference, leftovers, write_photographs

_EVENTS = frozenset({"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate"})


def writes(event: str, arguments: tuple[object, ...]) -> str | None:
    """The path that an audit event says is about to be created, renamed or removed; None for other events."""
    if event not in _EVENTS and event != "open":
        return None
    path = arguments[0]
    if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & (os.O_CREAT | os.O_TRUNC)):
        return None
    name = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else None
    return None if name is None or name.startswith("/dev/") else name


BUILD = ("build-folders", "--images", "photographs", "--output", "out")


def _trap(deadly: int, count_file: Path | None = None) -> Callable[[], None]:
    """Kills the process before its operation number ``deadly``; writes the number of the last one there was."""

    def install() -> None:
        seen = 0

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal seen
            path = writes(event, arguments)
            if path is None or path == str(count_file):
                return
            seen += 1
            if seen == deadly:
                os.kill(os.getpid(), signal.SIGKILL)
            if count_file is not None:
                count_file.write_text(f"{seen}\n{event} {arguments!r:.200}")

        sys.addaudithook(hook)

    return install


def _exhaust(name: str, command: tuple[str, ...], prepare: Callable[[Path], None], step: int) -> Count:
    count = Count("events", f"{name}: SIGKILL before each operation on the file system")
    with tempfile.TemporaryDirectory() as root:
        work, counted = Path(root) / "work", Path(root) / "count"  # always the same place: records name it

        def begin() -> None:
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            prepare(work)

        begin()
        ended = forked(command, work, _trap(0, counted))
        count.expect(ended.code == 0, f"undisturbed it ends with {ended.code}: {ended.errors[-300:]}")
        expected, operations = content(work), int(counted.read_text().split("\n")[0])
        for deadly in range(1, operations + 1, step):
            begin()
            killed = forked(command, work, _trap(deadly))
            count.expect(killed.code in (-signal.SIGKILL, 0), f"operation {deadly}: ended with {killed.code}")
            again = forked(command, work)
            count.times += 1
            count.expect(again.code == 0, f"operation {deadly}: the same command fails: {again.errors.strip()[-300:]}")
            differing = difference(expected, content(work))
            count.expect(differing is None, f"operation {deadly}: {differing}")
            count.expect(not leftovers(work), f"operation {deadly}: left behind: {leftovers(work)}")
    return count


def _photographs(folder: Path) -> None:
    write_photographs(folder / "photographs")


def _with_a_result(folder: Path) -> None:
    """There is a result of another configuration, which ``--force`` replaces."""
    _photographs(folder)
    ended = forked((*BUILD, "--seed", "5"), folder)
    if ended.code:
        raise RuntimeError(ended.errors)


def preload() -> None:
    """Import once, here, what every child would import."""
    import matplotlib.figure
    import pandas
    import pyarrow.parquet
    import scipy.sparse

    import nlcli.data.sources.folders

    del matplotlib, pandas, pyarrow, scipy, nlcli


def run(quick: bool, seed: int) -> list[Count]:
    """Every operation of a new stage, and of one that replaces another result (``quick``: every sixth)."""
    del seed  # nothing is drawn
    preload()
    step = 6 if quick else 1
    return [
        _exhaust("build-folders", BUILD, _photographs, step),
        _exhaust("build-folders --force", (*BUILD, "--force"), _with_a_result, step),
    ]
