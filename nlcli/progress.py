"""What a person sees on standard error while long work runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_PLAIN_SECONDS = 10.0  # between two lines where standard error is not a terminal
_quiet = False


def set_quiet(quiet: bool) -> None:
    """Silence ``say`` and every bar (errors are still printed by the command line)."""
    global _quiet
    _quiet = quiet


def say(line: str) -> None:
    """Print one line to standard error."""
    if not _quiet:
        print(line, file=sys.stderr, flush=True)


class Bar:
    """A running total; ``advance`` counts work done, ``note`` shows a short remark beside it."""

    def __init__(self, total: int, title: str, unit: str, done: int) -> None:
        self.total, self.title, self.unit = total, title, unit
        self.done = self._first = done
        self._remark = ""
        self._started = self._printed = time.monotonic()
        self._rich: Any = None
        self._task: Any = None

    def advance(self, amount: int = 1) -> None:
        """Count ``amount`` more units as done."""
        self.done += amount
        if self._rich is not None:
            self._rich.update(self._task, completed=self.done, rate=self._rate_text())
        elif time.monotonic() - self._printed >= _PLAIN_SECONDS:
            self._print_line()

    def note(self, remark: str) -> None:
        """Show ``remark`` beside the bar (or on the next plain line)."""
        self._remark = remark
        if self._rich is not None:
            self._rich.update(self._task, remark=remark)

    def _rate(self) -> float:
        elapsed = time.monotonic() - self._started
        return (self.done - self._first) / elapsed if elapsed > 0 else 0.0

    def _rate_text(self) -> str:
        return f"{self._rate():,.1f} {self.unit}/s"

    def _print_line(self) -> None:
        self._printed = time.monotonic()
        rate = self._rate()
        left = f", {duration((self.total - self.done) / rate)} left" if rate > 0 else ""
        remark = f"  {self._remark}" if self._remark else ""
        share = 100 * self.done // max(self.total, 1)
        say(f"{self.title}: {self.done:,}/{self.total:,} {self.unit} ({share} %), "
            f"{self._rate_text()}{left}{remark}")


@contextmanager
def progress(total: int, title: str, *, unit: str = "items", done: int = 0) -> Iterator[Bar]:
    """Show progress of ``total`` units of work, ``done`` of them finished earlier.

    A bar with rate and time left when standard error is a terminal; otherwise a plain line every
    ten seconds and one at the end.
    """
    bar = Bar(total, title, unit, done)
    if _quiet:
        yield bar
        return
    if not sys.stderr.isatty():
        yield bar
        bar._print_line()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"), TimeRemainingColumn(), TextColumn("{task.fields[remark]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as shown:
        bar._rich = shown
        bar._task = shown.add_task(title, total=total, completed=done, rate="", remark="")
        yield bar


def duration(seconds: float) -> str:
    """``75`` -> ``1 min 15 s``: a time for people."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
