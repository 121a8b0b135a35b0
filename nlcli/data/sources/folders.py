"""Any folder of images with classes, or a table of them: single-label data sets of one's own.

Two layouts:

- folders: ``ROOT/CLASS/...`` or ``ROOT/{train,validation,test}/CLASS/...`` (``val`` and ``valid``
  mean validation). The folder's name is the noisy class of the images in it and below; in the
  splits of ``verified`` it is their true class, too. A split that is drawn (below) is none of them.
- what annotation programs export (``one_label_documents.py``), or
- a table, CSV or Parquet, with the columns ``path`` and ``noisy_label`` and, where there are any,
  ``clean_label`` (the true class: fully verified), ``verification`` (whether the noisy label is
  right: 1 right, 0 wrong, -1 or empty not looked at) and ``split``; see ``image_table.py``.

Without splits, or without validation, the missing ones are drawn from train, the same share of
every class, by the seed and the images' keys. Where a person checked some of the images, they are
drawn among these. Images are never copied.
"""

from __future__ import annotations

import os
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nlcli.console import say
from nlcli.data.class_names import names_of_list, spellings
from nlcli.data.config import BuildFolders
from nlcli.data.copies import kept_together
from nlcli.data.label_files import write_dataset
from nlcli.data.labels import SPLITS, LabelTable, single_label_table, strings
from nlcli.data.lists import is_inside, read_names, shown
from nlcli.data.pictures import pictures_changed, renew_pictures
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
from nlcli.data.sources.checked_list import join_checked
from nlcli.data.sources.drawn_splits import join_groups
from nlcli.data.sources.image_table import SPLIT_NAMES, Listed, read_image_table
from nlcli.data.sources.one_label_documents import document_files, is_document, read_documents
from nlcli.data.statistics import noise_summary, write_single_label_statistics
from nlcli.errors import NlcliError, unknown_name
from nlcli.networks.image_files import (
    OTHER,
    UNREAD,
    LeftOut,
    class_folders,
    is_image,
    kind_of_other,
    list_folder,
    name_some,
    not_there,
    require_utf8,
    walk_files,
)
from nlcli.stages.files import fingerprint_json
from nlcli.stages.publishing import is_ours
from nlcli.stages.stage import open_stage


def build_folders(config: BuildFolders, *, force: bool = False) -> Path:
    """Build a single-label data set from folders or a table; see the module's docstring.

    Returns:
        The data set directory.

    Raises:
        NlcliError: with the file and line, or the folder, for whatever does not fit.
    """
    inputs: dict[str, Any] = {"table": config.table, "classes": config.classes, "checked": config.checked}
    documents = config.table is not None and is_document(config.table)
    if config.table is not None and documents:
        files = document_files(config.table)
        inputs |= {"table" if not i else f"table {i + 1}": path for i, path in enumerate(files)}
    if config.table is None:
        listed = list_folders(config.images, frozenset(config.verified))
        inputs["images"] = fingerprint_json([listed.paths, listed.split])
        missing = np.zeros(len(listed.paths), bool)
    else:
        listed = read_documents(config.table) if documents else read_image_table(config.table)
        missing = missing_files(config.images, listed.paths)
        inputs["missing"] = fingerprint_json([listed.paths[i] for i in np.flatnonzero(missing)])
    unmatched = [] if config.checked is None else join_checked(listed, config.images, config.checked)
    stale = partial(pictures_changed, contents=config.check_contents)
    with open_stage(
        "dataset", config, inputs, seed=config.seed, force=force, stale=stale, renew=renew_pictures
    ) as stage:
        if stage.up_to_date:
            return stage.output
        refuse_missing(missing, listed.paths, str(config.images), config.allow_missing)
        table = limited(_label(config, listed, ~missing), config.limit, config.seed)
        lost = [listed.paths[i] for i in np.flatnonzero(missing)]
        ignored = listed.ignored
        del listed  # of a million images 50 MiB
        write_dataset(
            stage.work,
            table,
            {
                "name": config.images.name,
                "source": "folders of images" if config.table is None else "table of images",
                "other_files": ignored,
            },
            contents=config.check_contents,
        )
        rows = [(path, "table", "missing") for path in lost] + [
            (path, "checked", "no such image") for path in unmatched
        ]
        write_left_out(stage.work, rows)
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
        raise NlcliError(f"image folder {root} {not_there(root)}; give the folder that holds one folder a class")
    require_utf8(os.path.abspath(root), "the path of the images")
    left_out = LeftOut()
    first = class_folders(root, left_out)
    _refuse_other_layouts(root, first, left_out)
    splits = {name: SPLIT_NAMES[name.lower()] for name in first if name.lower() in SPLIT_NAMES}
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
            for inner in class_folders(root / name, left_out):
                _add_class(listed, root, f"{name}/{inner}", inner, splits[name], verified, left_out)
        else:
            _add_class(listed, root, name, name, None, verified, left_out)
    if not listed.paths:
        beside = f"; left out: {left_out.kinds()}" if left_out.counts else ""
        raise NlcliError(f"no images in {root}; expected ROOT/CLASS/*.jpg or ROOT/SPLIT/CLASS/*.jpg{beside}")
    told = left_out.sentence(root)
    if told is not None:
        say(told)
    listed.ignored = left_out.counts[OTHER] + left_out.counts[UNREAD]
    return listed


