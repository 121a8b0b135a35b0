"""COCO's instance annotations, read and checked."""

from __future__ import annotations

import contextlib
import gc
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nlcli.console import say
from nlcli.data.lists import is_inside, plain_path
from nlcli.errors import NlcliError
from nlcli.stages.files import read_json

# --- annotations -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Instances:
    """What labels need of an ``instances_*.json``; images are sorted by file name.

    Attributes:
        path: The file.
        names: (N,) file names relative to the image folder.
        categories: Name -> (id, supercategory or None), in the order of ids.
        shown: Category id -> rows of ``names`` with an object of it, sorted, each once.
        objects: Number of annotations.
        crowds: How many of them are crowds.
        left_out: Names that the file lists, too, but a limit leaves out.
    """

    path: Path
    names: list[str]
    categories: dict[str, tuple[int, str | None]]
    shown: dict[int, np.ndarray]
    objects: int
    crowds: int
    left_out: frozenset[str] = frozenset()

    def limited(self, most: int | None, seed: int) -> Instances:
        """At most ``most`` images, drawn by the seed; fewer are among those of a larger limit."""
        if most is None or most >= len(self.names):
            return self
        order = np.random.default_rng([seed, 0x6C696D]).permutation(len(self.names))
        kept = np.sort(order[:most])
        row = np.full(len(self.names), -1, np.int64)
        row[kept] = np.arange(most)
        names = [self.names[i] for i in kept]
        shown = {category: row[rows][row[rows] >= 0] for category, rows in self.shown.items()}
        return replace(self, names=names, shown=shown, left_out=frozenset(self.names) - frozenset(names))


def read_instances(path: Path) -> Instances:
    """Read and check a file of COCO object annotations, through pycocotools.

    Raises:
        NlcliError: malformed JSON (with the line), a field that is missing or of the wrong type,
            repeated images or categories, an annotation of an image or category that is not
            listed, or a file name that leads out of the image folder.
    """
    say(f"reading {path}")
    # Millions of objects are made and none of them is garbage until all of them are, at the end of _read.
    with _without_garbage_collection():
        return _read(path)


def _read(path: Path) -> Instances:
    content = read_json(path)
    if not isinstance(content, dict):
        raise NlcliError(f"{path}: expected COCO's object with images, annotations and categories")
    for part in ("images", "annotations", "categories"):
        if not isinstance(content.get(part), list):
            raise NlcliError(f"{path}: there is no list '{part}'; expected COCO's instances_*.json")
    ids = _column(path, content, "images", "id", int)
    names = [plain_path(name) for name in _column(path, content, "images", "file_name", str)]
    category_ids = _column(path, content, "categories", "id", int)
    category_names = [name.strip() for name in _column(path, content, "categories", "name", str)]
    for number, entry in enumerate(content["annotations"], start=1):  # pycocotools alone needs them
        if isinstance(entry, dict):
            entry["id"] = number
    image_ids = _integers(path, "annotations", _column(path, content, "annotations", "image_id", int))
    object_categories = _integers(path, "annotations", _column(path, content, "annotations", "category_id", int))
    _refuse_repeated(path, "image id", ids)
    _refuse_repeated(path, "image file name", names)
    _refuse_repeated(path, "category id", category_ids)
    _refuse_repeated(path, "category name", category_names)
    for name in names:
        if not is_inside(name):
            if is_inside(name.replace("\\", "/")):
                raise NlcliError(f"{path}: image file name {name!r} has backslashes; write / between folders")
            raise NlcliError(f"{path}: image file name {name!r} leads out of the image folder; refused")
    known_images, known_categories = (_integers(path, "id", listed) for listed in (ids, category_ids))
    _refuse_unknown(path, content, "image_id", image_ids, known_images, "image")
    _refuse_unknown(path, content, "category_id", object_categories, known_categories, "category")

    from pycocotools.coco import COCO

    coco = COCO()
    coco.dataset = content
    with contextlib.redirect_stdout(io.StringIO()):  # it prints how it is getting on
        coco.createIndex()
    order = np.asarray(sorted(range(len(names)), key=names.__getitem__), np.int64)
    rows = np.empty(len(ids), np.int64)
    rows[order] = np.arange(len(order))  # position in the file -> row
    by_id = np.argsort(known_images)
    sorted_ids = known_images[by_id]
    shown = {}
    for category in category_ids:
        # One image id an object, so an image occurs as often as it has objects of the category.
        with_it = np.unique(np.asarray(coco.catToImgs.get(category, ()), np.int64))
        shown[category] = np.sort(rows[by_id[np.searchsorted(sorted_ids, with_it)]])
    supers = [entry.get("supercategory") for entry in content["categories"]]
    categories = {
        name: (category, group if isinstance(group, str) else None)
        for category, name, group in sorted(zip(category_ids, category_names, supers, strict=True))
    }
    crowds = sum(1 for entry in content["annotations"] if entry.get("iscrowd"))
    return Instances(path, [names[i] for i in order], categories, shown, len(image_ids), crowds)


@contextlib.contextmanager
def _without_garbage_collection() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _column(path: Path, content: dict[str, Any], part: str, field: str, kind: type) -> list[Any]:
    """``field`` of every entry of ``part``; the first that lacks it or has another type is named.

    Whole numbers with a fraction, as pandas writes a column with gaps, are made integers, in ``content`` too.
    """
    entries = content[part]
    try:
        values = [entry[field] for entry in entries]
        if set(map(type, values)) <= {kind}:
            return values
    except (KeyError, TypeError, IndexError):
        pass
    for number, entry in enumerate(entries):
        where = f"{path}: {part}[{number}]"
        if not isinstance(entry, dict):
            raise NlcliError(f"{where} is not an object; expected COCO's instances_*.json")
        if field not in entry:
            raise NlcliError(f"{where} has no '{field}'; expected COCO's instances_*.json")
        if kind is int and type(entry[field]) is float and entry[field].is_integer():
            entry[field] = int(entry[field])
        if type(entry[field]) is not kind:
            wanted = "a whole number" if kind is int else "a text"
            raise NlcliError(f"{where}: '{field}' is {str(entry[field])[:60]!r}, expected {wanted}")
    return [entry[field] for entry in entries]


def _integers(path: Path, part: str, values: Sequence[int]) -> np.ndarray:
    try:
        return np.asarray(values, np.int64)
    except OverflowError as error:
        raise NlcliError(f"{path}: {part} has a number that is too large for an id") from error


def _refuse_repeated(path: Path, what: str, values: Sequence[Any]) -> None:
    if len(set(values)) == len(values):
        return
    seen: set[Any] = set()
    for value in values:
        if value in seen:
            raise NlcliError(f"{path}: {what} {value!r} is listed twice; each must be listed once")
        seen.add(value)


def _refuse_unknown(
    path: Path, content: dict[str, Any], field: str, values: np.ndarray, known: np.ndarray, what: str
) -> None:
    strangers = np.flatnonzero(~np.isin(values, known))
    if len(strangers):
        first = int(strangers[0])
        more = f" (and {len(strangers) - 1:,} more like it)" if len(strangers) > 1 else ""
        raise NlcliError(
            f"{path}: annotation {content['annotations'][first]['id']} names {field} {values[first]}, but no such "
            f"{what} is listed{more}; the file is not whole"
        )
