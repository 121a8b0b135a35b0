"""WordNet's ``data.noun``: which classes share a hypernym of their hypernym (Lee 2018's semantic-308).

A line of the file is a synset: its offset, lexical file, type, words, pointers to other synsets, and
behind a bar what it means (WordNet's manual, wndb(5WN))::

    02084071 05 n 02 dog 0 domestic_dog 0 023 @ 02083346 n 0000 @ 01317541 n 0000 ... | a member of ...

Of a pointer ``@`` says that it leads to a hypernym. ImageNet calls its classes ``n`` and the offset in
WordNet 3.0.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from nlcli.data.lists import find_file, read_lines, shown
from nlcli.errors import NlcliError

FILE = "data.noun"
_SYNSET = re.compile(r"\d{8}")
_MOST_SYNSETS = 1_000_000  # WordNet 3.0 has 82,115


def nouns_file(path: Path) -> Path:
    """``path`` itself, or ``data.noun`` in it where it is a folder."""
    return find_file((path,), FILE, "WordNet 3.0") if path.is_dir() else path


def read_hypernyms(path: Path) -> dict[str, str | None]:
    """The offset of every noun and that of its first hypernym; None of one that has none.

    Raises:
        NlcliError: with the line, for one that is not a synset of nouns, or a pointer to a synset that is not there.
    """
    above: dict[str, str | None] = {}
    line_of: dict[str, int] = {}
    for number, line in read_lines(path):
        if line.startswith("  "):  # the licence stands on top
            continue
        offset, first = _read_synset(line, path, number)
        if offset in above:
            raise NlcliError(f"{path}, line {number}: synset {offset} stands in it twice; take the file as it came")
        if len(above) == _MOST_SYNSETS:
            raise NlcliError(f"{path}: more than {_MOST_SYNSETS:,} synsets; this is not WordNet's {FILE}")
        above[offset] = first
        if first is not None:
            line_of.setdefault(first, number)
    if not above:
        raise NlcliError(f"{path} holds no synset; give WordNet's {FILE}")
    unknown = next((offset for offset in line_of if offset not in above), None)
    if unknown is not None:
        raise NlcliError(
            f"{path}, line {line_of[unknown]}: the hypernym {unknown} is not in the file; take the whole {FILE}"
        )
    return above


def _read_synset(line: str, path: Path, number: int) -> tuple[str, str | None]:
    """Offset and first hypernym of a line."""
    fields = line.partition(" | ")[0].split()
    try:
        offset, kind, words = fields[0], fields[2], int(fields[3], 16)
        pointers = 4 + 2 * words
        count = int(fields[pointers])
        ends = [fields[pointers + 1 + 4 * i : pointers + 5 + 4 * i] for i in range(count)]
        whole = kind == "n" and len(fields) == pointers + 1 + 4 * count and words > 0
        first = next((target for sign, target, part, _ in ends if sign == "@" and part == "n"), None)
        if not whole or not all(_SYNSET.fullmatch(each) for each in (offset, first or offset)):
            raise ValueError
    except (IndexError, ValueError):
        raise NlcliError(
            f"{path}, line {number}: '{shown(line)}' is not a synset of nouns; give WordNet's {FILE}, not index.noun "
            "or the file of another part of speech"
        ) from None
    return offset, first


def second_hypernyms(ids: Sequence[str], path: Path) -> list[str]:
    """Of every class the first hypernym of its first hypernym; where the way up ends before, the last on it.

    Args:
        ids: ImageNet's, such as ``n02084071``.
        path: ``data.noun`` of WordNet 3.0, or the folder that holds it.

    Raises:
        NlcliError: the file is malformed or of another version of WordNet.
    """
    file = nouns_file(path)
    above = read_hypernyms(file)
    missing = [wordnet for wordnet in ids if wordnet[1:] not in above]
    if missing:
        raise NlcliError(
            f"{file}: {len(missing):,} of {len(ids):,} classes are not in it, such as {missing[0]}; their ids are "
            f"offsets in WordNet 3.0's {FILE}, take that version"
        )
    groups = []
    for wordnet in ids:
        parent = above[wordnet[1:]] or wordnet[1:]
        groups.append("n" + (above[parent] or parent))
    return groups
