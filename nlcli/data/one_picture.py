"""One picture under two names, which must not be in two splits: it would be tested on what it was trained on.

Files decide, not spellings. Names that lead to one file are told by the file itself (its device and number), so that
links, ``./`` and a file system without capitals make no difference. Two files are one picture where they have the same
size and end in the same bytes (see ``copies.py``), or the number of one of COCO's pictures in two editions, which name
them differently. What shows the same in other bytes ``nlcli deduplicate`` finds.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nlcli.console import say
from nlcli.data.copies import MOST_READ, by_name, ends_of
from nlcli.errors import NlcliError
from nlcli.networks.file_facts import FileFacts, Places, look_at, one_file

_COCO_NAME = re.compile(r"(?:COCO_(?:train|val|test)(?P<edition>\d{4})_)?(?P<number>\d{12})\.jpe?g", re.IGNORECASE)
_COCO_FOLDER = re.compile(r"(?:train|val|test|unlabeled)(\d{4})", re.IGNORECASE)


def refuse_one_picture_in_two_splits(
    root: Path,
    paths: np.ndarray,
    split: np.ndarray,
    names: Sequence[str],
    facts: FileFacts | None = None,
    *,
    of_coco: bool = False,
) -> None:
    """Refuse a picture that is in two splits because two names lead to its file, or as two editions of COCO have it.

    What may be meant is told with its counts: files listed again in their own split, hard links, copies under one name,
    and numbers of COCO whose pictures differ.

    Args:
        paths: (N,) paths in ``root``.
        split: (N,) index into ``names``.
        facts: What the file system says of the pictures, where somebody looked already.
        of_coco: They are COCO's, whose numbers are the same in all editions: one number is one picture, also where the
            files differ, as those do that somebody made smaller.

    Raises:
        NlcliError: with two of the names.
    """
    if not root.is_dir():
        return
    if facts is None:
        facts = look_at(root, paths.tolist())
    listed = _Listed(root, paths, split, names, facts)
    _refuse_one_file(listed)
    _refuse_editions(listed, of_coco)
    _tell_copies(listed)


@dataclass(frozen=True)
class _Listed:
    """Pictures; entry ``i`` of ``paths``, ``split`` and ``facts`` is the same one."""

    root: Path
    paths: np.ndarray
    split: np.ndarray
    names: Sequence[str]
    facts: FileFacts

    def named(self, row: int) -> str:
        """The picture in a sentence."""
        return f"'{self.paths[row]}' ({self.names[self.split[row]]})"

    def other(self, row: int, among: Sequence[int]) -> int | None:
        """The first of ``among`` that is in another split than ``row``."""
        return next((int(other) for other in among if self.split[other] != self.split[row]), None)

    def refuse(self, pairs: Sequence[tuple[int, int]], what: str, remedy: str) -> None:
        """A sentence, if there are pairs in two splits."""
        if pairs:
            one, other = sorted(pairs[0], key=lambda row: (self.split[row], row))
            more = f", and {len(pairs) - 1:,} more such images" if len(pairs) > 1 else ""
            raise NlcliError(
                f"{self.named(one)} and {self.named(other)} in {self.root} are {what}{more}; an image may be in one "
                f"split only: {remedy}"
            )


# --- one file --------------------------------------------------------------------------------


def _refuse_one_file(listed: _Listed) -> None:
    places = Places(listed.root)
    pairs: list[tuple[int, int]] = []
    twice: list[tuple[int, int]] = []
    linked, files = 0, 0
    for group in one_file(listed.facts):
        rows = group.tolist()
        if int(listed.facts.names[rows[0]]) == 1:  # a file with one name: the others are links or spellings of it
            again = list(range(1, len(rows)))
        else:
            again = places.again([str(listed.paths[row]) for row in rows])
        for position in again:
            other = listed.other(rows[position], rows)
            if other is None:
                twice.append((rows[0], rows[position]))
            else:
                pairs.append((other, rows[position]))
        if len(again) < len(rows) - 1:
            linked, files = linked + len(rows) - len(again), files + 1
    listed.refuse(pairs, "one file, by a link or another spelling", "remove one of the two")
    if twice:
        one, other = twice[0]
        say(
            f"note: {len(twice):,} of {len(listed.paths):,} images are files that are listed under another name, too, "
            f"and count twice (the first: '{listed.paths[one]}' and '{listed.paths[other]}')"
        )
    if linked:
        say(
            f"note: {linked:,} of {len(listed.paths):,} images are hard links to {files:,} files; one picture may so "
            "be in several splits: nlcli deduplicate finds them"
        )


# --- copies ----------------------------------------------------------------------------------


def _refuse_editions(listed: _Listed, of_coco: bool) -> None:
    """Pictures of COCO under the names of two editions, such as ``COCO_train2014_000000000009.jpg``."""
    known = [(row, *found) for row, path in enumerate(listed.paths) if "000000" in path and (found := _coco(path))]
    editions = {edition for _, _, edition in known}
    if len(editions) < 2:
        return
    numbers = np.asarray([number for _, number, _ in known])
    edition_of = {row: edition for row, _, edition in known}
    pairs: list[tuple[int, int]] = []
    doubtful = 0
    for rows in _groups(np.asarray([row for row, _, _ in known]), numbers):
        for row in rows:
            others = [r for r in rows if r < row and edition_of[r] != edition_of[row]]
            other = listed.other(row, others)
            if other is None:
                continue
            alike = listed.facts.size[row] == listed.facts.size[other] and (pairs or _end_alike(listed, row, other))
            if not (of_coco or alike):
                doubtful += 1
            else:  # where one pair is one picture, equal sizes say enough of the others
                pairs.append((other, row))
    remedy = "list the pictures of one edition"
    if of_coco:
        remedy += ", or rename the folders so that they name no year where the pictures are not COCO's"
    listed.refuse(pairs, "one picture in two editions of COCO", remedy)
    if doubtful:
        say(
            f"warning: {doubtful:,} of {len(listed.paths):,} images have the number of a picture of COCO that is in "
            "another split in another edition, as another file; nlcli deduplicate finds those that show the same"
        )


def coco_editions(paths: np.ndarray) -> tuple[str, ...]:
    """The years of the editions of COCO that the names of pictures tell, in order; empty where they tell none."""
    told = {found[1].partition(",")[0] for path in paths if "000000" in path and (found := _coco(path))}
    return tuple(sorted(told - {""}))


def _coco(path: str) -> tuple[int, str] | None:
    """Number and edition of one of COCO's pictures; an edition that is not told is empty."""
    folder, _, name = path.rpartition("/")
    found = _COCO_NAME.fullmatch(name)
    if found is None:
        return None
    if found["edition"]:
        return int(found["number"]), f"{found['edition']}, by name"
    years = [named[1] for part in folder.split("/") if (named := _COCO_FOLDER.fullmatch(part))]
    return int(found["number"]), years[-1] if years else ""


