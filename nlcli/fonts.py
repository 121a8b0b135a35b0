"""Which font draws which character: matplotlib's own, and fonts of the system for scripts that it has not.

What no font has is written as its number (``漢`` as ``\\u6f22``), so that names can be told apart, which they could not
as boxes. Letters are not joined or turned round, as Arabic or Devanagari would need.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_SCALABLE = 1  # FreeType's flag of fonts that have any size; pictures of a fixed size are no use
_LIKE_OURS = ("bold", "italic", "oblique", "black", "light", "thin", "mono", "serif", "condensed", "narrow")


@cache
def own_font() -> Path:
    """The file of matplotlib's own font, so that all plots have one and the signs are in it; without importing that."""
    found = find_spec("matplotlib")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"


def drawable(text: str) -> str:
    """``text`` with the numbers of those characters that no font has."""
    if text.isascii():
        return text
    return "".join(
        c if c == "\n" or font_of(c) is not None else c.encode("ascii", "backslashreplace").decode() for c in text
    )


def runs(text: str) -> list[tuple[str, Path]]:
    """``text`` in parts, each with the font that draws it."""
    parts: list[tuple[str, Path]] = []
    for character in text:
        font = font_of(character) or own_font()
        if parts and parts[-1][1] == font:
            parts[-1] = (parts[-1][0] + character, font)
        else:
            parts.append((character, font))
    return parts


def others(texts: Iterable[str]) -> list[Path]:
    """The fonts that draw ``texts`` beside matplotlib's own."""
    found = {font_of(c): None for text in texts if not text.isascii() for c in text}
    return [font for font in found if font is not None and font != own_font()]


@cache
def font_of(character: str) -> Path | None:
    """A font that has ``character``: matplotlib's own, else the first of the system's; None where none has."""
    if character.isascii() or ord(character) in characters(own_font()):
        return own_font()
    return next((font for font in system_fonts() if ord(character) in characters(font)), None)


@cache
def system_fonts() -> tuple[Path, ...]:
    """The fonts of the system, upright and sans serif first."""
    from matplotlib.font_manager import findSystemFonts

    def rank(path: Path) -> tuple[int, str, str]:
        name = path.stem.lower().replace("sansserif", "")
        return sum(word in name for word in _LIKE_OURS), name, str(path)

    return tuple(sorted(map(Path, findSystemFonts()), key=rank))


@cache
def characters(font: Path) -> frozenset[int]:
    """The numbers of all characters that a font has; none of one that cannot be read or has one size alone."""
    from matplotlib.ft2font import FT2Font

    try:
        opened = FT2Font(str(font))
        flags: Any = opened.face_flags
        scalable = int(getattr(flags, "value", flags)) & _SCALABLE  # a number itself before matplotlib 3.10
        return frozenset(opened.get_charmap()) if scalable else frozenset()
    except (OSError, RuntimeError, ValueError):
        return frozenset()
