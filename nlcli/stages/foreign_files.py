"""What a file is that is not what it was taken for: told by its first bytes, with what to do."""

from __future__ import annotations

import codecs

FIRST_BYTES = 64
"""As many bytes tell what a file is."""
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_KINDS = (
    (b"\x1f\x8b", "is compressed with gzip; unpack it (gunzip) and give what comes out"),
    (b"BZh", "is compressed with bzip2; unpack it (bunzip2) and give what comes out"),
    (b"\xfd7zXZ\0", "is compressed with xz; unpack it (unxz) and give what comes out"),
    (b"\x28\xb5\x2f\xfd", "is compressed with zstd; unpack it (unzstd) and give what comes out"),
    (b"PK\x03\x04", "is a ZIP archive or a workbook (.xlsx, .ods); unpack it, or save the sheet as 'CSV UTF-8'"),
    (b"\xd0\xcf\x11\xe0", "is a workbook of Excel (.xls); save the sheet as 'CSV UTF-8'"),
    (b"PAR1", "is a Parquet file; give it the ending .parquet"),
    (b"ARROW1", "is an Arrow (Feather) file; write it as Parquet or CSV"),
    (b"ORC", "is an ORC file; write it as Parquet or CSV"),
    (b"Obj\x01", "is an Avro file; write it as Parquet or CSV"),
    (b"SQLite format 3\0", "is an SQLite database; export the table as CSV"),
    (b"\x89HDF\r\n", "is an HDF5 file; export the table as CSV or Parquet"),
    (b"\x93NUMPY", "is an array of NumPy; write the table as CSV or Parquet"),
    (b"\x80\x04\x95", "is a pickle of Python, which is not read, as it may run programs; write it as CSV or Parquet"),
    (b"\x80\x05\x95", "is a pickle of Python, which is not read, as it may run programs; write it as CSV or Parquet"),
    (b"%PDF", "is a PDF; save the table in it as CSV"),
    (b"\xff\xd8\xff", "is a JPEG picture"),
    (b"\x89PNG", "is a PNG picture"),
)
_POINTER = b"version https://git-lfs"
_PAGES = (b"<!doctype html", b"<html")


def foreign_kind(start: bytes) -> str | None:
    """What a file that begins with ``start`` is, as a clause with what to do; None for text, as far as is seen."""
    for magic, told in _KINDS:
        if start.startswith(magic):
            return told
    return in_its_place(start)


def in_its_place(start: bytes) -> str | None:
    """What came in the place of a file when it was downloaded, as a clause with what to do; None where nothing did."""
    if start.startswith(_POINTER):
        return "is a pointer of Git LFS, not the file itself; fetch that (git lfs pull)"
    if start.lstrip(codecs.BOM_UTF8 + b" \t\r\n").lower().startswith(_PAGES):
        return "is a page of the web, such as a server's message; download the file again"
    return None


def encoding_of(start: bytes) -> str:
    """The encoding of a text that begins with ``start``: by its mark, else UTF-16 by its zeros, else UTF-8."""
    for bom, encoding in _BOMS:
        if start.startswith(bom):
            return encoding
    head = start[: len(start) // 2 * 2]
    if len(head) >= 4 and any(head):
        if not any(head[1::2]) and all(head[0::2]):
            return "utf-16-le"
        if not any(head[0::2]) and all(head[1::2]):
            return "utf-16-be"
    return "utf-8"
