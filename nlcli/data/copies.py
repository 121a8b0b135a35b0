"""Which pictures are copies of each other: files of one size and one end, and files with several names.

A compressed picture's last bytes depend on all before them, so 16 KiB of each are read, not the whole. Where so many
are of one size that this would take long, only those are read that have one name, too.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from nlcli.console import say
from nlcli.networks.file_facts import FileFacts, look_at

MOST_READ = 20_000
"""Files whose ends are read whatever their names; seconds on a disk."""
_MOST_LOOKED_AT = 100_000
_LARGEST_SHARE, _SMALL = 20, 5
_END = 1 << 14
_THREADS = 8


def ends_of(root: Path, paths: Sequence[str], sizes: Sequence[int]) -> list[bytes | None]:
    """A hash of the last bytes of every picture; None for one that cannot be read."""

    def end(entry: tuple[str, int]) -> bytes | None:
        path, size = entry
        try:
            with open(os.path.join(root, path), "rb") as file:
                file.seek(max(0, size - _END))
                return hashlib.blake2b(file.read(_END), digest_size=16).digest()
        except (OSError, ValueError):
            return None

    entries = list(zip(paths, sizes, strict=True))
    if len(entries) < 2 * _THREADS:
        return [end(entry) for entry in entries]
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="copies") as pool:
        return list(pool.map(end, entries))


def by_name(paths: np.ndarray) -> np.ndarray:
    """(N,) int64, the same for paths whose last part is the same."""
    return np.asarray([hash(str(path).rpartition("/")[2]) for path in paths], np.int64)


def copies(root: Path, paths: np.ndarray, facts: FileFacts) -> list[list[int]]:
    """Groups of rows that are copies of one picture, or names of one file, in the order of their first.

    Args:
        paths: (N,) in ``root``.
    """
    of_file: dict[tuple[int, int], list[int]] = {}
    there = np.flatnonzero(facts.size > 0)
    for row in there.tolist():
        of_file.setdefault((int(facts.device[row]), int(facts.number[row])), []).append(row)
    files = list(of_file.values())
    first = np.asarray([rows[0] for rows in files], np.int64)
    alike = _repeated(facts.size[first])
    if len(alike) > MOST_READ:
        alike = alike[_repeated(facts.size[first[alike]], by_name(paths[first[alike]]))]
    rows = first[alike]
    seen: dict[tuple[int, bytes], list[int]] = {}
    for at, end in zip(alike.tolist(), ends_of(root, paths[rows].tolist(), facts.size[rows].tolist()), strict=True):
        if end is not None:
            seen.setdefault((int(facts.size[first[at]]), end), []).append(at)
    joined = [sorted(row for at in group for row in files[at]) for group in seen.values() if len(group) > 1]
    within = {at for group in seen.values() if len(group) > 1 for at in group}
    joined += [group for at, group in enumerate(files) if len(group) > 1 and at not in within]
    return sorted(joined)


def _repeated(*values: np.ndarray) -> np.ndarray:
    """Sorted rows whose ``values`` another row has, too."""
    _, inverse, count = np.unique(np.stack(values), axis=1, return_inverse=True, return_counts=True)
    return np.flatnonzero(count[inverse.ravel()] > 1)


def kept_together(root: Path, paths: np.ndarray, group: np.ndarray | None, drawn_from: np.ndarray) -> np.ndarray | None:
    """``group``, and copies of one picture in one group: for splits that are drawn, so that none is in two of them.

    What is found is said. A picture that more than a twentieth of all images show, such as one that stands for those
    that are gone, is not kept together: it would be most of a split. Nothing is looked for among more than 100,000.

    Args:
        group: (N,) number of a group, -1 for none, or None.
        drawn_from: (N,) bool, the images that splits are drawn from.
    """
    some = np.flatnonzero(drawn_from)
    if not len(some) or len(some) > _MOST_LOOKED_AT or not root.is_dir():
        return group
    largest = max(_SMALL, len(some) // _LARGEST_SHARE)
    among = copies(root, paths[some], look_at(root, paths[some].tolist()))
    found = [some[rows] for rows in among if len(rows) <= largest]
    if not found:
        return group
    count = sum(len(rows) for rows in found)
    say(
        f"note: {count:,} of {len(paths):,} images are copies of each other, {len(found):,} pictures in all "
        f"(the first: '{paths[found[0][0]]}' and '{paths[found[0][1]]}'); copies are drawn into one split"
    )
    joined = np.full(len(paths), -1, np.int64) if group is None else group.astype(np.int64)
    free = int(joined.max(initial=-1)) + 1
    for number, rows in enumerate(found, start=free):
        known = np.unique(joined[rows])
        joined[rows] = number
        for other in known[known >= 0].tolist():  # what a person grouped with one of them comes along
            joined[joined == other] = number
    return joined
