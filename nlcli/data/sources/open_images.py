"""Open Images V1: machine labels of nine million images, human ones for a part.

Splits as Veit et al. 2017 and Hu et al. use them (pool T is train without verification, V train
with it):

========== ==================================================================================
train      the training images (T), and a seeded quarter of the validation images (V)
validation a share of V held out for checkpoints (``validation_share``; the papers have none)
test       the other three quarters of the validation images
========== ==================================================================================

- Noisy labels are the machine's, with their confidence; of a class that an image carries several
  times the highest confidence counts, and a confidence of 0 is no label.
- Human labels with confidence 1 are present, with 0 absent; every other class of the image is
  unverified. Where a person said both, the class is unverified, too (counted).
- Classes: the ids of ``classes.txt`` in its order, or, where there is none, those of ``dict.csv``
  that are trainable by the data set's own rule: at least 50 validation and 20 training images with
  a machine label. Labels of other classes are left out and counted.
- Groups, the high-level categories of Veit 2017, table 1, were never published class by class. A
  table of one's own (CSV: class id or name, group) is taken as it is. From a class hierarchy (JSON,
  such as ``bbox_labels_600_hierarchy.json`` or V2's ``bbox_hierarchy.json``) a class gets the group
  of its nearest ancestor in ``resources/open_images_groups.csv``, our assignment of the hierarchies'
  upper nodes to the eight categories. A hierarchy covers the 600 classes with boxes, not the others.

The files are read in blocks, an image is a 64-bit number until the table is written. Formats:
``images.csv`` (quoted fields; only ImageID is read; may be absent), ``labels.csv`` with
``ImageID,Source,LabelName,Confidence``, ``dict.csv`` without header. The folders may have V1's
names or be ``train/`` and ``validation/`` with V2's file names.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlcli.console import say
from nlcli.data.category_statistics import write_category_statistics
from nlcli.data.config import BuildOpenImages
from nlcli.data.label_files import write_dataset
from nlcli.data.labels import NONE, PARTIAL, SPLITS, LabelTable
from nlcli.data.lists import shown
from nlcli.data.pictures import pictures_changed, renew_pictures
from nlcli.data.sources.base import TEST, TRAIN, VALIDATION, compare_counts
from nlcli.data.sources.open_images_files import (
    LabelReader,
    hex_keys,
    ids_digest,
    ids_on_disk,
    images_present,
    listed_ids,
    read_class_list,
    read_dictionary,
    refuse_shared,
    running_count,
    unique_names,
)
from nlcli.errors import NlcliError
from nlcli.stages.files import fingerprint_json, read_json
from nlcli.stages.stage import open_stage
from nlcli.stages.text_lines import bounded_lines

if TYPE_CHECKING:
    from scipy.sparse import csr_array

SUBSETS = ("train", "validation")
# Veit 2017, section 4.1.
PUBLISHED = {
    "train_images": 9_011_219,
    "validation_images": 167_056,
    "train_labels": 79_156_606,
    "validation_labels": 2_047_758,
    "classes": 6_012,
}
TRAINABLE = {"train": 20, "validation": 50}  # images with the label, by the data set's own description
_FILES = {
    "images": ("images_2016_08/{}/images.csv", "{}/images.csv"),
    "machine": ("machine_ann_2016_08/{}/labels.csv", "{}/annotations-machine.csv"),
    "human": ("human_ann_2016_08/{}/labels.csv", "{}/annotations-human.csv"),
}
_STREAM = 0x6F70656E


def build_open_images(config: BuildOpenImages, *, force: bool = False) -> Path:
    """Build the data set; see the module's docstring.

    Peak memory for the full set is measured by ``benchmarks/open_images.py``.

    Returns:
        The data set directory.

    Raises:
        NlcliError: a file is missing or has a malformed line, an image is in train and validation,
            or most labels name classes that the class list does not have.
    """
    files = {(kind, subset): _find(config.root, kind, subset) for kind in _FILES for subset in SUBSETS}
    for kind, subset in (("machine", "train"), ("machine", "validation"), ("human", "validation")):
        if files[kind, subset] is None:
            places = " or ".join(name.format(subset) for name in _FILES[kind])
            raise NlcliError(f"{config.root} has no {places}; give the folder where Open Images was unpacked")
    class_list = config.classes
    if class_list is None and (config.root / "classes.txt").is_file():
        class_list = config.root / "classes.txt"
    dictionary = config.root / "dict.csv" if (config.root / "dict.csv").is_file() else None
    if class_list is None and dictionary is None:
        raise NlcliError(f"{config.root} has neither classes.txt nor dict.csv; give a list of class ids with --classes")
    inputs: dict[str, Any] = {"classes": class_list, "dictionary": dictionary, "groups": config.groups}
    inputs |= {f"{kind}_{subset}": path for (kind, subset), path in files.items()}
    if config.images is not None:
        listings = {subset: ids_on_disk(config.images / subset) for subset in SUBSETS}
        inputs["listing"] = fingerprint_json([ids_digest(ids) for ids in listings.values()])
    with open_stage(
        "dataset", config, inputs, seed=config.seed, force=force, stale=pictures_changed, renew=renew_pictures
    ) as stage:
        if stage.up_to_date:
            return stage.output
        names = {} if dictionary is None else read_dictionary(dictionary)
        ids = tuple(names) if class_list is None else read_class_list(class_list)
        images = {
            subset: listed_ids(files["images", subset], files["machine", subset], files["human", subset])
            for subset in SUBSETS
        }
        refuse_shared(images)
        left_out = Counter[str]()
        if config.images is not None:
            images = {
                subset: images_present(config, subset, images[subset], listings[subset], left_out) for subset in SUBSETS
            }
        read = LabelReader(ids, images, left_out)
        machine = [read.labels(files["machine", subset], subset) for subset in SUBSETS]
        human = [read.labels(files["human", subset], subset, human=True) for subset in SUBSETS]
        read.tell_left_out()
        noisy = stack(machine)
        del machine
        present, absent, both = _split_human(stack(human))
        if class_list is None:
            keep = _trainable(noisy, len(images["train"]))
            if not len(keep):
                raise NlcliError("no class has 20 training and 50 validation images; give the class ids with --classes")
            noisy, present, absent = (take_columns(matrix, keep) for matrix in (noisy, present, absent))
            ids = tuple(ids[i] for i in keep)
        classes = unique_names(ids, names)
        table = _table(config, ids, classes, images, noisy, present, absent, names)
        counts = compare_counts(
            {
                "train_images": len(images["train"]),
                "validation_images": len(images["validation"]),
                "train_labels": int(noisy.indptr[len(images["train"])]),
                "validation_labels": int(noisy.nnz - noisy.indptr[len(images["train"])]),
                "classes": len(ids),
            },
            PUBLISHED,
            "Open Images V1",
        )
        unseen = len(table) - len(images["train"]) - int((table.verification > NONE).sum())
        if unseen > 0:
            say(
                f"note: {unseen:,} of {len(images['validation']):,} validation images have no label by a person, so "
                "that nothing is verified on them; in the whole release all have one"
            )
        if both:
            say(f"note: {both:,} labels are called present and absent by people; they count as unverified")
        write_dataset(
            stage.work,
            table,
            {
                "name": "Open Images V1",
                "source": "machine labels; labels verified by people for validation images",
                "class_ids": list(ids),
                "counts": counts,
                "left_out": dict(left_out),
                "contradictions": both,
            },
        )
        stage.finish(
            _summary(table)
            | write_category_statistics(stage.work, table)
            | {
                "left_out_labels": sum(n for what, n in left_out.items() if what.endswith("labels")),
                "missing_images": left_out["missing images"],
                "contradictions": both,
                "as_published": not counts["differing"],
            }
        )
    return stage.output


def _find(root: Path, kind: str, subset: str) -> Path | None:
    for name in _FILES[kind]:
        path = root / name.format(subset)
        if path.is_file():
            return path
    return None


def _table(
    config: BuildOpenImages,
    ids: tuple[str, ...],
    classes: tuple[str, ...],
    images: dict[str, np.ndarray],
    noisy: csr_array,
    present: csr_array,
    absent: csr_array,
    names: dict[str, str],
) -> LabelTable:
    trained, held = len(images["train"]), len(images["validation"])
    split = np.full(trained + held, TEST, np.int8)
    split[:trained] = TRAIN
    clean = choose_clean_part(held, config.clean_share, config.validation_share, config.seed)
    split[trained:][clean == 1] = TRAIN
    split[trained:][clean == 2] = VALIDATION
    verified = (np.diff(present.indptr) + np.diff(absent.indptr)) > 0
    keys = np.concatenate([hex_keys(images[subset]) for subset in SUBSETS])
    paths = np.concatenate([hex_keys(images[subset], f"{subset}/", ".jpg") for subset in SUBSETS])
    groups = None if config.groups is None else read_groups(config.groups, ids, classes, names)
    return LabelTable(
        task="multi-label",
        classes=classes,
        groups=groups,
        keys=keys,
        paths=paths,
        image_root=Path(os.path.abspath(config.images or config.root / "images")),
        split=split,
        noisy=noisy,
        present=present,
        absent=absent,
        verification=np.where(verified, PARTIAL, NONE).astype(np.uint8),
    )


def choose_clean_part(count: int, share: float, held_out: float, seed: int) -> np.ndarray:
    """What each validation image (sorted by id) becomes: 0 test, 1 clean set V, 2 held out of V: int8."""
    part = np.zeros(count, np.int8)
    order = np.random.default_rng([seed, _STREAM]).permutation(count)[: round(share * count)]
    part[order] = 1
    part[order[: round(held_out * len(order))]] = 2
    return part


def _summary(table: LabelTable) -> dict[str, Any]:
    summary: dict[str, Any] = {"classes": table.num_classes}
    size = {name: np.diff(getattr(table, name).indptr) for name in ("noisy", "present", "absent")}
    for number, name in enumerate(SPLITS):
        rows = table.split == number
        summary[name] = int(rows.sum())
        summary[f"{name}_verified"] = int(np.sum(rows & (table.verification > NONE)))
        for what, label in (("noisy", "noisy_labels"), ("present", "present"), ("absent", "absent")):
            summary[f"{name}_{label}"] = int(size[what][rows].sum())
    if table.groups is not None:
        summary["classes_with_group"] = sum(group is not None for group in table.groups)
    return summary


def stack(matrices: list[csr_array]) -> csr_array:
    """The matrices one above the other, with 32-bit indices."""
    from scipy.sparse import csr_array

    data = np.concatenate([matrix.data for matrix in matrices])
    indices = np.concatenate([matrix.indices.astype(np.int32, copy=False) for matrix in matrices])
    ends = np.cumsum([0] + [matrix.nnz for matrix in matrices])
    indptr = np.concatenate([[0], *(m.indptr[1:] + end for m, end in zip(matrices, ends, strict=False))])
    return csr_array((data, indices, indptr), shape=(sum(m.shape[0] for m in matrices), matrices[0].shape[1]))


def _split_human(marks: csr_array) -> tuple[csr_array, csr_array, int]:
    """Present, absent (uint8) of 1 present, 2 absent, 3 both; and how many are both."""
    from scipy.sparse import csr_array

    def part(mark: int) -> csr_array:
        chosen = marks.data == mark
        indptr = running_count(chosen)[marks.indptr]
        return csr_array((np.ones(int(chosen.sum()), np.uint8), marks.indices[chosen], indptr), shape=marks.shape)

    return part(1), part(2), int(np.sum(marks.data == 3))


def take_columns(matrix: csr_array, keep: np.ndarray) -> csr_array:
    """The columns ``keep`` (sorted) of ``matrix``, without the copies scipy makes."""
    from scipy.sparse import csr_array

    number = np.full(matrix.shape[1], -1, np.int32)
    number[keep] = np.arange(len(keep))
    indices = number[matrix.indices]
    chosen = indices >= 0
    indptr = running_count(chosen)[matrix.indptr]
    return csr_array((matrix.data[chosen], indices[chosen], indptr), shape=(matrix.shape[0], len(keep)))


def _trainable(noisy: csr_array, trained: int) -> np.ndarray:
    """Classes with enough images in both subsets."""
    border = noisy.indptr[trained]
    counts = {
        "train": np.bincount(noisy.indices[:border], minlength=noisy.shape[1]),
        "validation": np.bincount(noisy.indices[border:], minlength=noisy.shape[1]),
    }
    return np.flatnonzero(np.all([counts[subset] >= least for subset, least in TRAINABLE.items()], axis=0))


def read_groups(
    path: Path, ids: tuple[str, ...], classes: tuple[str, ...], names: dict[str, str]
) -> tuple[str | None, ...]:
    """The group of every class from a CSV table or a hierarchy; None where it has none.

    Args:
        names: Id -> name of the dictionary: the upper nodes of a hierarchy are known by name.

    Raises:
        NlcliError: a malformed file, a class in two groups, or no class that is known.
    """
    by_name = {name.lower(): i for i, name in enumerate(classes)} | {name: i for i, name in enumerate(ids)}
    group_of: list[str | None] = [None] * len(ids)
    if path.suffix.lower() == ".json":
        for name, group in _hierarchy_groups(read_json(path), path, names):
            place = by_name.get(name) if name.startswith("/") else by_name.get(name.lower())
            if place is not None and group_of[place] is None:
                group_of[place] = group
    else:
        for number, name, group in _group_rows(path):
            place = by_name.get(name, by_name.get(name.lower()))
            if place is None:
                continue
            if group_of[place] not in (None, group):
                raise NlcliError(
                    f"{path}, line {number}: class '{shown(name)}' is in '{group_of[place]}' and '{shown(group)}'"
                )
            group_of[place] = group
    known = sum(group is not None for group in group_of)
    if not known:
        raise NlcliError(f"{path} names none of the {len(ids):,} classes")
    say(f"{known:,} of {len(ids):,} classes have a group")
    return tuple(group_of)


def _group_rows(path: Path) -> Iterator[tuple[int, str, str]]:
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(bounded_lines(file, path), strict=True)
            for cells in reader:
                if not cells or (reader.line_num == 1 and cells[-1].strip().lower() == "group"):
                    continue
                if len(cells) != 2 or not all(cell.strip() for cell in cells):
                    raise NlcliError(
                        f"{path}, line {reader.line_num}: expected a class and a group, found {len(cells)} cells"
                    )
                yield reader.line_num, cells[0].strip(), cells[1].strip()
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise NlcliError(f"cannot read {path}: {error}") from error


def _hierarchy_groups(tree: Any, path: Path, names: dict[str, str]) -> list[tuple[str, str]]:
    """(class, group) of every node below or at a node with a group, nearest ancestor first.

    Nodes have ``LabelName``, ``Subcategory`` and ``Part`` (ids), or ``name`` and ``children``.
    """
    table = Path(str(resources.files("nlcli") / "resources" / "open_images_groups.csv"))
    upper = {name.lower(): group for _, name, group in _group_rows(table)}
    nodes: list[tuple[int, str, str]] = []
    pending: list[tuple[Any, str | None, int]] = [(tree, None, 0)]
    while pending:
        node, group, distance = pending.pop()
        name = node.get("LabelName", node.get("name")) if isinstance(node, dict) else None
        if not isinstance(name, str):
            raise NlcliError(
                f"{path}: not a class hierarchy; expected nodes with LabelName and Subcategory, or name and children"
            )
        own = upper.get(names.get(name, name).lower())
        group, distance = (own, 0) if own is not None else (group, distance + 1)
        if group is not None:
            nodes.append((distance, name, group))
        for field in ("Subcategory", "Part", "children"):
            below = node.get(field, [])
            if not isinstance(below, list):
                raise NlcliError(f"{path}: '{field}' of '{shown(name)}' is not a list")
            pending += [(child, group, distance) for child in reversed(below)]
    return [(name, group) for _, name, group in sorted(nodes, key=lambda entry: entry[0])]