def _tell_copies(listed: _Listed) -> None:
    """Files of one size and one end in two splits; of one name, too, where very many are of one size."""
    size = listed.facts.size
    rows = _in_two_splits(np.flatnonzero(size > 0), listed.split, size)
    if len(rows) > MOST_READ:
        rows = _in_two_splits(rows, listed.split, size, by_name(listed.paths[rows]))
    if not len(rows):
        return
    ends = _ends(listed, rows.tolist())
    told: set[int] = set()
    for how in ("by name and content", "by content, under other names"):
        seen: dict[Hashable, list[int]] = {}
        for row, end in zip(rows.tolist(), ends, strict=True):
            name = listed.paths[row].rpartition("/")[2] if how.startswith("by name") else ""
            if end is not None:
                seen.setdefault((int(size[row]), end, name), []).append(row)
        pairs = [pair for group in seen.values() for pair in _torn(listed, group) if pair[0] not in told]
        if pairs:
            row, other = min(pairs)
            say(
                f"warning: {len(pairs):,} of {len(listed.paths):,} images are copies of each other in several splits, "
                f"{how} (the first: {listed.named(row)} and {listed.named(other)}); nlcli deduplicate leaves them out "
                "of train"
            )
        told |= {row for row, _ in pairs}


def _torn(listed: _Listed, group: Sequence[int]) -> list[tuple[int, int]]:
    """Each of ``group``, copies, with one of another split; none where they are one file: hard links are told of."""
    itself = {(int(listed.facts.device[row]), int(listed.facts.number[row])) for row in group}
    others = [(row, listed.other(row, group)) for row in group] if len(itself) > 1 else []
    return [(row, other) for row, other in others if other is not None]


def _groups(rows: np.ndarray, values: np.ndarray) -> Iterator[list[int]]:
    """``rows`` of equal value, where there are several."""
    order = np.lexsort((rows, values))
    parts = np.split(rows[order], np.flatnonzero(np.diff(values[order])) + 1)
    yield from (part.tolist() for part in parts if len(part) > 1)


def _in_two_splits(rows: np.ndarray, split: np.ndarray, size: np.ndarray, also: np.ndarray | None = None) -> np.ndarray:
    """Those of ``rows`` that agree in size (and in ``also``, one value each) with one of another split; sorted."""
    also = np.zeros(len(rows), np.int64) if also is None else also
    order = np.lexsort((split[rows], also, size[rows]))
    ordered = rows[order]
    first = np.ones(len(rows), bool)
    first[1:] = (np.diff(size[ordered]) != 0) | (np.diff(also[order]) != 0)
    group = np.cumsum(first) - 1
    changes = np.zeros(len(rows), bool)
    changes[1:] = ~first[1:] & (np.diff(split[ordered]) != 0)
    mixed = np.bincount(group, changes, minlength=1) > 0
    return np.sort(ordered[mixed[group]]) if len(rows) else rows


def _end_alike(listed: _Listed, one: int, other: int) -> bool:
    ends = _ends(listed, [one, other])
    return ends[0] is not None and ends[0] == ends[1]


def _ends(listed: _Listed, rows: Sequence[int]) -> list[bytes | None]:
    return ends_of(listed.root, listed.paths[rows].tolist(), listed.facts.size[rows].tolist())
