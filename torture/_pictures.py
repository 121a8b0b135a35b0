"""Small pictures that take hours or all memory to decode, made of a format's own parts."""

from __future__ import annotations

import io
import struct
import zlib

from PIL import Image


def scans_jpeg(side: int, scans: int) -> bytes:
    """A grey progressive JPEG of ``side`` squared pixels whose last scan comes ``scans`` times more."""
    file = io.BytesIO()
    Image.new("L", (side, side), 128).save(file, "JPEG", progressive=True)
    content = file.getvalue()
    last = content[content.rindex(b"\xff\xc4") : -2]  # with its table
    return content[:-2] + last * scans + content[-2:]


def tile_tiff(side: int) -> bytes:
    """A TIFF of 10 x 10 grey pixels whose one tile is ``side`` squared."""
    tile = zlib.compress(bytes(1 << 20))
    values = {256: 10, 257: 10, 258: 8, 259: 8, 262: 1, 277: 1, 322: side, 323: side, 324: 134, 325: len(tile)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in values.items())
    return b"II*\0" + struct.pack("<IH", 8, len(values)) + entries + struct.pack("<I", 0) + tile


def exif(entries: int) -> bytes:
    """EXIF with so many entries."""
    data = b"".join(struct.pack(">HHII", 0x9000 + number, 4, 1, 0) for number in range(entries))
    return b"Exif\0\0MM\0*" + struct.pack(">IH", 8, entries) + data + struct.pack(">I", 0)
