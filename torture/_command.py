"""The command line in a child of this process: what is imported here need not be imported again."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code (minus the signal's number when one ended it) and standard error."""

    code: int
    errors: str
    output: str = ""

    @property
    def is_traceback(self) -> bool:
        """Whether Python's own account of an error reached the user."""
        return "Traceback (most recent call last)" in self.errors


def forked(
    arguments: Sequence[str], folder: Path, before: Callable[[], None] | None = None, seconds: float = 120
) -> Ended:
    """``nlcli ARGUMENTS`` in a forked child that works in ``folder``.

    Args:
        before: Called in the child before the command, such as to set a trap.
        seconds: After which the child is killed; its exit code is then -9.
    """
    return forked_in_turn([arguments], folder, before, seconds)


def forked_in_turn(
    commands: Sequence[Sequence[str]], folder: Path, before: Callable[[], None] | None = None, seconds: float = 120
) -> Ended:
    """The same of several commands in one child, which imports once what they need; the first to fail is the last."""
    streams = folder.parent / f".{folder.name}.stdout", folder.parent / f".{folder.name}.stderr"
    child = os.fork()
    if child == 0:
        code = 121
        try:
            for arguments in commands:
                code = run_here(arguments, folder, streams, before)
                if code:
                    break
        finally:  # whatever happens, this is not the parent
            os._exit(code)
    deadline = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.002)
    output, errors = (path.read_text(errors="replace") for path in streams)
    for path in streams:
        path.unlink()
    return Ended(os.waitstatus_to_exitcode(status), errors, output)


def run_here(
    arguments: Sequence[str], folder: Path, streams: tuple[Path, Path], before: Callable[[], None] | None = None
) -> int:
    """``nlcli ARGUMENTS`` in this process, a child that does nothing after it; its exit code."""
    for number, path in zip((1, 2), streams, strict=True):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
    os.chdir(folder)
    sys.argv = ["nlcli", *map(str, arguments)]
    from nlcli.cli import main

    code = 0
    try:
        if before is not None:
            before()
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        code = 1
        traceback.print_exc()
    try:
        sys.stdout.flush()  # as the interpreter does when it ends
    except OSError as error:
        code = 120
        print(f"Traceback (most recent call last): at exit: {error}", file=sys.stderr)
    sys.stderr.flush()
    return code
