"""Fonts with a few signs that are squares."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def write_font(path: Path, family: str, sides: Mapping[str, int]) -> Path:
    """A TrueType font of 1,000 units whose characters are filled squares on the base line, of so many units a side."""
    from fontTools.fontBuilder import FontBuilder
    from fontTools.pens.ttGlyphPen import TTGlyphPen

    names = {f"sign{ord(character)}": side for character, side in sides.items()}
    glyphs = {".notdef": TTGlyphPen(None).glyph()}
    for name, side in names.items():
        pen = TTGlyphPen(None)
        pen.moveTo((0, 0))
        for point in ((0, side), (side, side), (side, 0)):
            pen.lineTo(point)
        pen.closePath()
        glyphs[name] = pen.glyph()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(list(glyphs))
    builder.setupCharacterMap({ord(character): f"sign{ord(character)}" for character in sides})
    builder.setupGlyf(glyphs)
    builder.setupHorizontalMetrics(dict.fromkeys(glyphs, (1000, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=800)
    builder.setupPost()
    builder.save(path)
    return path
