"""Lines of a text from outside: what is too long to be one is told, and never taken into memory whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, AnyStr

from nlcli.errors import NlcliError, shortened

LONGEST_LINE = 1 << 24
"""Characters, or bytes, of a line of a table: a cell for each of a million classes."""


def bounded_lines(file: IO[AnyStr], path: Path, longest: int = LONGEST_LINE, *, number: int = 1) -> Iterator[AnyStr]:
    """The lines of ``file``, opened from ``path``, with their ends.

    Args:
        number: Of the first line, where some were read before.

    Raises:
        NlcliError: with its number, for one longer than ``longest``, of which no more is read.
    """
    while line := file.readline(longest + 1):
        if len(line) > longest:
            raise NlcliError(
                f"{path}, line {number}: more than {longest:,} characters in one line; this is not such a file, or its "
                "line breaks are gone: write it again"
            )
        yield line
        number += 1


def names_listed(path: Path, what: str) -> tuple[str, ...]:
    """The lines of a list in UTF-8, stripped, without empty ones.

    Args:
        what: What they are, for a sentence.

    Raises:
        NlcliError: the file cannot be read, is no text, or has a line that is too long.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            return tuple(line.strip() for line in bounded_lines(file, path) if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise NlcliError(f"cannot read {what} {path}: {shortened(error)}") from error
