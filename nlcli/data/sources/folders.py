"""Any folder of images with classes, or a table of them: single-label data sets of one's own.

Two layouts:

- folders: ``ROOT/CLASS/...`` or ``ROOT/{train,validation,test}/CLASS/...`` (``val`` and ``valid``
  mean validation). The folder's name is the noisy class of the images in it and below; in the
  splits of ``verified`` it is their true class, too. A split that is drawn (below) is none of them.
- a table, CSV or Parquet, with the columns ``path`` and ``noisy_label`` and, where there are any,
  ``clean_label`` (the true class: fully verified), ``verification`` (whether the noisy label is
  right: 1 right, 0 wrong, -1 or empty not looked at) and ``split``.

Without splits, or without validation, the missing ones are drawn from train, the same share of
every class, by the seed and the images' keys. Where a person checked some of the images, they are
drawn among these. Images are never copied.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nlcli.console import say
from nlcli.data.config import BuildFolders
from nlcli.data.label_files import write_dataset
from nlcli.data.labels import SPLITS, LabelTable, single_label_table, strings
from nlcli.data.lists import is_inside, read_names, shown
from nlcli.data.sources.base import (
    TEST,
    TRAIN,
    VALIDATION,
    enumerate_some,
    hold_out,
    limited,
    missing_files,
    refuse_missing,
    write_left_out,
)
from nlcli.data.statistics import noise_summary, write_single_label_statistics
from nlcli.errors import NlcliError, unknown_name
from nlcli.networks.image_files import is_image, walk_files
from nlcli.stages.files import fingerprint_json
from nlcli.stages.stage import open_stage

_SPLIT_NAMES = {
    "train": TRAIN,
    "training": TRAIN,
    "validation": VALIDATION,
    "valid": VALIDATION,
    "val": VALIDATION,
    "test": TEST,
}
_VERIFICATION = {"1": 1, "0": 0, "-1": -1, "": -1}
_COLUMNS = ("path", "noisy_label", "clean_label", "verification", "split")


@dataclass
class Listed:
    """Images as they are listed; entry ``i`` of every list is the same image. None: not given."""

    paths: list[str] = field(default_factory=list)
    noisy: list[str | None] = field(default_factory=list)
    clean: list[str | None] = field(default_factory=list)
    right: list[int] = field(default_factory=list)
    split: list[int | None] = field(default_factory=list)
    ignored: int = 0


def build_folders(config: BuildFolders, *, force: bool = False) -> Path:
    """Build a single-label data set from folders or a table; see the module's docstring.

    Returns:
        The data set directory.

    Raises:
        NlcliError: with the file and line, or the folder, for whatever does not fit.
    """
    inputs: dict[str, Any] = {"table": config.table, "classes": config.classes}
    if config.table is None:
        listed = list_folders(config.images, frozenset(config.verified))
        inputs["images"] = fingerprint_json([listed.paths, listed.split])
        missing = np.zeros(len(listed.paths), bool)
    else:
        listed = read_table(config.table)
        missing = missing_files(config.images, listed.paths)
        inputs["missing"] = fingerprint_json([listed.paths[i] for i in np.flatnonzero(missing)])
    with open_stage("dataset", config, inputs, seed=config.seed, force=force) as stage:
        if stage.up_to_date:
            return stage.output
        refuse_missing(missing, listed.paths, str(config.images), config.allow_missing)
        table = limited(_label(config, listed, ~missing), config.limit, config.seed)
        lost = [listed.paths[i] for i in np.flatnonzero(missing)]
        write_left_out(stage.work, ((path, "table", "missing") for path in lost))
        write_dataset(
            stage.work,
            table,
            {
                "name": config.images.name,
                "source": "folders of images" if config.table is None else "table of images",
                "other_files": listed.ignored,
            },
        )
        pairs = write_single_label_statistics(stage.work, table)
        stage.finish(noise_summary(table) | pairs | {"left_out": len(lost)})
    return stage.output


# --- folders ---------------------------------------------------------------------------------


def list_folders(root: Path, verified: frozenset[str] = frozenset()) -> Listed:
    """Images of a class or split/class layout, sorted by path.

    Raises:
        NlcliError: no such folder, splits and classes side by side, or no images.
    """
    root = Path(root)
    if not root.is_dir():
        raise NlcliError(f"image folder {root} does not exist; give the folder that holds one folder a class")
    first = _folders(root)
    splits = {name: _SPLIT_NAMES[name.lower()] for name in first if name.lower() in _SPLIT_NAMES}
    if splits and len(splits) < len(first):
        other = next(name for name in first if name not in splits)
        raise NlcliError(
            f"{root} has the split '{next(iter(splits))}' and the folder '{other}' side by side; expected either "
            "splits or classes"
        )
    for name, number in splits.items():
        for second in splits:
            if second != name and splits[second] == number:
                raise NlcliError(f"{root} has the folders '{name}' and '{second}' for the same split; keep one of them")
    listed = Listed()
    for name in first:
        if splits:
            for inner in _folders(root / name):
                _add_class(listed, root, f"{name}/{inner}", inner, splits[name], verified)
        else:
            _add_class(listed, root, name, name, None, verified)
    if not listed.paths:
        raise NlcliError(f"no images in {root}; expected ROOT/CLASS/*.jpg or ROOT/SPLIT/CLASS/*.jpg")
    if listed.ignored:
        say(f"note: {listed.ignored:,} files below {root} are not images and are ignored")
    return listed


def _folders(root: Path) -> list[str]:
    with os.scandir(root) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def _add_class(listed: Listed, root: Path, folder: str, name: str, split: int | None, verified: frozenset[str]) -> None:
    known = SPLITS[TRAIN if split is None else split] in verified
    images = []
    for path, _ in walk_files(root, f"{folder}/", follow_links=True):
        if is_image(path):
            images.append(path)
        else:
            listed.ignored += 1
    images.sort()
    if not images:
        raise NlcliError(f"class folder {root / folder} has no images; remove it, or put the images in")
    for path in images:
        if not is_inside(path):
            raise NlcliError(f"{root}: the file name '{shown(path)}' has characters that are not allowed; rename it")
        listed.paths.append(path)
        listed.noisy.append(name)
        listed.clean.append(name if known else None)
        listed.right.append(-1)
        listed.split.append(split)


# --- tables ----------------------------------------------------------------------------------


def read_table(path: Path) -> Listed:
    """The rows of a CSV or Parquet table.

    Raises:
        NlcliError: with the line (CSV) or the row counted from 1 (Parquet), for a missing column, an
            empty or repeated path, an unknown split or verification, or labels that contradict.
    """
    parquet = path.suffix.lower() == ".parquet"
    unit = "row" if parquet else "line"
    listed = Listed()
    seen: dict[str, int] = {}
    for number, row in _parquet_rows(path) if parquet else _csv_rows(path):
        where = f"{path}, {unit} {number}"
        name = row["path"]
        if not is_inside(name):
            raise NlcliError(
                f"{where}: '{shown(name)}' is not a path inside the image folder; give paths relative to it"
            )
        if name in seen:
            raise NlcliError(
                f"{where}: '{name}' already stands in {unit} {seen[name]}; an image may be listed once, in one split"
            )
        seen[name] = number
        noisy, clean = row.get("noisy_label") or None, row.get("clean_label") or None
        if noisy is None and clean is None:
            raise NlcliError(f"{where}: '{name}' has neither a noisy nor a clean label; leave the row out")
        mark = row.get("verification", "")
        if mark not in _VERIFICATION:
            raise NlcliError(
                f"{where}: verification '{shown(mark)}' is none of 1 (right), 0 (wrong), -1 or empty (not looked at)"
            )
        right = _VERIFICATION[mark]
        if right >= 0 and noisy is None:
            raise NlcliError(f"{where}: '{name}' is verified but has no noisy label to be right or wrong")
        if right >= 0 and clean is not None and (clean == noisy) != (right == 1):
            raise NlcliError(f"{where}: verification {right} contradicts the labels (noisy '{noisy}', clean '{clean}')")
        split = row.get("split", "")
        if split and split.lower() not in _SPLIT_NAMES:
            raise NlcliError(f"{where}: {unknown_name(split, SPLITS, 'split')}")
        listed.paths.append(name)
        listed.noisy.append(noisy)
        listed.clean.append(clean)
        listed.right.append(right)
        listed.split.append(_SPLIT_NAMES[split.lower()] if split else None)
    if not listed.paths:
        raise NlcliError(f"{path} has no rows")
    some = sum(split is None for split in listed.split)
    if 0 < some < len(listed.split):
        position = listed.split.index(None)
        raise NlcliError(
            f"{path}: '{listed.paths[position]}' has no split but others have; fill the column, or leave it out"
        )
    return listed


def _check_columns(path: Path, columns: list[str]) -> None:
    for name in columns:
        if name not in _COLUMNS:
            raise NlcliError(f"{path}: {unknown_name(name, _COLUMNS, 'column')}")
    for name in ("path", "noisy_label"):
        if name not in columns:
            raise NlcliError(
                f"{path}: there is no column '{name}'; expected {', '.join(_COLUMNS)} (the last three as needed)"
            )
    if len(set(columns)) < len(columns):
        raise NlcliError(f"{path}: a column stands twice in the header ({', '.join(columns)})")


def _csv_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            columns = [cell.strip() for cell in next(reader, [])]
            _check_columns(path, columns)
            for cells in reader:
                if not cells:
                    continue
                if len(cells) != len(columns):
                    raise NlcliError(
                        f"{path}, line {reader.line_num}: {len(cells)} cells, expected {len(columns)}; quote values "
                        "with commas"
                    )
                yield reader.line_num, {name: cell.strip() for name, cell in zip(columns, cells, strict=True)}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        line = f", line {reader.line_num}" if isinstance(error, csv.Error) else ""
        raise NlcliError(f"cannot read {path}{line}: {error}") from error


def _parquet_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            _check_columns(path, file.schema_arrow.names)
            number = 0
            for batch in file.iter_batches():
                columns = {}
                for name in batch.schema.names:
                    values = batch.column(name)
                    kind = values.type
                    whole = name == "verification" and (pa.types.is_integer(kind) or pa.types.is_boolean(kind))
                    text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)
                    if not (whole or text or pa.types.is_dictionary(kind)):
                        raise NlcliError(f"{path}: column '{name}' has the type {kind}, expected text")
                    columns[name] = ["" if v is None else str(int(v)) if whole else str(v) for v in values.to_pylist()]
                for cells in zip(*columns.values(), strict=True):
                    number += 1
                    yield number, dict(zip(columns, cells, strict=True))
    except (OSError, pa.ArrowException) as error:
        raise NlcliError(f"cannot read {path}: {error}") from error


# --- labels ----------------------------------------------------------------------------------


def _label(config: BuildFolders, listed: Listed, kept: np.ndarray) -> LabelTable:
    names = {name for column in (listed.noisy, listed.clean) for name in column if name is not None}
    classes = tuple(sorted(names)) if config.classes is None else read_names(config.classes)
    position: dict[str | None, int] = {name: i for i, name in enumerate(classes)}
    for name in sorted(names):
        if name not in position:
            raise NlcliError(f"{config.classes}: {unknown_name(name, classes, 'class')}")
    if len(classes) < 2:
        raise NlcliError(f"only one class ('{classes[0]}'); a classifier needs at least two")
    position[None] = -1
    rows = np.flatnonzero(kept)
    noisy, true = (np.asarray([position[column[i]] for i in rows], np.int64) for column in (listed.noisy, listed.clean))
    right = np.asarray([listed.right[i] for i in rows], np.int8)
    keys = [listed.paths[i] for i in rows]
    given = [listed.split[i] for i in rows]
    split = np.asarray([TRAIN if s is None else s for s in given], np.int8)
    label = np.where(noisy >= 0, noisy, true)
    checked = (true >= 0) | (right >= 0)
    _draw_splits(config, split, label, strings(keys), checked, whole=all(s is None for s in given))
    _tell_unchecked(split, label, checked, classes)
    empty = [classes[c] for c in np.flatnonzero(np.bincount(label[split == TRAIN], minlength=len(classes)) == 0)]
    if empty:
        say(f"warning: {len(empty)} of {len(classes)} classes have no training image ({enumerate_some(empty)})")
    return single_label_table(classes, keys, keys, config.images, split, noisy, true, right)


def _draw_splits(
    config: BuildFolders, split: np.ndarray, label: np.ndarray, keys: np.ndarray, checked: np.ndarray, *, whole: bool
) -> None:
    """Draw the splits that there are none of from train, in place, among checked images where only some are.

    Drawing an image checks nothing: it keeps the state that it had in train.

    Args:
        split: (N,) int8.
        label: (N,) classes.
        keys: (N,) names.
        checked: (N,) bool, a person looked at the image.
        whole: No image has a split; else validation alone may be missing.
    """
    shares = {VALIDATION: config.validation_share, TEST: config.test_share}
    drawn: dict[str, int] = {}
    some = bool(checked[split == TRAIN].any()) and not checked[split == TRAIN].all()
    for number in (TEST, VALIDATION) if whole else (VALIDATION,):
        if np.any(split == number):
            continue
        train = np.flatnonzero(split == TRAIN)
        share = shares[number] / (1 - shares[TEST]) if whole and number == VALIDATION else shares[number]
        # A third of a class's checked images for each of train, validation and test, if the share wants as many.
        part = 1 / 3 if number == TEST else 1 / 2
        among = checked[train] if some else None
        stream = 0x666F6C64 + number
        chosen = train[hold_out(label[train], keys[train], share, config.seed, stream, among=among, at_most=part)]
        split[chosen] = number
        drawn[SPLITS[number]] = len(chosen)
    if not drawn:
        return
    told = " and ".join(f"{count:,} for {name}" for name, count in drawn.items())
    of = "checked training images, a third of each class's at most" if some else "training images"
    say(f"drew {told} from the {of}; --validation-share and --test-share set how many")
    trusted = [name for name in drawn if name in config.verified]
    if "verified" in config.model_fields_set and trusted and "train" not in config.verified and config.table is None:
        raise NlcliError(
            f"--verified {trusted[0]}: there is no folder '{trusted[0]}', and images that were drawn from train are no "
            "more verified than train is; add --verified train if somebody checked every folder, or leave it out"
        )


def _tell_unchecked(split: np.ndarray, label: np.ndarray, checked: np.ndarray, classes: tuple[str, ...]) -> None:
    """Say what cannot be known where nobody looked, and which classes nothing can be measured of."""
    if not checked.any():
        say(
            "nobody checked any of these images, so how many labels are wrong cannot be known, and nothing can be "
            "measured on them; check some and list them in a --table with the column 'verification' or 'clean_label'"
        )
        return
    for number in (VALIDATION, TEST):
        here = split == number
        if not here.any():
            continue
        counts = np.bincount(label[here & checked], minlength=len(classes))
        without = [classes[c] for c in np.flatnonzero(counts == 0)]
        if without:
            say(
                f"{len(without)} of {len(classes)} classes have no checked image in {SPLITS[number]} "
                f"({enumerate_some(without)}); what is measured there says nothing of them"
            )
