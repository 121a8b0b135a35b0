"""One image as every export sees it, and names that are safe wherever they are written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from nlcli.data.labels import FULL, SPLITS, VERIFICATION, LabelTable
from nlcli.stages.alike_names import NamesApart

_BLOCK = 1 << 14
_MOST_BYTES = 120  # of a name in a file system; most allow 255
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NOT_A_FOLDER = re.compile(r'[/\\:*?"<>|%\x00-\x1f\x7f]')


@dataclass(frozen=True)
class ExportedImage:
    """What a data set says of an image; classes by their index.

    Attributes:
        noisy, confidence: Noisy labels, and the confidence of each.
        present, absent: What a person saw and did not see; of a fully verified image all others are absent.
        verification: ``none``, ``partial`` or ``full``.
    """

    row: int
    key: str
    path: str
    split: str
    noisy: list[int]
    confidence: list[float]
    present: list[int]
    absent: list[int]
    verification: str

    @property
    def labels(self) -> list[int]:
        """The best that is known: what a person saw, and where nobody looked the noisy labels."""
        if self.verification == VERIFICATION[FULL]:
            return self.present
        return sorted({*self.present, *self.noisy} - {*self.absent})


def exported_images(table: LabelTable) -> Iterator[ExportedImage]:
    """Every image in the order of the table, some of them in memory at a time."""
    for first in range(0, len(table), _BLOCK):
        rows = np.arange(first, min(first + _BLOCK, len(table)))
        parts = [matrix[rows] for matrix in (table.noisy, table.present, table.absent)]
        entries = [(part.indptr.tolist(), part.indices.tolist()) for part in parts]
        confidence = parts[0].data.tolist()
        for place, row in enumerate(rows.tolist()):
            noisy, present, absent = (indices[ptr[place] : ptr[place + 1]] for ptr, indices in entries)
            begin, end = entries[0][0][place : place + 2]
            yield ExportedImage(
                row=row,
                key=table.keys[row],
                path=table.paths[row],
                split=SPLITS[table.split[row]],
                noisy=noisy,
                confidence=[round(value, 7) for value in confidence[begin:end]],
                present=present,
                absent=absent,
                verification=VERIFICATION[table.verification[row]],
            )


def xml_names(names: Sequence[str]) -> list[str]:
    """The same names without characters that XML cannot hold; each still unlike the others."""
    apart = NamesApart(alike=str)
    return [apart.give(_NOT_XML.sub("\ufffd", name)) for name in names]


def xml_attribute(text: str) -> str:
    """``text`` as the value of an attribute, its quotation marks around it."""
    return quoteattr(text, {"\n": "&#10;", "\t": "&#9;", "\r": "&#13;"})


def xml_text(text: str) -> str:
    """``text`` between tags."""
    return escape(text, {"\r": "&#13;"})


def folder_names(names: Sequence[str], taken: Iterable[str] = ()) -> list[str]:
    """A name of a folder for each of ``names``: itself, or where a file system would not take that, encoded with ``%``.

    Encoded are separators, what other systems refuse, control characters, a dot in front, and a space or a dot at the
    end. No two are alike, nor like those of ``taken``, on file systems that know no capitals either.
    """
    apart = NamesApart(taken=taken)
    return [apart.give(_folder_name(name)) for name in names]


def _folder_name(name: str) -> str:
    safe = _NOT_A_FOLDER.sub(lambda found: quote(found.group(), safe=""), name)
    if safe[:1] in (".", " ", "~"):
        safe = f"%{ord(safe[0]):02X}{safe[1:]}"
    if safe[-1:] in (".", " "):
        safe = f"{safe[:-1]}%{ord(safe[-1]):02X}"
    return _cut(safe) or "%"


def _cut(name: str) -> str:
    return name.encode()[:_MOST_BYTES].decode(errors="ignore")
