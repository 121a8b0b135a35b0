"""Class maps: from the vocabulary of a classifier to the classes of a data set.

A map is a CSV file with the columns ``source_index, source_id, source_name, target_name``, one row
a source class that means something in the data set; source classes without a row are dropped.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nlcli.errors import NlcliError, unknown_name
from nlcli.stages.text_lines import bounded_lines

if TYPE_CHECKING:
    from scipy.sparse import csr_array

COLUMNS = ("source_index", "source_id", "source_name", "target_name")
SHIPPED = {"imagenet-coco56": "imagenet_to_coco56.csv"}


@dataclass(frozen=True)
class ClassMap:
    """Rows of a class map; entry ``i`` of every field belongs to one source class."""

    name: str
    source_index: np.ndarray
    source_id: tuple[str, ...]
    source_name: tuple[str, ...]
    target_name: tuple[str, ...]

    @property
    def targets(self) -> tuple[str, ...]:
        """The target classes, each once, in the order of their first row."""
        return tuple(dict.fromkeys(self.target_name))

    def check_source(self, num_classes: int) -> None:
        """Refuse a map that names a class the classifier does not have."""
        beyond = np.flatnonzero(self.source_index >= num_classes)
        if len(beyond):
            row = int(beyond[0])
            raise NlcliError(
                f"class map {self.name}: source index {self.source_index[row]} ('{self.source_name[row]}') is "
                f"beyond the classifier's {num_classes} classes; this map is for another classifier"
            )

    def check_targets(self, classes: Sequence[str]) -> None:
        """Refuse a map with a target that is not among ``classes``."""
        known = set(classes)
        for target in self.targets:
            if target not in known:
                raise NlcliError(f"class map {self.name}: {unknown_name(target, classes, 'category')}")

    def apply(self, indices: np.ndarray, scores: np.ndarray, classes: Sequence[str]) -> csr_array:
        """Noisy labels of images from a classifier's predictions.

        Args:
            indices: (N, k) int source classes predicted for each image; negative entries are none.
            scores: (N, k) float probabilities of them.
            classes: The C target classes in the data set's order.

        Returns:
            (N, C) float32 CSR; the highest score of the predictions that map to the class.
            Predictions without a row in the map are dropped.
        """
        from scipy.sparse import csr_array

        position = {name: i for i, name in enumerate(classes)}
        size = int(max(indices.max(initial=0), self.source_index.max(initial=0))) + 1
        lookup = np.full(size, -1, np.int64)
        lookup[self.source_index] = [position[name] for name in self.target_name]
        target = np.where(indices >= 0, lookup[np.maximum(indices, 0)], -1)
        row, column = np.nonzero(target >= 0)
        cls, score = target[row, column], scores[row, column].astype(np.float32)
        order = np.lexsort((-score, cls, row))  # the best score of each (image, class) comes first
        row, cls, score = row[order], cls[order], score[order]
        first = np.ones(len(row), bool)
        first[1:] = (row[1:] != row[:-1]) | (cls[1:] != cls[:-1])
        return csr_array((score[first], (row[first], cls[first])), shape=(len(indices), len(classes)))


def class_map_path(name: str) -> Path:
    """Where the shipped map ``name`` lies, or ``name`` as the path of a CSV file."""
    if name in SHIPPED:
        return Path(str(resources.files("nlcli") / "resources" / SHIPPED[name]))
    path = Path(name)
    if not path.is_file():
        raise NlcliError(f"class map '{name}' is neither a file nor a shipped map ({', '.join(sorted(SHIPPED))})")
    return path


def read_class_map(name: str) -> ClassMap:
    """The class map of that name or at that path.

    Raises:
        NlcliError: with the line, for a missing column, an index that is not a number from 0 on, a
            repeated index, or an empty name.
    """
    path = class_map_path(name)
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            lines = list(csv.reader(bounded_lines(file, path)))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise NlcliError(f"cannot read class map {path}: {error}") from error
    if not lines or tuple(cell.strip() for cell in lines[0]) != COLUMNS:
        raise NlcliError(f"class map {path}: the first line must be {','.join(COLUMNS)}")
    rows: list[tuple[int, str, str, str]] = []
    line_of: dict[int, int] = {}
    for number, cells in enumerate(lines[1:], start=2):
        if not cells:
            continue
        if len(cells) != len(COLUMNS):
            raise NlcliError(f"class map {path}, line {number}: {len(cells)} cells, expected {len(COLUMNS)}")
        index, source_id, source_name, target = (cell.strip() for cell in cells)
        if not index.isascii() or not index.isdigit() or len(index) > 9:
            raise NlcliError(f"class map {path}, line {number}: source_index '{index}' is not a number from 0 on")
        if int(index) in line_of:
            raise NlcliError(
                f"class map {path}, line {number}: source_index {index} is already mapped in line {line_of[int(index)]}"
            )
        if not target:
            raise NlcliError(f"class map {path}, line {number}: target_name is empty; leave the row out instead")
        line_of[int(index)] = number
        rows.append((int(index), source_id, source_name, target))
    if not rows:
        raise NlcliError(f"class map {path} has no rows")
    columns = list(zip(*rows, strict=True))
    return ClassMap(name, np.asarray(columns[0], np.int64), columns[1], columns[2], columns[3])