_LIKE_A_SPLIT = re.compile(
    r"(train(ing)?|test(ing)?|val(id(ation)?)?|dev|eval(uation)?|holdout)([ _-]?(set|data|images?|split|\d+))*",
    re.ASCII,
)


def _refuse_other_layouts(root: Path, first: list[str], left_out: LeftOut) -> None:
    """Say what is meant where folders are neither classes nor splits."""
    if not first and is_ours(root):
        raise NlcliError(f"{root} was made by nlcli and has no folders of classes; give the folder of the images")
    beside = [entry.name for entry in list_folder(root) if is_image(entry.name)] if not first else []
    if beside:
        raise NlcliError(
            f"{len(beside):,} images lie in {root} itself ({name_some(beside)}), and no folder of a class; put the "
            "images of each class into a folder of its name, or list them with their classes in a --table"
        )
    if len(first) == 1 and first[0].lower() not in SPLIT_NAMES:
        inner = class_folders(root / first[0])
        if len(inner) > 1 and not any(is_image(entry.name) for entry in list_folder(root / first[0])):
            raise NlcliError(
                f"{root} has one folder, with folders in it; give {root / first[0]} as the folder of images"
            )
    alike = [name for name in first if name.lower() not in SPLIT_NAMES and _LIKE_A_SPLIT.fullmatch(name.lower())]
    if alike and len([name for name in first if name in alike or name.lower() in SPLIT_NAMES]) == len(first):
        raise NlcliError(
            f"the folder '{shown(alike[0])}' in {root} is called like a split; rename the splits to train, validation "
            "and test, or list the images with their classes in a --table if it is the name of a class"
        )


def _add_class(
    listed: Listed,
    root: Path,
    folder: str,
    name: str,
    split: int | None,
    verified: frozenset[str],
    left_out: LeftOut,
) -> None:
    known = SPLITS[TRAIN if split is None else split] in verified
    images, others = [], LeftOut()
    for path, entry in walk_files(root, f"{folder}/", left_out=left_out):
        if is_image(path):
            require_utf8(entry.name, root / os.path.dirname(path))
            images.append(path)
        else:
            others.add(kind_of_other(path), entry.name)
            left_out.add(kind_of_other(path), entry.name)
    images.sort()
    if not images:
        if others.counts[UNREAD]:
            raise NlcliError(
                f"class folder {root / folder} has no images that are read, but {others.kinds()}; convert them (to "
                "JPEG or PNG), or remove the folder"
            )
        raise NlcliError(f"class folder {root / folder} has no images; remove it, or put the images in")
    for path in images:
        if not is_inside(path):
            raise NlcliError(f"{root}: the file name '{shown(path)}' has characters that are not allowed; rename it")
        listed.paths.append(path)
        listed.noisy.append(name)
        listed.clean.append(name if known else None)
        listed.right.append(-1)
        listed.split.append(split)


# --- labels ----------------------------------------------------------------------------------


