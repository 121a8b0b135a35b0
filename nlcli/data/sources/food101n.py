"""Food-101N (Lee et al. 2018, section 4.1): web images of Food-101's classes, tested on Food-101.

========== ====================================== ==============================================
split      images                                 verification
========== ====================================== ==============================================
train      ``imagelist.tsv`` less those below     partial for ``verified_train.tsv``, else none
validation those of ``verified_val.tsv``          partial: 5 k labels, for thresholds
test       Food-101's ``meta/test.txt``           full; no noisy label
========== ====================================== ==============================================

A verification says whether the class an image is listed under is right, not which class is: right
is stored as present, wrong as absent. The paper trains its classifiers on the 5 k images of
validation, too; here they are held out, because they choose thresholds and checkpoints.

``--train food-101`` makes the data set of the paper's bound (table 3, first row) instead: Food-101's own
``meta/train.txt``, fully verified and without noisy labels, a tenth of each class held out as validation.

Traps of the files: ``classes.txt`` has a header line like the others; an image may be listed under
two classes (keys are ``CLASS/FILE``, so both rows stay and are reported); a verification may name
an image under a class it is not listed under (left out and reported).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nlcli.console import say
from nlcli.data.config import BuildFood101N
from nlcli.data.label_files import write_dataset
from nlcli.data.labels import single_label_table, strings
from nlcli.data.lists import find_file, is_inside, read_lines, read_names, shown
from nlcli.data.pictures import pictures_changed, renew_pictures
from nlcli.data.sources.base import (
    TEST,
    TRAIN,
    VALIDATION,
    compare_counts,
    enumerate_some,
    hold_out,
    limited,
    missing_files,
    refuse_missing,
    write_left_out,
)
from nlcli.data.statistics import noise_summary, write_single_label_statistics
from nlcli.errors import NlcliError, unknown_name
from nlcli.stages.files import fingerprint_json
from nlcli.stages.stage import open_stage

NUM_CLASSES = 101
# Lee 2018, section 4.1 and table 1, in whole numbers where the release states them.
PUBLISHED_FOOD101 = {"train": 75_750, "test": 25_250}
_HELD_OUT, _STREAM_HELD_OUT = 0.1, 0x666F6F64
PUBLISHED = {"images": 310_009, "verified_train": 52_868, "verified_validation": 4_741, "test": 25_250}


def build_food101n(config: BuildFood101N, *, force: bool = False) -> Path:
    """Build the data set; see the module's docstring.

    Returns:
        The data set directory.

    Raises:
        NlcliError: a list is missing or has a malformed line, or an image is verified twice.
    """
    if config.train == "food-101":
        return _build_food101(config, force)
    meta = (config.root / "meta",)
    lists = {
        "classes": find_file(meta, "classes.txt", "Food-101N"),
        "images": find_file(meta, "imagelist.tsv", "Food-101N"),
        "verified_train": find_file(meta, "verified_train.tsv", "Food-101N"),
        "verified_validation": find_file(meta, "verified_val.tsv", "Food-101N"),
        "test": find_file((config.food101 / "meta",), "test.txt", "Food-101"),
    }
    classes = read_names(lists["classes"], NUM_CLASSES, skip=1)
    position = {name: i for i, name in enumerate(classes)}
    listed = _read_keys(_rows(lists["images"], "class_name/key"), lists["images"], position)
    marks = {name: _read_marks(lists[name], position) for name in ("verified_train", "verified_validation")}
    test = _read_keys(read_lines(lists["test"]), lists["test"], position)

    known = frozenset(listed)
    strangers = [(name, key) for name, part in marks.items() for key in part if key not in known]
    both = sorted(set(marks["verified_train"]) & set(marks["verified_validation"]))
    files: dict[str, str] = {}
    twice: list[str] = []
    for key in listed:
        name = key.partition("/")[2]
        if files.setdefault(name, key) != key:
            twice += [files[name], key]

    root = Path(os.path.commonpath([os.path.abspath(config.root), os.path.abspath(config.food101)]))
    prefix = {
        name: Path(os.path.abspath(folder)).relative_to(root).as_posix() + "/images/"
        for name, folder in (("train", config.root), ("test", config.food101))
    }
    prefix = {name: path.removeprefix("./") for name, path in prefix.items()}
    keys = [*listed, *(f"food-101/{key}" for key in test)]
    paths = [*(prefix["train"] + key for key in listed), *(f"{prefix['test']}{key}.jpg" for key in test)]
    missing = missing_files(root, paths)
    inputs: dict[str, Any] = {**lists, "missing": fingerprint_json([keys[i] for i in np.flatnonzero(missing)])}
    with open_stage("dataset", config, inputs, force=force, stale=pictures_changed, renew=renew_pictures) as stage:
        if stage.up_to_date:
            return stage.output
        counts = compare_counts(
            {"images": len(listed), "test": len(test)} | {name: len(part) for name, part in marks.items()},
            PUBLISHED,
            "Food-101N",
        )
        for some, what in (
            (twice, "images are listed under two classes; both rows are kept"),
            (
                [key for _, key in strangers],
                "verified images are not listed under that class; those verifications are left out",
            ),
            (both, "images are verified for training and for validation; they are kept in validation"),
        ):
            if some:
                say(f"note: {len(some):,} {what} ({enumerate_some(some)})")
        refuse_missing(missing, paths, str(root), config.allow_missing, fixed=True)
        held_out, train = marks["verified_validation"], marks["verified_train"]
        split = [VALIDATION if key in held_out else TRAIN for key in listed] + [TEST] * len(test)
        right = [held_out.get(key, train.get(key, -1)) for key in listed] + [-1] * len(test)
        kept = np.flatnonzero(~missing)
        table = single_label_table(
            classes,
            [keys[i] for i in kept],
            [paths[i] for i in kept],
            root,
            np.asarray(split, np.int8)[kept],
            np.asarray([*listed.values(), *[-1] * len(test)], np.int64)[kept],
            np.asarray([*[-1] * len(listed), *test.values()], np.int64)[kept],
            np.asarray(right, np.int8)[kept],
        )
        table = limited(table, config.limit)
        write_dataset(
            stage.work,
            table,
            {
                "name": "Food-101N",
                "source": "Lee et al. 2018: web images; verified right or wrong; Food-101's test set",
                "counts": counts,
                "listed_twice": twice,
            },
        )
        write_left_out(
            stage.work,
            [
                *((key, name, "not listed under that class") for name, key in strangers),
                *((key, "verified_train", "also in verified_val") for key in both),
                *((keys[i], "any", "missing") for i in np.flatnonzero(missing)),
            ],
        )
        pairs = write_single_label_statistics(stage.work, table)
        stage.finish(
            noise_summary(table)
            | pairs
            | {
                "left_out": int(missing.sum()),
                "verifications_left_out": len(strangers),
                "listed_twice": len(twice),
                "as_published": not counts["differing"],
            }
        )
    return stage.output


def _build_food101(config: BuildFood101N, force: bool) -> Path:
    classes_file = find_file((config.root / "meta",), "classes.txt", "Food-101N")
    lists = {name: find_file((config.food101 / "meta",), f"{name}.txt", "Food-101") for name in ("train", "test")}
    classes = read_names(classes_file, NUM_CLASSES, skip=1)
    position = {name: i for i, name in enumerate(classes)}
    listed = {name: _read_keys(read_lines(path), path, position) for name, path in lists.items()}
    both = sorted(set(listed["train"]) & set(listed["test"]))
    if both:
        raise NlcliError(f"{lists['test']}: '{both[0]}' is a training image as well; an image may be in one split only")
    keys = [*listed["train"], *listed["test"]]
    true = np.asarray([*listed["train"].values(), *listed["test"].values()], np.int64)
    paths = [f"images/{key}.jpg" for key in keys]
    missing = missing_files(config.food101, paths)
    inputs: dict[str, Any] = {
        **lists,
        "classes": classes_file,
        "missing": fingerprint_json([keys[i] for i in np.flatnonzero(missing)]),
    }
    with open_stage("dataset", config, inputs, force=force, stale=pictures_changed, renew=renew_pictures) as stage:
        if stage.up_to_date:
            return stage.output
        counts = compare_counts({name: len(part) for name, part in listed.items()}, PUBLISHED_FOOD101, "Food-101")
        refuse_missing(missing, paths, str(config.food101), config.allow_missing, fixed=True)
        kept = np.flatnonzero(~missing)
        names, labels = [keys[i] for i in kept], true[kept]
        split = np.where(kept < len(listed["train"]), TRAIN, TEST).astype(np.int8)
        train = np.flatnonzero(split == TRAIN)
        held_out = hold_out(labels[train], strings([names[i] for i in train]), _HELD_OUT, 0, _STREAM_HELD_OUT)
        split[train[held_out]] = VALIDATION
        table = single_label_table(
            classes, names, [paths[i] for i in kept], config.food101, split, np.full(len(kept), -1), labels
        )
        table = limited(table, config.limit)
        write_dataset(stage.work, table, {"name": "Food-101", "source": "Bossard et al. 2014", "counts": counts})
        write_left_out(stage.work, ((keys[i], "any", "missing") for i in np.flatnonzero(missing)))
        stage.finish(noise_summary(table) | {"left_out": int(missing.sum()), "as_published": not counts["differing"]})
    return stage.output


def _rows(path: Path, header: str) -> Iterator[tuple[int, str]]:
    """Lines behind the header, which must be there: one file of the release would be cut by a line else."""
    lines = read_lines(path)
    number, first = next(lines, (1, ""))
    if first.strip() != header:
        raise NlcliError(f"{path}, line {number}: expected the header '{header}', found '{shown(first)}'")
    yield from lines


def _class_of(key: str, position: dict[str, int], path: Path, number: int) -> int:
    name, slash, file = key.partition("/")
    if not slash or not file or not is_inside(key):
        raise NlcliError(f"{path}, line {number}: '{shown(key)}' is not of the form CLASS/KEY; correct the line")
    if name not in position:
        raise NlcliError(f"{path}, line {number}: {unknown_name(name, position, 'class')}")
    return position[name]


def _read_keys(lines: Iterable[tuple[int, str]], path: Path, position: dict[str, int]) -> dict[str, int]:
    """Class of every key of a list; ``lines`` are its numbered lines."""
    label_of: dict[str, int] = {}
    for number, key in lines:
        label = _class_of(key, position, path, number)
        if key in label_of:
            raise NlcliError(f"{path}, line {number}: '{key}' is listed twice; remove one of the two")
        label_of[key] = label
    if not label_of:
        raise NlcliError(f"{path} lists no images")
    return label_of


def _read_marks(path: Path, position: dict[str, int]) -> dict[str, int]:
    mark_of: dict[str, int] = {}
    for number, line in _rows(path, "class_name/key\tverification_label"):
        key, tab, mark = line.partition("\t")
        if not tab or mark not in ("0", "1"):
            raise NlcliError(
                f"{path}, line {number}: '{shown(line)}' is not of the form 'CLASS/KEY<TAB>0|1'; correct the line"
            )
        _class_of(key, position, path, number)
        if mark_of.setdefault(key, int(mark)) != int(mark):
            raise NlcliError(f"{path}, line {number}: '{key}' is called right and wrong; keep one of the two lines")
    if not mark_of:
        raise NlcliError(f"{path} lists no images")
    return mark_of
