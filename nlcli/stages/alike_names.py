"""Names that a file system may take for one, and how they are told apart before they are written."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable


def folded(name: str) -> str:
    """What is the same for names that a file system may take for one: of other capitals, or composed otherwise."""
    return (
        name.lower() if name.isascii() else unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())
    )


class NamesApart:
    """Names of one place, no two of which are alike.

    Args:
        alike: What is the same for names that are.
        taken: Names that are given to something else.
    """

    def __init__(self, alike: Callable[[str], str] = folded, taken: Iterable[str] = ()) -> None:
        self._alike = alike
        self._taken = {alike(name) for name in taken}

    def give(self, name: str, ending: str = "") -> str:
        """``name`` and ``ending``, with a number between them where a name given before is alike."""
        told, number = name + ending, 1
        while self._alike(told) in self._taken:
            number += 1
            told = f"{name}~{number}{ending}"
        self._taken.add(self._alike(told))
        return told
