"""A command in a session of its own, with a clock that other programs do not move."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torture._command import run_here

ROOT = Path(__file__).parents[1]
_POLL, _SEARCH = 0.02, 0.25  # seconds
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Running:
    """``nlcli ARGUMENTS`` while it runs.

    Attributes:
        process: Number of its first process, which leads the session.
        errors_at: Where its standard error goes.
        code: Its exit code, minus the signal's number when one ended it; None while it runs.
        seconds: What all its processes have used of the processors when it was last looked at. Where the system does
            not tell (no ``/proc``), the time since it was started.
    """

    process: int
    errors_at: Path
    code: int | None = None
    seconds: float = 0.0
    _begun: float = field(default_factory=time.monotonic)
    _searched: float = 0.0
    _members: list[str] = field(default_factory=list)

    def ends(self, at: float, limit: float = float("inf")) -> bool:
        """Wait until it ended or has used ``at`` seconds of the processors; whether it ended.

        Raises:
            TimeoutError: neither happened within ``limit`` seconds after it was started; it is killed.
        """
        while True:
            ended, status = os.waitpid(self.process, os.WNOHANG)
            if ended:
                self.code = os.waitstatus_to_exitcode(status)
                return True
            self.seconds = max(self.seconds, self._used())
            if self.seconds >= at:
                return False
            if time.monotonic() - self._begun > limit:
                os.killpg(self.process, signal.SIGKILL)
                os.waitpid(self.process, 0)
                raise TimeoutError(f"it goes on after {limit:.0f} s")
            time.sleep(_POLL)

    def wait(self, limit: float) -> None:
        """Wait until it ended.

        Raises:
            TimeoutError: as ``ends``.
        """
        self.ends(float("inf"), limit)

    def errors(self) -> str:
        """What it wrote to standard error."""
        return self.errors_at.read_text(errors="replace")

    def send(self, number: signal.Signals, everyone: bool = False) -> None:
        """Send a signal to its first process, or to all of them."""
        (os.killpg if everyone else os.kill)(self.process, number)

    def orphans_end(self, seconds: float = 60) -> bool:
        """Whether all its processes are gone within ``seconds``; they are killed otherwise."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                os.killpg(self.process, 0)
            except ProcessLookupError:
                return True
            time.sleep(0.1)
        os.killpg(self.process, signal.SIGKILL)
        return False

    def _used(self) -> float:
        if not os.path.exists("/proc/self/stat"):
            return time.monotonic() - self._begun
        search = time.monotonic() - self._searched > _SEARCH
        ticks, members = 0, []
        for number in filter(str.isdigit, os.listdir("/proc")) if search else self._members:
            try:
                with open(f"/proc/{number}/stat", "rb") as file:
                    told = file.read()
            except OSError:  # ended meanwhile
                continue
            facts = told[told.rindex(b")") + 2 :].split()  # the name before it may hold anything
            if int(facts[3]) == self.process:
                members.append(number)
                ticks += sum(map(int, facts[11:15]))  # its own, and those of its children that ended
        if search:
            self._searched, self._members = time.monotonic(), members
        return ticks / _TICKS


def started(arguments: Sequence[str], folder: Path) -> Running:
    """``nlcli ARGUMENTS`` as a person starts it, working in ``folder``."""
    errors = folder.parent / f".{folder.name}.errors"
    with open(errors, "wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "nlcli", *arguments], cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stream, start_new_session=True,
        )  # fmt: skip
    process.returncode = 0  # waited for here, not by ``Popen``
    return Running(process.pid, errors)


def forked(arguments: Sequence[str], folder: Path) -> Running:
    """The same in a fork of this process: what is imported here need not be imported again."""
    streams = Path(os.devnull), folder.parent / f".{folder.name}.errors"
    process = os.fork()
    if process == 0:
        code = 121
        try:
            os.setsid()
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            atexit._clear()  # what this process removes when it ends is not the child's
            code = run_here(arguments, folder, streams)
        finally:  # whatever happens, this is not the parent
            os._exit(code)
    return Running(process, streams[1])
