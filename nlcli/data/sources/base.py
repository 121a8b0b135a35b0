"""What the builders of data sets from lists share: lines with numbers, missing files, counts.

The images are never copied or opened here: a data set names them where they lie.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nlcli.console import say
from nlcli.data.labels import SPLITS, LabelTable, only_class, take_rows
from nlcli.data.sources.missing_cause import MOST_TRIED, absent_folder, probable_cause
from nlcli.errors import NlcliError
from nlcli.stages.files import write_csv

TRAIN, VALIDATION, TEST = range(3)
LEFT_OUT = "left_out.csv"
_MOST_NAMED = 3
_STREAM_LIMIT = 0x6C696D


# --- images on disk --------------------------------------------------------------------------


def missing_files(root: Path, paths: Sequence[str]) -> np.ndarray:
    """Which of ``paths`` (relative to ``root``) are not there: bool (N,).

    Every folder is listed once, so a million files cost a few listings instead of a million looks.
    """
    missing = np.zeros(len(paths), bool)
    listed: dict[str, frozenset[str]] = {}
    for position, path in enumerate(paths):
        folder, _, name = path.rpartition("/")
        names = listed.get(folder)
        if names is None:
            try:
                names = frozenset(os.listdir(root / folder))
            except OSError:
                names = frozenset()
            listed[folder] = names
        missing[position] = name not in names
    return missing


def advice_on_missing(root: Path, missing: Sequence[str], share: float, *, fixed: bool = False) -> str:
    """What to do about images that are not there: the probable cause, or how to leave a part of them out.

    Args:
        fixed: As for ``probable_cause``.
    """
    cause, absent = None, None
    with contextlib.suppress(OSError):  # a name that no file system takes, such as one of 5,000 characters
        cause = probable_cause(root, missing, fixed=fixed)
        absent = absent_folder(root, missing[:MOST_TRIED])
    if cause is not None:
        return cause
    gone = "" if absent is None else f"there is no folder {absent}: "
    if share >= 1:
        do = "unpack the images there" if fixed else "give the folder that their names are relative to"
        return f"{gone}{do}"
    return f"{gone}complete the folder, or leave them out with --allow-missing {min(1.0, share + 0.005):.2f}"


def refuse_missing(
    missing: np.ndarray, names: Sequence[str], where: str, allowed: float, *, fixed: bool = False
) -> None:
    """Say how many listed images are not on disk and name the first ones.

    Args:
        fixed: As for ``probable_cause``.

    Raises:
        NlcliError: more than the share ``allowed`` of them.
    """
    count = int(missing.sum())
    if not count:
        return
    first = [names[i] for i in np.flatnonzero(missing)[:_MOST_NAMED]]
    sentence = f"{count:,} of {len(names):,} listed images are not in {where} ({enumerate_some(first, count)})"
    if count > allowed * len(names):
        gone = [names[i] for i in np.flatnonzero(missing)[:MOST_TRIED]]
        do = advice_on_missing(Path(where), gone, count / len(names), fixed=fixed)
        raise NlcliError(f"{sentence}; {do}")
    say(f"warning: {sentence}; they are left out")


def enumerate_some(names: Sequence[str], total: int | None = None) -> str:
    """``a, b, c ...``: the first three of ``names``."""
    more = (len(names) if total is None else total) > _MOST_NAMED
    return ", ".join(map(str, names[:_MOST_NAMED])) + (" ..." if more else "")


def write_left_out(directory: Path, rows: Iterable[tuple[str, str, str]]) -> None:
    """``left_out.csv``: key, list and reason of everything listed that is not in the data set."""
    write_csv(directory / LEFT_OUT, ("key", "list", "reason"), rows)


def limited(table: LabelTable, most: int | None, seed: int = 0) -> LabelTable:
    """At most ``most`` images of every split, of each class its share; fewer are among those of a larger limit.

    Drawn by seed and keys alone. Every class keeps an image where ``most`` is at least their number.
    """
    if most is None:
        return table
    label = np.full(len(table), -1)
    for matrix in (table.absent, table.present, table.noisy):  # the noisy class, or else the true one
        stated = only_class(matrix)
        label = np.where(stated >= 0, stated, label)
    kept = []
    for split in SPLITS:
        rows = table.rows(split)
        if len(rows) > most:
            draw = np.empty(len(rows))
            by_key = np.argsort(table.keys[rows], kind="stable")
            draw[by_key] = np.random.default_rng([seed, _STREAM_LIMIT]).random(len(rows))
            ranked = np.lexsort((draw, label[rows]))
            own = label[rows][ranked]
            first = np.searchsorted(own, own, side="left")
            part = (np.arange(len(rows)) - first) / (np.searchsorted(own, own, side="right") - first)
            rows = rows[ranked[np.lexsort((draw[ranked], part))[:most]]]
        kept.append(np.sort(rows))
    return take_rows(table, np.sort(np.concatenate(kept)))


def compare_counts(counts: Mapping[str, int], published: Mapping[str, int], name: str) -> dict[str, Any]:
    """Counts beside the published ones; a difference is said on standard error.

    Returns:
        What ``dataset.json`` keeps of it: ``found``, ``published`` and the names that differ.
    """
    differing = [what for what, count in published.items() if counts.get(what) != count]
    if differing:
        parts = ", ".join(f"{what} {counts.get(what, 0):,} (published: {published[what]:,})" for what in differing)
        say(f"note: the counts differ from those published for {name}: {parts}; fine for a part of the data set")
    return {"found": dict(counts), "published": dict(published), "differing": differing}


def hold_out(
    labels: np.ndarray,
    keys: np.ndarray,
    share: float,
    seed: int,
    stream: int,
    *,
    among: np.ndarray | None = None,
    at_most: float = 1.0,
) -> np.ndarray:
    """Choose ``share`` of each class's images by ``seed`` and key alone: bool (N,).

    Of every class at least one image stays, and at least one is chosen where it has two and the
    share is not 0. Independent of the order of the images.

    Args:
        labels: (N,) class indices.
        keys: (N,) the images' keys.
        stream: Number that tells this choice from others with the same seed.
        among: bool (N,), the images that may be chosen; None: all. The share is of all images of the class.
        at_most: Part of a class's images ``among`` that may be chosen.
    """
    chosen = np.zeros(len(labels), bool)
    if share <= 0 or not len(labels):
        return chosen
    order = np.argsort(keys, kind="stable")
    order = order[np.argsort(labels[order], kind="stable")]
    draw = np.empty(len(labels))
    draw[order] = np.random.default_rng([seed, stream]).random(len(labels))
    ranked = np.lexsort((draw, labels))
    starts = np.flatnonzero(np.diff(labels[ranked], prepend=-2))
    for start, stop in zip(starts, [*starts[1:], len(labels)], strict=True):
        rows = ranked[start:stop]
        count = min(max(1, round(share * len(rows))), len(rows) - 1)
        if among is not None:
            rows = rows[among[rows]]
            count = min(count, int(at_most * len(rows)))
        chosen[rows[:count]] = True
    return chosen
