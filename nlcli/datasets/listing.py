"""What the builders of data sets from lists share: lines with numbers, missing files, counts.

The images are never copied or opened here: a data set names them where they lie.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlcli.errors import NlcliError
from nlcli.labels import FULL, NONE, SPLITS, LabelTable, take_rows
from nlcli.progress import say
from nlcli.stage import atomic_path

if TYPE_CHECKING:
    from scipy.sparse import csr_array

TRAIN, VALIDATION, TEST = range(3)
LEFT_OUT = "left_out.csv"
_MOST_NAMED = 3
_LONGEST_LINE = 1 << 16
_STREAM_LIMIT = 0x6C696D


# --- lists -----------------------------------------------------------------------------------


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number (from 1) and text of every line of a UTF-8 file, without its line end; empty ones are skipped.

    Raises:
        NlcliError: the file cannot be read, or a line is not text or longer than 64 KiB.
    """
    try:
        with open(path, "rb") as file:
            for number, raw in enumerate(file, start=1):
                if len(raw) > _LONGEST_LINE:
                    raise NlcliError(f"{path}, line {number}: {len(raw):,} bytes in one line; this is not such a list")
                try:
                    line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    raise NlcliError(f"{path}, line {number}: byte {error.start} is not UTF-8 text") from error
                line = line.rstrip("\r\n")
                if line.strip():
                    yield number, line
    except OSError as error:
        raise NlcliError(f"cannot read {path}: {error.strerror}") from error


def read_keys(path: Path) -> list[str]:
    """A list of relative file paths, one a line; a path that is listed twice is refused."""
    found: dict[str, int] = {}
    for number, line in read_lines(path):
        check_inside(line, path, number)
        if line in found:
            raise NlcliError(
                f"{path}, line {number}: '{line}' already stands in line {found[line]}; remove one of the two"
            )
        found[line] = number
    if not found:
        raise NlcliError(f"{path} is empty")
    return list(found)


def read_labelled(path: Path, num_classes: int, form: str = "PATH CLASS") -> dict[str, int]:
    """Lines ``PATH INT``, one space between: path -> class, in file order.

    The number is what stands behind the last space, so paths may hold commas and spaces.

    Raises:
        NlcliError: with the line, for one of another form, a class beyond ``num_classes``, a path
            that leads out of the folder, or a path that is listed with two classes.
    """
    found: dict[str, int] = {}
    for number, line in read_lines(path):
        key, space, label = line.rpartition(" ")
        if not space or not label.isascii() or not label.isdigit() or len(label) > 9:
            raise NlcliError(f"{path}, line {number}: '{shown(line)}' is not of the form '{form}'; correct the line")
        if int(label) >= num_classes:
            raise NlcliError(
                f"{path}, line {number}: class {label} is not among 0 to {num_classes - 1}; correct the line"
            )
        check_inside(key, path, number)
        if found.setdefault(key, int(label)) != int(label):
            raise NlcliError(
                f"{path}, line {number}: '{key}' has class {label} here and {found[key]} before; keep one of the two"
            )
    if not found:
        raise NlcliError(f"{path} is empty")
    return found


def read_names(path: Path, count: int | None = None, skip: int = 0) -> tuple[str, ...]:
    """Class names, one a line, ``skip`` lines of header left out; each must be unique."""
    found: dict[str, int] = {}
    for position, (number, line) in enumerate(read_lines(path)):
        if position < skip:
            continue
        name = line.strip()
        if name in found:
            raise NlcliError(f"{path}, line {number}: class '{name}' already stands in line {found[name]}")
        found[name] = number
    if not found or (count is not None and len(found) != count):
        raise NlcliError(f"{path}: {len(found)} classes, expected {count or 'at least one'}")
    return tuple(found)


_INSIDE = re.compile(r"[^/\\\x00-\x1f]+(?:/[^/\\\x00-\x1f]+)*")


def is_inside(name: str) -> bool:
    """Whether a file name stays in its folder: relative, without ``..``, backslash or control characters."""
    if not _INSIDE.fullmatch(name) or re.match(r"[A-Za-z]:", name):
        return False
    return ".." not in name or not {".."} & set(name.split("/"))


