"""The one exception a user ever sees."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError


class NlcliError(Exception):
    """A failure reported as one sentence: what is wrong, where, and what to do.

    The command line prints the sentence and exits with 1; from Python it is raised as it is.
    """


def unknown_name(name: str, known: Any, kind: str) -> str:
    """A sentence for an unknown ``name``, with the nearest known one or the whole list."""
    names = sorted(str(k) for k in known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(names)}"
    return f"unknown {kind} '{name}'; {hint}"


def first_problem(error: ValidationError, kind: str = "option") -> str:
    """The first of pydantic's complaints, as a clause naming the option (or another ``kind`` of field)."""
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "value"
    message = first["msg"].removeprefix("Value error, ")
    given = first.get("input")
    shown = f" (given: {given!r})" if isinstance(given, str | int | float | bool) else ""
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
    text = " ".join(str(error).split())
    return text if len(text) <= 160 else text[:157] + "..."
