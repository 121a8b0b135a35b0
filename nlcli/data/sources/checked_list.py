"""Tables of images that people checked, joined with the images of a folder or of another table.

An image is told by its key or by its whole path, never by the name of its file alone. What matches nothing is listed;
above a hundredth of the rows it is refused.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nlcli.console import say
from nlcli.data.class_names import as_read
from nlcli.data.lists import plain_path, shown
from nlcli.data.marks import MARKS
from nlcli.data.sources.base import enumerate_some
from nlcli.data.sources.image_table import Listed, contradict
from nlcli.data.tables import read_rows, row_unit
from nlcli.errors import NlcliError

MOST_UNMATCHED = 0.01
_COLUMNS = ("path", "key", "label", "right", "clean_label", "verification")
_OF_QUEUES = ("noisy_label", "suggested", "reason", "annotator", "time", "skipped")
"""Also in tables that suggest wrote to be filled in; they say nothing of what a person saw."""


# --- matching --------------------------------------------------------------------------------


def match_images(given: Sequence[str], keys: Sequence[str], root: Path, listing: Path) -> np.ndarray:
    """The image of every path in ``given``: int64 (n,), index into ``keys``, -1 where there is none.

    Args:
        given: As they are written: keys, whole paths, or paths seen from here or from the folder of ``listing``.
        keys: Paths of the images in ``root``.
        root: Folder of the images.
        listing: The file that they are written in.
    """
    number = {key: i for i, key in enumerate(keys)}
    found = np.array([number.get(plain_path(path), -1) for path in given], np.int64)
    roots = {os.path.abspath(root), os.path.realpath(root)}
    for position in np.flatnonzero(found < 0).tolist():
        for folder in ("", os.path.dirname(os.path.abspath(listing))):
            whole = os.path.abspath(os.path.join(folder, given[position]))
            inner = next((whole[len(place) + 1 :] for place in roots if whole.startswith(place + os.sep)), None)
            if inner is not None and inner in number:
                found[position] = number[inner]
                break
    return found


def refuse_unmatched(given: Sequence[str], found: np.ndarray, keys: Sequence[str], root: Path, listing: Path) -> None:
    """Say which paths match no image.

    Raises:
        NlcliError: more than a hundredth of them, or two that are one image.
    """
    _, first, count = np.unique(found[found >= 0], return_index=True, return_counts=True)
    if (count > 1).any():
        rows = np.flatnonzero(found >= 0)
        image = found[rows[first[count > 1].min()]]
        one, other = (given[i] for i in np.flatnonzero(found == image)[:2].tolist())
        raise NlcliError(f"{listing}: '{shown(one)}' and '{shown(other)}' are one image; keep one of the two rows")
    lost = [given[i] for i in np.flatnonzero(found < 0).tolist()]
    if not lost:
        return
    told = f"{len(lost):,} of {len(given):,} images of {listing} are not among those of {root}"
    some = enumerate_some([shown(path) for path in lost[:4]], len(lost))
    if len(lost) <= MOST_UNMATCHED * len(given):
        say(f"warning: {told} ({some}); they are left out")
        return
    names = {os.path.basename(key): key for key in keys}
    alike = next((names[os.path.basename(path)] for path in lost if os.path.basename(path) in names), None)
    if all("\\" in path for path in lost):
        do = "write / between folders"
    elif alike is None:
        do = f"write the paths as they are in {root}"
    else:
        do = (
            f"a file's name alone is not enough to tell an image; write the whole path in that folder, such as "
            f"'{shown(alike)}'"
        )
    raise NlcliError(f"{told} ({some}), and more than one in a hundred is too many; {do}")


# --- one label an image ----------------------------------------------------------------------


@dataclass(frozen=True)
class CheckedImage:
    """A row of a table of checked images.

    Attributes:
        path: As it is written.
        label: The true class, where it is told.
        right: Whether the noisy one is right: 1, 0, or -1 where that is not said.
        where: The file and the line.
    """

    path: str
    label: str | None
    right: int
    where: str


def read_checked(path: Path) -> list[CheckedImage]:
    """The rows of a table with ``path`` (or ``key``) and ``label`` (the true class) or ``right``, in its order.

    ``clean_label`` and ``verification`` are other names of the last two. What suggest wrote is such a table once it
    is filled in.

    Raises:
        NlcliError: with the line (or the row), for a table of another form or a word that means nothing.
    """
    images = []
    for number, cells in read_rows(path, (*_COLUMNS, *_OF_QUEUES), ()):
        where = f"{path}, {row_unit(path)} {number}"
        row = {name: cell for name, cell in cells.items() if name in _COLUMNS}
        if "reason" in cells and "path" in row:  # to_answer.csv has both, and they are of one image
            row.pop("key", None)
        if MARKS.get(cells.get("skipped", "").lower()) == 1:
            row |= dict.fromkeys(row.keys() & {"label", "right"}, "")
        names = [row[name] for name in ("path", "key") if name in row]
        labels = [row[name] for name in ("label", "clean_label") if name in row]
        marks = [row[name] for name in ("right", "verification") if name in row]
        if not labels and not marks:
            raise NlcliError(
                f"{path} has neither the column 'label' (the true class) nor 'right' (whether the noisy one is right); "
                "add one"
            )
        if len(names) != 1 or len(labels) > 1 or len(marks) > 1:
            raise NlcliError(
                f"{path} has the columns {', '.join(row)}; expected path (or key) and label (or clean_label), right "
                "(or verification), or both"
            )
        mark = marks[0] if marks else ""
        right = MARKS.get(mark.lower())
        if right is None:
            raise NlcliError(
                f"{where}: '{shown(mark)}' is none of right, 1, true or yes, wrong, 0, false or no, and empty (not "
                "said)"
            )
        if not names[0]:
            raise NlcliError(f"{where}: the path is empty; leave the row out")
        images.append(CheckedImage(names[0], (labels[0] if labels else "") or None, right, where))
    if not images:
        raise NlcliError(f"{path} has no rows")
    return images


def join_checked(listed: Listed, root: Path, table: Path) -> list[str]:
    """Write what people saw into ``listed``, in place.

    Returns:
        The paths that match no image.

    Raises:
        NlcliError: too many match none, or what people saw contradicts what was known, or itself.
    """
    images = read_checked(table)
    given = [image.path for image in images]
    found = match_images(given, listed.paths, root, table)
    refuse_unmatched(given, found, listed.paths, root, table)
    known = {name for name in listed.noisy if name is not None}
    new: dict[str, None] = {}
    for image, row in zip(images, found.tolist(), strict=True):
        if row < 0 or (image.label is None and image.right < 0):
            continue
        path, noisy, before = shown(listed.paths[row]), listed.noisy[row], listed.clean[row]
        if image.right >= 0 and noisy is None:
            raise NlcliError(f"{image.where}: '{path}' has no noisy label to be right or wrong")
        label = image.label
        if label is not None and before is not None and as_read(label) != as_read(before):
            raise NlcliError(
                f"{image.where}: '{path}' is '{shown(label)}' here and known to be '{shown(before)}' otherwise; "
                "correct one of the two (folders that are not checked are left out of --verified)"
            )
        clean = before if label is None else label
        right = image.right if image.right >= 0 else listed.right[row]
        earlier = listed.right[row]
        if (earlier >= 0 and right != earlier) or (
            contradict(noisy, clean, right) and as_read(noisy or "") != as_read(clean or "")
        ):
            raise NlcliError(
                f"{image.where}: what is said of '{path}' (noisy '{shown(noisy or '')}', true '{shown(clean or '')}', "
                f"{'right' if right else 'wrong'}) contradicts itself or what was known; correct it"
            )
        listed.clean[row], listed.right[row] = clean, right
        if label is not None and label not in known:
            new[label] = None
    if new:
        some = enumerate_some(list(new)[:4], len(new))
        say(f"note: {len(new):,} classes of {table} are no image's noisy label ({some})")
    return [given[i] for i in np.flatnonzero(found < 0).tolist()]