def check_inside(name: str, path: Path, line: int) -> None:
    """Refuse a file name that leads out of the image folder or is none at all."""
    if not is_inside(name):
        raise NlcliError(
            f"{path}, line {line}: '{shown(name)}' is not a path inside the image folder; correct the line"
        )


def shown(text: str) -> str:
    """At most 80 characters of ``text``, safe to print."""
    plain = "".join(c if c.isprintable() else "?" for c in text[:80])
    return plain + ("..." if len(text) > 80 else "")


def find_file(folders: Sequence[Path], name: str, what: str) -> Path:
    """The first of ``folders`` that holds ``name``.

    Raises:
        NlcliError: none of them does; ``what`` names the data set.
    """
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    places = " or ".join(str(folder) for folder in folders)
    raise NlcliError(f"{name} is not in {places}; give the folder where {what} was unpacked")


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


def refuse_missing(missing: np.ndarray, names: Sequence[str], where: str, allowed: float) -> None:
    """Say how many listed images are not on disk and name the first ones.

    Raises:
        NlcliError: more than the share ``allowed`` of them.
    """
    count = int(missing.sum())
    if not count:
        return
    first = [names[i] for i in np.flatnonzero(missing)[:_MOST_NAMED]]
    sentence = f"{count:,} of {len(names):,} listed images are not in {where} ({enumerate_some(first, count)})"
    if count > allowed * len(names):
        raise NlcliError(
            f"{sentence}; complete the folder, or leave them out with --allow-missing "
            f"{min(1.0, count / len(names) + 0.005):.2f}"
        )
    say(f"warning: {sentence}; they are left out")


def enumerate_some(names: Sequence[str], total: int | None = None) -> str:
    """``a, b, c ...``: the first three of ``names``."""
    more = (len(names) if total is None else total) > _MOST_NAMED
    return ", ".join(map(str, names[:_MOST_NAMED])) + (" ..." if more else "")


def write_left_out(directory: Path, rows: Iterable[tuple[str, str, str]]) -> None:
    """``left_out.csv``: key, list and reason of everything listed that is not in the data set."""
    with atomic_path(directory / LEFT_OUT) as temporary:
        with open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("key", "list", "reason"))
            writer.writerows(rows)


# --- tables ----------------------------------------------------------------------------------


def one_label(labels: np.ndarray, num_classes: int, dtype: Any = np.uint8) -> csr_array:
    """(N, C) CSR with a one at each image's class; a row with class -1 is empty."""
    from scipy.sparse import csr_array

    some = labels >= 0
    indptr = np.concatenate(([0], np.cumsum(some)))
    data = (np.ones(int(some.sum()), dtype), labels[some].astype(np.int32), indptr)
    return csr_array(data, shape=(len(labels), num_classes))


def strings(values: Sequence[str]) -> np.ndarray:
    """(N,) object array of ``values``; also of an empty sequence."""
    found = np.empty(len(values), object)
    found[:] = values
    return found


def single_label_table(
    classes: Sequence[str], keys: Sequence[str], paths: Sequence[str], root: Path, split: np.ndarray,
    noisy: np.ndarray, true: np.ndarray, right: np.ndarray | None = None,
) -> LabelTable:
    """A single-label table from class indices.

    Args:
        noisy: (N,) the noisy class, -1 where there is none.
        true: (N,) the true class where a person told it (fully verified), else -1.
        right: (N,) where the true class is not known: 1 if a person called the noisy label right,
            0 wrong, -1 if nobody looked. None: nobody looked anywhere.
    """
    count, num_classes = len(keys), len(classes)
    known = true >= 0
    looked = np.full(count, -1, np.int8) if right is None else np.where(known, -1, right)
    if np.any((looked >= 0) & (noisy < 0)):
        raise ValueError("an image without a noisy label cannot be verified right or wrong")
    present = np.where(known, true, np.where(looked == 1, noisy, -1))
    absent = np.where(looked == 0, noisy, -1)
    verification = np.where(known, FULL, np.where(looked >= 0, 1, NONE)).astype(np.uint8)
    return LabelTable(
        task="single-label", classes=tuple(classes), keys=strings(keys), paths=strings(paths),
        image_root=Path(os.path.abspath(root)), split=split.astype(np.int8),
        noisy=one_label(noisy, num_classes, np.float32), present=one_label(present, num_classes),
        absent=one_label(absent, num_classes), verification=verification,
    )


