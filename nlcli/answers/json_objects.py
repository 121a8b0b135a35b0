"""The objects of a long list in JSON, one by one: memory does not grow with the file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nlcli.errors import NlcliError
from nlcli.stages.foreign_files import FIRST_BYTES, encoding_of

_PART = 1 << 20
_LONGEST = 1 << 26
"""Characters of one object; a longer one is no task of an annotation program."""
_NEAR = 16
_SPACE = " \t\r\n"


def json_objects(path: Path) -> Iterator[dict[str, Any]]:
    """Every object of the list in ``path``, in its order.

    Raises:
        NlcliError: it is no list of objects, cut off, or not JSON.
    """
    try:
        with open(path, "rb") as file:
            encoding = encoding_of(file.read(FIRST_BYTES))
        with open(path, encoding=encoding) as text:
            yield from _Objects(path, text).all()
    except UnicodeError as error:
        raise NlcliError(f"{path}: not valid JSON, it has bytes that are no text; export it again") from error
    except OSError as error:
        raise NlcliError(f"cannot read {path}: {error.strerror}") from error


class _Objects:
    def __init__(self, path: Path, file: Any) -> None:
        self._path, self._file = path, file
        self._text, self._at, self._ended = "", 0, False
        self._decoder = json.JSONDecoder()

    def all(self) -> Iterator[dict[str, Any]]:
        if self._next() != "[":
            raise NlcliError(f"{self._path} does not begin with a list of tasks; export them as JSON")
        self._at += 1
        number = 0
        if self._next() == "]":
            self._at += 1
        else:
            while True:
                number += 1
                yield self._object(number)
                sign = self._next()
                self._at += 1
                if sign == "]":
                    break
                if sign != ",":
                    raise self._broken(number + 1)
        if self._next():
            raise NlcliError(f"{self._path}: there is something behind the end of the list; export it again")

    def _next(self) -> str:
        """The next character that is no space; empty at the end of the file."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _SPACE:
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more(_PART):
                return ""

    def _more(self, size: int) -> bool:
        part = self._file.read(size)
        self._text, self._at = self._text[self._at :] + part, 0
        self._ended = not part
        return bool(part)

    def _object(self, number: int) -> dict[str, Any]:
        if self._next() not in ("{", ""):
            raise NlcliError(f"{self._path}, task {number} is not an object; export them as JSON")
        size = _PART
        while True:
            try:
                value, self._at = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated") or error.pos > len(self._text) - _NEAR
                if not cut or len(self._text) - self._at > _LONGEST or not self._more(size):
                    raise self._broken(number) from error
                size *= 2
            except RecursionError as error:
                raise NlcliError(f"{self._path}, task {number}: it is nested too deeply") from error
            except ValueError as error:  # a whole number of more digits than Python reads
                raise NlcliError(f"{self._path}, task {number}: a number has thousands of digits") from error
            else:
                assert isinstance(value, dict)
                return value

    def _broken(self, number: int) -> NlcliError:
        why = "the file ends in it, as if it was cut off" if self._ended else "not valid JSON"
        return NlcliError(f"{self._path}, task {number}: {why}; export it again")
