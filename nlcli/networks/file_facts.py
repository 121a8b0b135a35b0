"""What the file system says of many files: their sizes and times, and which of them are one file."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nlcli.console import progress
from nlcli.networks.image_files import require_utf8
from nlcli.stages.alike_names import folded

_THREADS = 8  # a network drive answers several questions at a time
_PART = 4096
_MANY = 100_000  # take seconds, so a bar shows how far it is


@dataclass(frozen=True)
class FileFacts:
    """What ``os.stat`` says, links followed; entry ``i`` of every array is the same file, (N,) int64 each.

    Attributes:
        size: Bytes; -1 for what is not there, cannot be looked at, or is no file (a folder, a pipe).
        time: When it was last changed, in nanoseconds since 1970.
        device, number: Together the file itself, whatever names lead to it.
        names: How many names (hard links) it has.
    """

    size: np.ndarray
    time: np.ndarray
    device: np.ndarray
    number: np.ndarray
    names: np.ndarray

    @property
    def missing(self) -> np.ndarray:
        """bool (N,), which are not there."""
        return self.size < 0


def look_at(root: Path, paths: Sequence[str]) -> FileFacts:
    """Look at the files ``paths`` in ``root``, several at a time.

    Raises:
        NlcliError: Python cannot say a name to the system, because it takes names for ASCII.
    """
    prefix = os.path.join(os.path.abspath(root), "")
    facts = np.full((5, len(paths)), -1, np.int64)

    def look(first: int) -> int:
        part = paths[first : first + _PART]
        for row, path in enumerate(part, start=first):
            try:
                found_out = os.stat(prefix + path)
            except UnicodeEncodeError:
                require_utf8(path, root)
                continue
            except (OSError, ValueError):
                continue
            if not stat.S_ISREG(found_out.st_mode):
                continue
            facts[:, row] = (
                found_out.st_size,
                found_out.st_mtime_ns,
                found_out.st_dev & 0x7FFFFFFFFFFFFFFF,
                found_out.st_ino & 0x7FFFFFFFFFFFFFFF,
                found_out.st_nlink,
            )
        return len(part)

    starts = range(0, len(paths), _PART)
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="look") as pool:
        if len(paths) < _MANY:
            list(pool.map(look, starts))
        else:
            with progress(len(paths), f"looking at the files in {root}", unit="images") as bar:
                for count in pool.map(look, starts):
                    bar.advance(count)
    return FileFacts(*facts)


def one_file(facts: FileFacts) -> Iterator[np.ndarray]:
    """Groups of entries (int64, sorted) that are one file under several names."""
    known = np.flatnonzero((facts.size >= 0) & (facts.number > 0))
    order = known[np.lexsort((known, facts.number[known], facts.device[known]))]
    if not len(order):
        return
    same = (np.diff(facts.number[order]) == 0) & (np.diff(facts.device[order]) == 0)
    for group in np.split(order, np.flatnonzero(~same) + 1) if same.any() else ():
        if len(group) > 1:
            yield group


class Places:
    """Where names in ``root`` lead to, so that hard links, names of equal right, are told from other spellings."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folders: dict[str, tuple[int, int] | str] = {}
        self._entries: dict[tuple[int, int] | str, set[str]] = {}

    def again(self, paths: Sequence[str]) -> list[int]:
        """Positions in ``paths``, which are one file, of those that lead to the same place as an earlier one.

        ``./a`` and ``a``, a symbolic link and what it leads to, and names that only a file system without capitals
        takes for one, lead to the same place. The others are hard links.
        """
        places: dict[tuple[object, str], list[str]] = {}
        again = []
        for position, path in enumerate(paths):
            folder, name = self._place(path)
            alike = places.setdefault((folder, folded(name)), [])
            if name in alike or (alike and not {name, *alike} <= self._names(path, folder)):
                again.append(position)
            alike.append(name)
        return again

    def _place(self, path: str) -> tuple[tuple[int, int] | str, str]:
        folder, _, name = path.rpartition("/")
        at = os.path.join(self._root, path)
        if os.path.islink(at):
            folder, name = os.path.split(os.path.realpath(at))
        if folder not in self._folders:
            self._folders[folder] = _itself(os.path.join(self._root, folder))
        return self._folders[folder], name

    def _names(self, path: str, folder: tuple[int, int] | str) -> set[str]:
        """The names that there really are in the folder of ``path``."""
        if folder not in self._entries:
            at = os.path.realpath(os.path.join(self._root, path)) if os.path.islink(self._root / path) else path
            self._entries[folder] = set(os.listdir(os.path.join(self._root, os.path.dirname(at))))
        return self._entries[folder]


def _itself(folder: str) -> tuple[int, int] | str:
    """What is the same for all names of a folder."""
    try:
        found_out = os.stat(folder)
    except OSError:
        return folder
    return found_out.st_dev, found_out.st_ino