def _settle_names(config: BuildFolders, listed: Listed) -> None:
    """Make one class of names that are one class, as ``--class-names`` says, in place."""
    counts = listed.class_counts()
    where = str(config.images if config.table is None else config.table)
    if config.classes is None:
        without = "empty these cells" if config.table is not None else "move this folder elsewhere"
        listed.rename(spellings(counts, config.class_names, where, without), where)
    else:
        names = read_names(config.classes)
        listed.rename(names_of_list(counts, names, config.class_names, where), where)


def _label(config: BuildFolders, listed: Listed, kept: np.ndarray) -> LabelTable:
    _settle_names(config, listed)
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
    label = np.where(true >= 0, true, noisy)  # so that every class of checked images comes into every split
    checked = (true >= 0) | (right >= 0)
    group = _groups([listed.group[i] for i in rows] if listed.group else [])
    whole = all(s is None for s in given)
    if whole or not (split == VALIDATION).any():
        group = kept_together(config.images, strings(keys), group, split == TRAIN)
    _draw_splits(config, split, label, strings(keys), checked, whole=whole, group=group)
    _tell_unchecked(split, label, checked, classes)
    empty = [classes[c] for c in np.flatnonzero(np.bincount(label[split == TRAIN], minlength=len(classes)) == 0)]
    if empty:
        say(f"warning: {len(empty)} of {len(classes)} classes have no training image ({enumerate_some(empty)})")
    return single_label_table(classes, keys, keys, config.images, split, noisy, true, right)


def _groups(names: list[str]) -> np.ndarray | None:
    """(N,) int64 number of each image's group, -1 for none; None where no image has one."""
    if not any(names):
        return None
    number = {name: i for i, name in enumerate(sorted(set(names) - {""}))}
    return np.array([number.get(name, -1) for name in names], np.int64)


def _draw_splits(
    config: BuildFolders,
    split: np.ndarray,
    label: np.ndarray,
    keys: np.ndarray,
    checked: np.ndarray,
    *,
    whole: bool,
    group: np.ndarray | None,
) -> None:
    """Draw the splits that there are none of from train, in place, among checked images where only some are.

    Drawing an image checks nothing: it keeps the state that it had in train.

    Args:
        split: (N,) int8.
        label: (N,) classes.
        keys: (N,) names.
        checked: (N,) bool, a person looked at the image.
        whole: No image has a split; else validation alone may be missing.
        group: (N,) number of a group, -1 for none, or None: what is in a group with a drawn image goes with it.
    """
    shares = {VALIDATION: config.validation_share, TEST: config.test_share}
    drawn: dict[str, int] = {}
    from_here = split == TRAIN
    some = bool(checked[split == TRAIN].any()) and not checked[split == TRAIN].all()
    apart = some and config.draw_from == "all"
    for number in (TEST, VALIDATION) if whole else (VALIDATION,):
        if np.any(split == number):
            continue
        train = np.flatnonzero(split == TRAIN)
        share = shares[number] / (1 - shares[TEST]) if whole and number == VALIDATION else shares[number]
        # A third of a class's checked images for each of train, validation and test, if the share wants as many.
        part = 1 / 3 if number == TEST else 1 / 2
        among = checked[train] if some and not apart else None
        stream = 0x666F6C64 + number
        drawn[SPLITS[number]] = 0
        for own, pool in enumerate([train[checked[train]], train[~checked[train]]] if apart else [train]):
            chosen = pool[
                hold_out(label[pool], keys[pool], share, config.seed, stream + 8 * own, among=among, at_most=part)
            ]
            split[chosen] = number
            drawn[SPLITS[number]] += len(chosen)
            if group is not None:
                join_groups(split, chosen, group, from_here & (split == TRAIN))
    if not drawn:
        return
    told = " and ".join(f"{count:,} for {name}" for name, count in drawn.items())
    of = "checked training images, a third of each class's at most" if some and not apart else "training images"
    how = "--validation-share and --test-share (in a pipeline validation_share, test_share)"
    say(f"drew {told} from the {of}; {how} set how many")
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
            "measured on them; check some and list them with --checked, or in a --table with the column 'verification' "
            "or 'clean_label'"
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
