"""What a person sees on standard error while long work runs."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from nlcli.errors import plain, printable

_PLAIN_SECONDS = 10.0  # between two lines where standard error is not a terminal
_quiet = False


def set_quiet(quiet: bool) -> None:
    """Silence ``say`` and every bar (errors are still printed by the command line)."""
    global _quiet
    _quiet = quiet


@contextmanager
def quietly(quiet: bool = True) -> Iterator[None]:
    """Within it nothing is said, if ``quiet``; what was set before stands again behind it."""
    before = _quiet
    set_quiet(quiet or before)
    try:
        yield
    finally:
        set_quiet(before)


def say(line: str) -> None:
    """Print one line to standard error, fit for a terminal whatever names are in it."""
    if not _quiet:
        print(plain(line), file=sys.stderr, flush=True)


def tell(text: str = "") -> None:
    """Print to standard output, fit for a terminal whatever names are in it."""
    print(printable(text, None, "\n\t"))


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
        say(f"{self.title}: {self.done:,}/{self.total:,} {self.unit} ({share} %), {self._rate_text()}{left}{remark}")


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
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[remark]}"),
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


def print_json(value: Any) -> None:
    """Print ``value`` as JSON that every program reads.

    It has no NaN or infinity, for which null stands; NumPy's numbers and arrays are numbers and lists, and what JSON
    does not know, such as a path, is its text.
    """
    print(json.dumps(_of_json(value), indent=2, allow_nan=False))


def _of_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {name if isinstance(name, str | int) else str(name): _of_json(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_of_json(one) for one in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    return _of_json(value.tolist()) if hasattr(value, "tolist") else str(value)


def print_pairs(pairs: dict[str, Any]) -> None:
    """Print names and values as two aligned columns; nested values are left to ``--json``."""
    flat = {k.replace("_", " "): v for k, v in pairs.items() if not isinstance(v, dict | list)}
    width = max((len(name) for name in flat), default=0)
    for name, value in flat.items():
        tell(f"{name:<{width}}  {_shown(value)}")


def _shown(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)


def print_markdown(text: str) -> None:
    """Print Markdown: rendered on a terminal, as it is into a pipe or file."""
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.markdown import Markdown

        Console().print(Markdown(text))
    else:
        print(text)


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str] = ()) -> None:
    """Print a table: drawn by rich on a terminal, as aligned columns into a pipe or a file."""
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
        for i, name in enumerate(header):
            table.add_column(Text(printable(name, None)), overflow="fold", ratio=None, no_wrap=i == 0)
        for row in rows:
            table.add_row(*(Text(printable(cell, None)) for cell in row))  # Text: brackets are no markup
        console = Console()
        console.print(table)
        for note in notes:
            console.print(Text(printable(note, None), style="dim"))
        return
    tell(text_table(header, rows))
    for note in notes:
        tell(note)


def say_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table to standard error, aligned, where lines are said."""
    if not _quiet:
        print(text_table(header, rows), file=sys.stderr, flush=True)


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns aligned by spaces."""
    lines = [[printable(cell, None) for cell in line] for line in (header, *rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; bars in cells are escaped."""
    lines = [list(header), ["---"] * len(header), *map(list, rows)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"