def limited(table: LabelTable, most: int | None, seed: int = 0) -> LabelTable:
    """At most ``most`` images of every split, of each class its share; fewer are among those of a larger limit.

    Drawn by seed and keys alone. Every class keeps an image where ``most`` is at least their number.
    """
    if most is None:
        return table
    label = np.full(len(table), -1)
    for matrix in (table.absent, table.present, table.noisy):  # the noisy class, or else the true one
        some = np.diff(matrix.indptr) > 0
        label[some] = matrix.indices[matrix.indptr[:-1][some]]
    kept = []
    for split in SPLITS:
        rows = table.rows(split)
        if len(rows) > most:
            draw = np.empty(len(rows))
            by_key = np.argsort(table.keys[rows].astype(str), kind="stable")
            draw[by_key] = np.random.default_rng([seed, _STREAM_LIMIT]).random(len(rows))
            ranked = np.lexsort((draw, label[rows]))
            own = label[rows][ranked]
            first = np.searchsorted(own, own, side="left")
            part = (np.arange(len(rows)) - first) / (np.searchsorted(own, own, side="right") - first)
            rows = rows[ranked[np.lexsort((draw[ranked], part))[:most]]]
        kept.append(np.sort(rows))
    return take_rows(table, np.sort(np.concatenate(kept)))


def noise_summary(table: LabelTable) -> dict[str, Any]:
    """Images a split, how many are verified, and how many noisy labels are right, as JSON values.

    A noisy label counts as checked when its class is verified on its image.
    """
    found: dict[str, Any] = {"classes": table.num_classes}
    for number, name in enumerate(SPLITS):
        rows = table.split == number
        found[name] = int(rows.sum())
        found[f"{name}_verified"] = int(np.sum(rows & (table.verification > NONE)))
        right, checked = checked_noise(table, np.flatnonzero(rows))
        found[f"{name}_noisy_right"] = round(right / checked, 4) if checked else None
    return found


def checked_noise(table: LabelTable, rows: np.ndarray) -> tuple[int, int]:
    """Noisy labels of ``rows`` that are right, and noisy labels that were checked at all."""
    noisy = table.noisy[rows] > 0
    right = int(noisy.multiply(table.present[rows] > 0).sum())
    full = np.flatnonzero(table.verification[rows] == FULL)
    partly = np.flatnonzero(table.verification[rows] != FULL)
    wrong = int(noisy[partly].multiply(table.absent[rows][partly] > 0).sum())
    right_partly = int(noisy[partly].multiply(table.present[rows][partly] > 0).sum())
    return right, int(noisy[full].sum()) + right_partly + wrong


def compare_counts(found: Mapping[str, int], published: Mapping[str, int], name: str) -> dict[str, Any]:
    """Counts beside the published ones; a difference is said on standard error.

    Returns:
        What ``dataset.json`` keeps of it: ``found``, ``published`` and the names that differ.
    """
    differing = [what for what, count in published.items() if found.get(what) != count]
    if differing:
        parts = ", ".join(f"{what} {found.get(what, 0):,} (published: {published[what]:,})" for what in differing)
        say(f"note: the counts differ from those published for {name}: {parts}; fine for a part of the data set")
    return {"found": dict(found), "published": dict(published), "differing": differing}


def hold_out(labels: np.ndarray, keys: np.ndarray, share: float, seed: int, stream: int) -> np.ndarray:
    """Choose ``share`` of each class's images by ``seed`` and key alone: bool (N,).

    Of every class at least one image stays, and at least one is chosen where it has two and the
    share is not 0. Independent of the order of the images.

    Args:
        labels: (N,) class indices.
        keys: (N,) the images' keys.
        stream: Number that tells this choice from others with the same seed.
    """
    chosen = np.zeros(len(labels), bool)
    if share <= 0:
        return chosen
    order = np.lexsort((keys.astype(str), labels))
    draw = np.empty(len(labels))
    draw[order] = np.random.default_rng([seed, stream]).random(len(labels))
    ranked = np.lexsort((draw, labels))
    starts = np.flatnonzero(np.diff(labels[ranked], prepend=-2))
    for start, stop in zip(starts, [*starts[1:], len(labels)], strict=True):
        count = min(max(1, round(share * (stop - start))), stop - start - 1)
        chosen[ranked[start : start + count]] = True
    return chosen
