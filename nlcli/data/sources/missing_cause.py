"""Why images that a list names are not in their folder: the cause that is seen there, with what to do."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from urllib.parse import unquote

from nlcli.networks.image_files import ARCHIVES, MAKE_READABLE, is_utf8, near_folder

MOST_TRIED = 20
"""Names by which a cause is looked for."""
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_MOST_FOLDERS = 100
_LONGEST = 4096
"""Characters of a path that a file system takes; of a longer one nothing is where it says."""


def probable_cause(root: Path, names: Sequence[str], *, fixed: bool = False) -> str | None:
    """Why images of these names are not in ``root``, as a clause with what to do; None where that is not seen.

    Args:
        names: Some of those that are not there.
        fixed: No other folder can be given for the images, as the lists, or other images, are in ``root``, too.
    """
    _listing.cache_clear()
    tried = names[:MOST_TRIED]
    if not tried or max(map(len, tried)) > _LONGEST:
        return None
    places = [_place(root, name) for name in tried]
    unlisted = _unlisted(places)
    if unlisted is not None:
        return unlisted
    if not os.path.isdir(root):
        return f"there is no folder {root}: {near_folder(root) or 'give the one that their names are relative to'}"
    if all(_ADDRESS.match(name) for name in tried):
        inner = _common_end(root, tried)
        if inner is not None:
            return f"these are addresses, and '{inner}' is there: take off what stands before that"
        return f"these are addresses: download the pictures, and write their paths in {root} in their place"
    elsewhere = _beside(root, tried) if fixed else _in_another_folder(root, tried)
    elsewhere = elsewhere or _deeper(places) or _without_folders(root, tried)
    if elsewhere is not None:
        return elsewhere
    prefix = _with_prefix(root, tried)
    if prefix is not None:
        return prefix
    for name in tried:
        cause = _written_otherwise(root, name)
        if cause is not None:
            return cause
    return _packed(places)


def absent_folder(root: Path, names: Sequence[str]) -> Path | None:
    """The folder of all these names that is not there, where it is the same one."""
    places = [_place(root, name) for name in names]
    absent = {folder / rest.partition("/")[0] if "/" in rest else None for folder, rest in places}
    return absent.pop() if len(absent) == 1 else None


def _place(root: Path, name: str) -> tuple[Path, str]:
    """The last folder of the name that is there, and what of the name is behind it; that above ``root`` if none is."""
    if not os.path.isdir(root):
        return root.parent, f"{root.name}/{name}"
    folder, rest = root, name
    while "/" in rest and os.path.isdir(folder / rest.partition("/")[0]):
        first, _, rest = rest.partition("/")
        folder /= first
    return folder, rest


def _unlisted(places: Sequence[tuple[Path, str]]) -> str | None:
    """Where a folder is there, and what is in it cannot be seen."""
    for folder in dict.fromkeys(folder for folder, _ in places):
        try:
            os.scandir(folder).close()
            (folder / ".").stat()
        except PermissionError:
            return f"what is in {folder} cannot be seen (permission denied): {MAKE_READABLE}"
        except OSError:
            continue
    return None


def _packed(places: Sequence[tuple[Path, str]]) -> str | None:
    """Where archives lie in place of folders, or of what should be in them."""
    found = set()
    for folder, rest in places:
        listing = _listing(folder)
        archives = sorted(name for name in listing if name.lower().endswith(ARCHIVES))
        if not archives or ("/" not in rest and len(archives) < len(listing)):
            return None
        wanted = rest.partition("/")[0].casefold()
        found.add(folder / next((name for name in archives if name.casefold().startswith(wanted)), archives[0]))
    return f"there is an archive, {sorted(found)[0]}, that was not unpacked: unpack it" if found else None


def _beside(root: Path, tried: Sequence[str]) -> str | None:
    """Where they are in the folder that ``root`` is in."""
    parent = Path(os.path.abspath(root)).parent
    return f"they are in {parent}: move them into {root}" if _all_in(parent, tried) else None


def _deeper(places: Sequence[tuple[Path, str]]) -> str | None:
    """Where they are a folder too deep."""
    folders = {folder for folder, _ in places}
    if len(folders) > 1:
        names = [folder.name for folder, _ in places]
    else:
        names = sorted(_listing(places[0][0]))[:_MOST_FOLDERS]
    for name in dict.fromkeys(names):
        if all(_all_in(folder / name, [rest]) for folder, rest in places):
            folder = min(folders)
            return f"they are a folder deeper, in {folder / name}: move what is in it up to {folder}"
    return None


def _without_folders(root: Path, tried: Sequence[str]) -> str | None:
    """Where an archive was unpacked without its folders."""
    for depth in range(min(_MOST_FOLDERS, max(name.count("/") for name in tried))):
        parts = [name.split("/") for name in tried]
        if all(len(part) > depth + 1 and _all_in(root.joinpath(*part[:depth]), part[-1:]) for part in parts):
            place, lost = root.joinpath(*parts[0][:depth]), "/".join(parts[0][depth:-1])
            return f"'{parts[0][-1]}' is in {place} itself, without the folder '{lost}': unpack them with their folders"
    return None


def _all_in(folder: Path, names: Sequence[str]) -> bool:
    return all(name and os.path.isfile(folder / name) for name in names)


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
        shorter = sorted((o for o in _listing(root / folder) if last.endswith(o) and o != last), key=len, reverse=True)
        if len(longer) == 1:
            found.add(("put", longer[0].removesuffix(last)))
        elif shorter and os.path.splitext(shorter[0])[0]:
            found.add(("take", last.removesuffix(shorter[0])))
        else:
            return None
    if len(found) != 1:
        return None
    ((what, prefix),) = found
    if not is_utf8(prefix):
        do = f"rename them (convmv -f latin1 -t utf8 -r --notest {root})"
        return f"the files' names begin with bytes that are not UTF-8: {do}"
    if not prefix.strip("0123456789"):
        return None
    if what == "put":
        return f"the files' names begin with '{prefix}', which the list lacks: put it before the names"
    return f"the files' names lack '{prefix}', with which those of the list begin: take it off"


_SAME: tuple[tuple[Callable[[str], str], str], ...] = (
    (str.casefold, "names must be the same in capitals, too; rename it, or correct the list"),
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
    listing = [other for other in _listing(root / folder) if not other.lower().endswith(ARCHIVES)]
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
