"""Why images that a list names are not in their folder: the cause that is seen there, with what to do."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from urllib.parse import unquote

_MOST_TRIED = 20
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_MOST_FOLDERS = 100


def probable_cause(root: Path, names: Sequence[str]) -> str | None:
    """Why images of these names are not in ``root``, as a clause with what to do; None where that is not seen.

    Args:
        names: Some of those that are not there.
    """
    _listing.cache_clear()
    tried = names[:_MOST_TRIED]
    if not tried:
        return None
    if not root.is_dir():
        return f"there is no folder {root}: give the one that their names are relative to"
    if all(_ADDRESS.match(name) for name in tried):
        inner = _common_end(root, tried)
        if inner is not None:
            return f"these are addresses, and '{inner}' is there: take off what stands before that"
        return f"these are addresses: download the pictures, and write their paths in {root} in their place"
    elsewhere = _in_another_folder(root, tried)
    if elsewhere is not None:
        return elsewhere
    prefix = _with_prefix(root, tried)
    if prefix is not None:
        return prefix
    for name in tried:
        cause = _written_otherwise(root, name)
        if cause is not None:
            return cause
    return None


def _all_in(folder: Path, names: Sequence[str]) -> bool:
    return all(name and (folder / name).is_file() for name in names)


def _common_end(root: Path, tried: Sequence[str]) -> str | None:
    """The end of the first name, where all of them are in ``root`` without as many folders in front."""
    inner = list(tried)
    while all("/" in name for name in inner):
        inner = [name.partition("/")[2] for name in inner]
        if _all_in(root, inner):
            return inner[0]
    return None


def _in_another_folder(root: Path, tried: Sequence[str]) -> str | None:
    parent = Path(os.path.abspath(root)).parent if root in (Path(), Path("..")) else root.parent
    if _all_in(parent, tried):
        own = all(name.startswith(f"{root.name}/") for name in tried)
        return ("their names begin with the folder's own" if own else "they are there") + (
            f": give {parent} as the folder of images"
        )
    inner = _common_end(root, tried)
    if inner is not None:
        first = tried[0].removesuffix(inner)
        return f"'{inner}' is there: take '{first}' off the names, or put the images into a folder '{first[:-1]}' there"
    for name in sorted(_listing(root))[:_MOST_FOLDERS]:
        if (root / name).is_dir() and _all_in(root / name, tried):
            return f"they are in {root / name}: give that as the folder of images"
    return None


def _with_prefix(root: Path, tried: Sequence[str]) -> str | None:
    """Where the file's name, or the list's, has more in front, the same for all."""
    found = set()
    for name in tried:
        folder, _, last = name.rpartition("/")
        longer = [other for other in _listing(root / folder) if other.endswith(last) and other != last]
        shorter = [last[at:] for at in range(1, len(last)) if last[at:] in _listing(root / folder)]
        if len(longer) == 1:
            found.add(("put", longer[0].removesuffix(last)))
        elif shorter and os.path.splitext(shorter[0])[0]:
            found.add(("take", last.removesuffix(shorter[0])))
        else:
            return None
    if len(found) != 1:
        return None
    ((what, prefix),) = found
    if not prefix.strip("0123456789"):
        return None
    if what == "put":
        return f"the files' names begin with '{prefix}', which the list lacks: put it before the names"
    return f"the files' names lack '{prefix}', with which those of the list begin: take it off"


_SAME: tuple[tuple[Callable[[str], str], str], ...] = (
    (str.casefold, "names must be the same in capitals, too; correct the list"),
    (unquote, "the list has characters as % and two digits, as addresses do; write them out in the list"),
    (lambda name: name.strip("'\" "), "the list has quotes or spaces around the names; take them off"),
    (
        lambda name: unicodedata.normalize("NFC", name),
        "the two write accents in different Unicode forms; make both the composed one (in the folder: convmv -f utf8 "
        "-t utf8 --nfc -r --notest .)",
    ),
)


def _written_otherwise(root: Path, name: str) -> str | None:
    for change, told in _SAME:
        there = _alike(root, change(name), change)
        if there is not None and there != name:
            parts = zip(name.split("/"), there.split("/"), strict=False)
            one, other = next(((a, b) for a, b in parts if a != b), (name, there))
            return f"'{one}' is there as '{other}': {told}"
    folder, _, last = name.rpartition("/")
    stem, ending = os.path.splitext(last)
    listing = _listing(root / folder)
    for wanted, told in (
        (last, "the names lack their ending; add it in the list"),
        (stem, "the endings differ; correct the list"),
    ):
        alike = sorted(other for other in listing if wanted and os.path.splitext(other)[0] == wanted)
        if alike and (wanted == last or ending):
            return f"'{last}' is there as '{alike[0]}': {told}"
    return None


def _alike(root: Path, wanted: str, change: Callable[[str], str]) -> str | None:
    """The path in ``root`` that is ``wanted`` when each of its parts is changed; None where there is none."""
    path = ""
    for part in wanted.split("/"):
        listing = _listing(root / path)
        found = part if part in listing else next((other for other in sorted(listing) if change(other) == part), None)
        if found is None:
            return None
        path = f"{path}/{found}" if path else found
    return path if (root / path).is_file() else None


@cache
def _listing(folder: Path) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))
    except (OSError, ValueError):
        return frozenset()
