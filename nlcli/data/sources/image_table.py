"""Tables of images with one label each, CSV or Parquet, as people have them.

The columns are ``path`` and ``noisy_label`` (or ``label``) and, where there are any, ``clean_label`` (the true class:
fully verified), ``verification`` (whether the noisy label is right), ``split`` and ``group`` (images of one group come
into one split).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nlcli.data.class_names import as_read
from nlcli.data.labels import SPLITS
from nlcli.data.lists import image_name, shown
from nlcli.data.marks import MARKS
from nlcli.data.sources.base import TEST, TRAIN, VALIDATION
from nlcli.data.sources.tagged_images import odd_paths
from nlcli.data.table_columns import Texts, read_columns
from nlcli.data.tables import advice_on_column, read_rows, row_unit
from nlcli.errors import NlcliError, unknown_name

SPLIT_NAMES = {
    "train": TRAIN,
    "training": TRAIN,
    "validation": VALIDATION,
    "valid": VALIDATION,
    "val": VALIDATION,
    "test": TEST,
}
COLUMNS = ("path", "noisy_label", "label", "clean_label", "verification", "split", "group")
_OF_TAGS = ("noisy", "present", "absent")
_NO_MARK = -2


@dataclass
class Listed:
    """Images as they are listed; entry ``i`` of every list is the same image. None: not given."""

    paths: list[str] = field(default_factory=list)
    noisy: list[str | None] = field(default_factory=list)
    clean: list[str | None] = field(default_factory=list)
    right: list[int] = field(default_factory=list)
    split: list[int | None] = field(default_factory=list)
    group: list[str] = field(default_factory=list)
    ignored: int = 0

    def class_counts(self) -> dict[str, int]:
        """How many images have each class name, as the noisy label, the clean one or both."""
        counts: Counter[str] = Counter()
        for noisy, clean in zip(self.noisy, self.clean, strict=True):
            if noisy is not None:
                counts[noisy] += 1
            if clean is not None and clean != noisy:
                counts[clean] += 1
        return dict(counts)

    def rename(self, names: Mapping[str, str], where: str) -> None:
        """Give every class the name that ``names`` has for it.

        Raises:
            NlcliError: under their new names, the labels of an image (``where`` names the table) contradict each other.
        """
        self.noisy = [None if name is None else names[name] for name in self.noisy]
        self.clean = [None if name is None else names[name] for name in self.clean]
        for path, noisy, clean, right in zip(self.paths, self.noisy, self.clean, self.right, strict=True):
            if contradict(noisy, clean, right):
                raise NlcliError(f"{where}: of '{shown(path)}', {_contradiction(noisy, clean, right)}")


def contradict(noisy: str | None, clean: str | None, right: int) -> bool:
    """Whether the labels of an image say otherwise than its verification does."""
    return right >= 0 and clean is not None and (clean == noisy) != (right == 1)


def _contradiction(noisy: str | None, clean: str | None, right: int) -> str:
    return f"verification {right} contradicts the labels (noisy '{noisy}', clean '{clean}')"


def read_image_table(path: Path) -> Listed:
    """The rows of a table, in its order; paths are told apart without ``./`` and doubled slashes.

    Raises:
        NlcliError: with the line (CSV) or the row counted from 1 (Parquet), for a missing column, an
            empty or repeated path, an unknown split or verification, or labels that contradict.
    """
    listed = _at_once(path)
    return _row_by_row(path) if listed is None else listed


def _at_once(path: Path) -> Listed | None:
    """The table column by column, each distinct cell looked at once; None where a row is to be looked at."""
    columns = read_columns(path, (*COLUMNS, *_OF_TAGS), ("path",))
    texts, rows = columns.texts, columns.rows
    labels = [name for name in ("noisy_label", "label") if name in texts]
    if not rows or len(labels) != 1 or any(name in texts for name in _OF_TAGS):
        return None
    paths, marks, splits = texts["path"], texts.get("verification"), texts.get("split")
    if odd_paths(paths).any() or np.bincount(paths.codes).max() > 1:
        return None
    noisy, clean = _named(texts[labels[0]], rows), _named(texts.get("clean_label"), rows)
    right = np.full(rows, -1, np.int8)
    if marks is not None:
        right = np.array([MARKS.get(mark.lower(), _NO_MARK) for mark in marks.names], np.int8)[marks.codes]
    known, called = (np.array([name is not None for name in names], bool) for names in (clean, noisy))
    doubtful = (right == _NO_MARK) | ~(known | called) | ((right >= 0) & ~called)
    doubtful |= (right >= 0) & known & (np.equal(clean, noisy) != (right == 1))
    if splits is not None:
        if any(name and name.lower() not in SPLIT_NAMES for name in splits.names):
            return None
        none = splits.empty
        doubtful |= none != none[0]  # some have one and others do not
    if doubtful.any():
        return None
    of_split = [] if splits is None else [SPLIT_NAMES.get(name.lower()) for name in splits.names]
    group = texts.get("group")
    return Listed(
        paths=paths.values.take(paths.codes).to_pylist(),
        noisy=noisy.tolist(),
        clean=clean.tolist(),
        right=right.tolist(),
        split=[None] * rows if splits is None else [of_split[code] for code in splits.codes.tolist()],
        group=[""] * rows if group is None else np.array(group.names, object)[group.codes].tolist(),
    )


def _named(column: Texts | None, rows: int) -> np.ndarray:
    """(n,) names of classes, None where a cell is empty."""
    if column is None:
        return np.full(rows, None)
    names: np.ndarray = np.array([name or None for name in column.names], object)[column.codes]
    return names


def _row_by_row(path: Path) -> Listed:
    listed = Listed()
    unit = row_unit(path)
    number_of: dict[str, int] = {}
    for number, row in read_rows(path, (*COLUMNS, *_OF_TAGS), ("path",)):
        if not listed.paths:
            _require_one_label_column(path, row)
        where = f"{path}, {unit} {number}"
        name = image_name(row["path"], where)
        first = number_of.setdefault(name, number)
        if first != number:
            raise NlcliError(
                f"{where}: '{shown(row['path'])}' already stands in {unit} {first}; an image may be listed once, in "
                "one split"
            )
        _add(listed, name, row, where)
    if not listed.paths:
        raise NlcliError(f"{path} has no rows")
    some = sum(split is None for split in listed.split)
    if 0 < some < len(listed.split):
        position = listed.split.index(None)
        raise NlcliError(
            f"{path}: '{listed.paths[position]}' has no split but others have; fill the column, or leave it out"
        )
    return listed


def _require_one_label_column(path: Path, row: Mapping[str, str]) -> None:
    tags = next((name for name in _OF_TAGS if name in row), None)
    if tags is not None:
        raise NlcliError(
            f"{path}: the column '{tags}' is of tables with several labels an image, which nlcli build-tags reads; one "
            "label an image stands in the column noisy_label"
        )
    named = [name for name in ("noisy_label", "label") if name in row]
    if not named:
        raise NlcliError(
            f"{path}: there is no column 'noisy_label' among {shown(', '.join(row))}; expected {', '.join(COLUMNS)}, "
            f"of which path and noisy_label (or label) must be there{advice_on_column('label', list(row))}"
        )
    if len(named) > 1:
        raise NlcliError(
            f"{path} has both columns 'noisy_label' and 'label', which mean the same; keep one of them, and call the "
            "true class clean_label"
        )


def _add(listed: Listed, name: str, row: Mapping[str, str], where: str) -> None:
    noisy, clean = row.get("noisy_label") or row.get("label") or None, row.get("clean_label") or None
    if noisy is None and clean is None:
        raise NlcliError(f"{where}: '{name}' has neither a noisy nor a clean label; leave the row out")
    mark = row.get("verification", "")
    right = MARKS.get(mark.lower())
    if right is None:
        raise NlcliError(
            f"{where}: verification '{shown(mark)}' is none of 1, true or yes (right), 0, false or no (wrong), -1 or "
            "empty (not looked at)"
        )
    if right >= 0 and noisy is None:
        raise NlcliError(f"{where}: '{name}' is verified but has no noisy label to be right or wrong")
    if contradict(noisy, clean, right) and as_read(noisy or "") != as_read(clean or ""):  # spellings are asked about
        raise NlcliError(f"{where}: {_contradiction(noisy, clean, right)}")
    split = row.get("split", "")
    if split and split.lower() not in SPLIT_NAMES:
        raise NlcliError(f"{where}: {unknown_name(split, SPLITS, 'split')}")
    listed.paths.append(name)
    listed.noisy.append(noisy)
    listed.clean.append(clean)
    listed.right.append(right)
    listed.split.append(SPLIT_NAMES[split.lower()] if split else None)
    listed.group.append(row.get("group", ""))
