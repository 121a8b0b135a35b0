"""Which pictures are plain: decoding them takes what their pixels and their bytes do, and no more.

Others are made so, and small: a JPEG of thousands of scans, each of which is a walk over all pixels; a TIFF of 1 kB
whose tiles are larger than the picture, or than any memory; EXIF whose 65,000 entries are all the same megabyte.
Of plain pictures it can be told what they take, because they are
JPEG or PNG and have few parts; nearly all photographs are plain. Nothing is refused here.
"""

from __future__ import annotations

from typing import Literal

MOST_SEGMENTS = 64
"""Of a JPEG before its first scan, and chunks of a PNG before its pixels."""
MOST_SCANS = 64
"""Of a JPEG; progressive ones have about ten."""
MOST_ENTRIES = 200
"""Of a directory of EXIF, or of one of several pictures in a file."""
MOST_BYTES = 1 << 26
_PNG = b"\x89PNG\r\n\x1a\n"
_SCAN = 0xDA
_SEGMENTS = frozenset({*range(0xC0, 0xD0), 0xDB, 0xDD, *range(0xE0, 0xF0), 0xFE} - {0xC8})
"""Markers of what has a length, by everybody's understanding."""
_DIRECTORIES = {0xE1: b"Exif\0\0", 0xE2: b"MPF\0"}
"""Segments of a JPEG that hold a directory as TIFF has it, and how they begin."""


def is_plain(content: bytes) -> bool:
    """Whether decoding ``content``, that of an image file, takes little more than reading it and holding its pixels."""
    if len(content) > MOST_BYTES:
        return False
    if content.startswith(b"\xff\xd8\xff"):
        return _is_plain_jpeg(content)
    return content.startswith(_PNG) and _is_plain_png(content)


def _is_plain_jpeg(content: bytes) -> bool:
    at, directories = 2, set()
    for _ in range(MOST_SEGMENTS):
        if at + 4 > len(content):
            return True  # cut short: there is nothing to decode
        if content[at] != 0xFF:
            return False
        marker, length = content[at + 1], int.from_bytes(content[at + 2 : at + 4], "big")
        if marker == _SCAN:
            return content.count(b"\xff\xda") <= MOST_SCANS
        if marker not in _SEGMENTS or length < 2:
            return False
        begins = _DIRECTORIES.get(marker)
        if begins and content.startswith(begins, at + 4):
            if marker in directories or not _is_short(content[at + 4 + len(begins) : at + 2 + length]):
                return False
            directories.add(marker)
        at += 2 + length
    return False


def _is_plain_png(content: bytes) -> bool:
    # Pixels are packed, so that these names are found in them once in thousands of gigabytes.
    if b"eXIf" in content or b"Raw profile type" in content:
        return False
    at = len(_PNG)
    for _ in range(MOST_SEGMENTS):
        if at + 8 > len(content) or content.startswith(b"IDAT", at + 4):
            return True
        at += 12 + int.from_bytes(content[at : at + 4], "big")
    return False


def _is_short(tiff: bytes) -> bool:
    """Whether this has a TIFF's form, with few entries in its first directory."""
    order: Literal["little", "big"] = "big" if tiff.startswith(b"MM") else "little"
    at = int.from_bytes(tiff[4:8], order)
    return tiff.startswith((b"II*\0", b"MM\0*")) and int.from_bytes(tiff[at : at + 2], order) <= MOST_ENTRIES
