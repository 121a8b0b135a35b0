"""Another Python, which imports what this one would."""

from __future__ import annotations

import os
import sys


def other_python(*arguments: str, **variables: str) -> tuple[list[str], dict[str, str]]:
    """A command, and the environment for it.

    Args:
        arguments: Of Python.
        variables: More of the environment.

    Raises:
        OSError: there is no Python to start, because this one lives inside another program.
    """
    if not sys.executable or getattr(sys, "frozen", False):
        raise OSError("there is no Python to start")
    # Programs put into the path what no environment holds, and what imports pass over.
    path = [entry for entry in sys.path if isinstance(entry, str) and "\0" not in entry]
    return [sys.executable, "-P", *arguments], os.environ | {"PYTHONPATH": os.pathsep.join(path)} | variables
