"""The one exception a user ever sees, and how its sentences are made fit to print."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError

_MOST_SHOWN = 80  # characters of a value or a name from outside
_MOST_NAMES = 40  # names that are listed where none is near


class NlcliError(Exception):
    """A failure reported as one sentence: what is wrong, where, and what to do.

    The command line prints the sentence and exits with 1; from Python it is raised as it is. Whatever was put
    into the sentence, it is one line that a terminal shows as it is (see ``plain``).
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(plain(sentence))


_LONGEST_WORD, _LONGEST_LINE = 300, 1000
_JOINERS = "\u200c\u200d"
"""Characters of Persian, of scripts of India and of emoji, which show nothing themselves and turn nothing."""


def plain(text: str) -> str:
    """``text`` as one line that is safe to print, what is too long for a sentence cut."""
    words = [printable(word, _LONGEST_WORD) for word in text.split()]
    return printable(" ".join(words), _LONGEST_LINE)


def printable(text: str, most: int | None = _MOST_SHOWN, keep: str = "") -> str:
    """At most ``most`` characters of ``text``, safe to print: no line breaks, no codes that a terminal obeys.

    Args:
        keep: Characters that stay all the same, such as line breaks.
    """
    shown = text if most is None or len(text) <= most else text[:most] + "..."
    if shown.isprintable():
        return shown
    return "".join(c if c.isprintable() or c in keep or c in _JOINERS else "?" for c in shown)


def unknown_name(name: str, known: Any, kind: str) -> str:
    """A sentence for an unknown ``name``, with the nearest known one or the whole list."""
    names = sorted(str(k) for k in known)
    near = [k for k in names if k.casefold() == name.strip().casefold()][:1]
    near = near or difflib.get_close_matches(name[:_MOST_SHOWN], names, n=1)
    if near:
        return f"unknown {kind} '{printable(name)}'; did you mean '{printable(near[0])}'?"
    listed = ", ".join(names[:_MOST_NAMES]) + (f" and {len(names) - _MOST_NAMES} more" * (len(names) > _MOST_NAMES))
    return f"unknown {kind} '{printable(name)}'; known: {listed}"


def first_problem(error: ValidationError, kind: str = "option") -> str:
    """The first of pydantic's complaints, as a clause naming the option (or another ``kind`` of field)."""
    first = error.errors(include_url=False)[0]
    place = printable(".".join(str(part) for part in first["loc"])) or "value"
    given = first.get("input")
    message = printable(" ".join(first["msg"].removeprefix("Value error, ").split()), 300)
    shown = f" (given: {printable(repr(given))})" if isinstance(given, str | int | float | bool) else ""
    if isinstance(given, bool) and first["type"] in ("path_type", "string_type", "literal_error"):
        message += "; yes, no, on and off are true and false in YAML: put the word in quotes"
    if first["type"] == "missing":
        return f"{kind} '{place}' is required"
    return f"{kind} '{place}': {message[:1].lower()}{message[1:]}{shown}"


LARGEST = 2**53
"""Programs that read JSON hold whole numbers up to here; what is beyond it is a slip of the keyboard."""


def require_usable(given: Mapping[str, Any], values: Mapping[str, Any], where: str) -> None:
    """Refuse what YAML, Python and the command line take for a number and no stage can count to.

    Args:
        given: Options by name, as they came.
        values: What was read of them and of the defaults; of a list each value is looked at.
        where: Begins the sentence.

    Raises:
        NlcliError: a number is infinite, not a number, beyond ``LARGEST``, or was yes or no; the option is named.
    """
    for name, value in values.items():
        if isinstance(given.get(name), bool) and not isinstance(value, bool):
            word = "yes, on or true" if given[name] else "no, off or false"
            raise NlcliError(f"{where}: option '{name}': expected a number (given: {word})")
        for one in value if isinstance(value, list | tuple) else (value,):
            if isinstance(one, float) and not math.isfinite(one):
                raise NlcliError(f"{where}: option '{name}': expected a finite number (given: {one})")
            if isinstance(one, int | float) and abs(one) > LARGEST:
                raise NlcliError(
                    f"{where}: option '{name}': expected a number up to {LARGEST:,} (given: {printable(str(one), 30)})"
                )


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
