"""The one exception a user ever sees, and the parts of its sentences."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError

_MOST_SHOWN = 80  # characters of a value or a name from outside
_MOST_NAMES = 40  # names that are listed where none is near


class NlcliError(Exception):
    """A failure reported as one sentence: what is wrong, where, and what to do.

    The command line prints the sentence and exits with 1; from Python it is raised as it is.
    """


def unknown_name(name: str, known: Any, kind: str) -> str:
    """A sentence for an unknown ``name``, with the nearest known one or the whole list."""
    names = sorted(str(k) for k in known)
    near = difflib.get_close_matches(name[:_MOST_SHOWN], names, n=1)
    if near:
        return f"unknown {kind} '{printable(name)}'; did you mean '{printable(near[0])}'?"
    listed = ", ".join(names[:_MOST_NAMES]) + (f" and {len(names) - _MOST_NAMES} more" * (len(names) > _MOST_NAMES))
    return f"unknown {kind} '{printable(name)}'; known: {listed}"


def printable(text: str, most: int | None = _MOST_SHOWN) -> str:
    """At most ``most`` characters of ``text``, safe to print: no line breaks, no codes that a terminal obeys."""
    plain = "".join(c if c.isprintable() else "?" for c in text[:most])
    return plain if most is None or len(text) <= most else plain + "..."


def first_problem(error: ValidationError, kind: str = "option") -> str:
    """The first of pydantic's complaints, as a clause naming the option (or another ``kind`` of field)."""
    first = error.errors(include_url=False)[0]
    place = printable(".".join(str(part) for part in first["loc"])) or "value"
    message = printable(" ".join(first["msg"].removeprefix("Value error, ").split()), 300)
    given = first.get("input")
    shown = f" (given: {printable(repr(given))})" if isinstance(given, str | int | float | bool) else ""
    if first["type"] == "missing":
        return f"{kind} '{place}' is required"
    return f"{kind} '{place}': {message[:1].lower()}{message[1:]}{shown}"


@contextmanager
def sentence(what: str) -> Iterator[None]:
    """Keras raises nearly anything on a file that does not suit it."""
    try:
        yield
    except NlcliError:
        raise
    except Exception as error:
        raise NlcliError(f"{what} ({shortened(error)})") from error


def shortened(error: BaseException) -> str:
    """What a library says, on one line of at most 160 characters."""
    text = printable(" ".join(str(error).split()), None)
    return text if len(text) <= 160 else text[:157] + "..."
