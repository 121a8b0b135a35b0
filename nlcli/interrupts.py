"""Ctrl-C that is heard.

Python raises ``KeyboardInterrupt`` in whatever the main thread runs at that moment. Where that is called by compiled
code which drops errors of what it calls, the interrupt is lost without a word, and the program goes on. So it is raised
again and again until somebody has heard it.
"""

from __future__ import annotations

import signal
from typing import NoReturn

AGAIN_SECONDS = 3.0
"""After which an interrupt that nobody heard is raised again."""


def raise_until_heard() -> None:
    """From now on, in place of Python's own handler; for the main thread of a program."""
    signal.signal(signal.SIGINT, _interrupted)


def heard() -> None:
    """An interrupt arrived where it ends the program."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0)


def _interrupted(*_: object) -> NoReturn:
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, _interrupted)
        signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)
    raise KeyboardInterrupt
