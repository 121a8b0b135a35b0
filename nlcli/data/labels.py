"""The label table: noisy, verified-present and verified-absent labels of every image.

Labels have three states everywhere: verified present, verified absent, unverified. One table
holds them for every data set as sparse matrices, never as a dense (N, C) array:

========== ============== ===================================================================
COCO       fully verified every class of every image is known; absent ones are not stored
Open       partial        only the stored present and absent entries are known
Food-101N  partial        the one noisy label is known to be right (present) or wrong (absent)
========== ============== ===================================================================

On disk a data set is ``dataset.json`` and ``images.parquet``, one row an image.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nlcli.errors import NlcliError
from nlcli.metrics.decisions import confusion_matrix
from nlcli.stages.files import fingerprint_json

if TYPE_CHECKING:
    from scipy.sparse import csr_array

SPLITS = ("train", "validation", "test")
NONE, PARTIAL, FULL = 0, 1, 2
_DENSE_ROWS = 4096
VERIFICATION = ("none", "partial", "full")
Task = Literal["multi-label", "single-label"]


@dataclass(eq=False)
class LabelTable:
    """Images of a data set with their labels; row ``i`` is the same image in every field.

    Attributes:
        task: Whether an image has one class or several.
        classes: C class names; a column of the matrices each.
        groups: For every class its group (a high-level category) or None; None without groups.
        keys: (N,) unique strings naming the images.
        paths: (N,) file paths relative to ``image_root``.
        image_root: Folder that the paths are relative to.
        split: (N,) int8, index into ``SPLITS``.
        noisy: (N, C) float32 CSR; the confidence of each noisy label, 1 where none is known.
        present: (N, C) uint8 CSR; 1 where a person saw the class.
        absent: (N, C) uint8 CSR; 1 where a person saw that the class is not there. Empty for
            fully verified images, where every class that is not present is absent.
        verification: (N,) uint8: 0 none, 1 partial, 2 full.
        info: What else ``dataset.json`` says: name, source, counts.
        fingerprint: Of the stage that wrote the table; empty for one made in memory.
    """

    task: Task
    classes: tuple[str, ...]
    keys: np.ndarray
    paths: np.ndarray
    image_root: Path
    split: np.ndarray
    noisy: csr_array
    present: csr_array
    absent: csr_array
    verification: np.ndarray
    groups: tuple[str | None, ...] | None = None
    info: dict[str, Any] = field(default_factory=dict)
    fingerprint: str = ""

    def __post_init__(self) -> None:
        shape = (len(self.keys), len(self.classes))
        for name in ("noisy", "present", "absent"):
            matrix = getattr(self, name)
            if matrix.shape != shape:
                raise ValueError(f"{name} has shape {matrix.shape}, expected {shape}")
            matrix.sum_duplicates()  # sorts the indices, too: rows read the same from any source
        repeated = _first_repeated(self.classes)
        if repeated is not None:
            raise NlcliError(f"class '{repeated}' is listed twice; class names must be unique")
        repeated = _first_repeated(self.keys)
        if repeated is not None:
            raise NlcliError(f"image key '{repeated}' occurs twice; keys must be unique")
        both = self.present.multiply(self.absent)
        if both.nnz:
            row, column = (int(axis[0]) for axis in both.nonzero())
            raise NlcliError(
                f"image '{self.keys[row]}' has class '{self.classes[column]}' verified both present and "
                "absent; keep one of the two"
            )

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def num_classes(self) -> int:
        """C, the number of classes."""
        return len(self.classes)

    def rows(self, split: str) -> np.ndarray:
        """int64 rows of ``split`` in table order."""
        return np.flatnonzero(self.split == SPLITS.index(split)).astype(np.int64)

    def image_path(self, row: int) -> Path:
        """Where the image of ``row`` lies."""
        return self.image_root / str(self.paths[row])

    def noisy_targets(self, rows: np.ndarray) -> np.ndarray:
        """Noisy labels ``y`` of ``rows``: (n, C) uint8 in {0, 1}."""
        return np.asarray((self.noisy[rows] > 0).toarray(), np.uint8)

    def verified_targets(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Verified labels ``v`` and their mask ``m`` of ``rows``: two (n, C) uint8 arrays.

        ``m`` is 1 where a person looked at that class on that image.
        """
        v = self.present[rows].toarray()
        m: np.ndarray = np.maximum(v, self.absent[rows].toarray())
        m[self.verification[rows] == FULL] = 1
        return np.asarray(v, np.uint8), np.asarray(m, np.uint8)

    def verified_matrices(self, rows: np.ndarray, wanted: np.ndarray) -> tuple[csr_array, csr_array]:
        """The same as two (n, C) CSR arrays, with nothing in rows that are not ``wanted`` (n,) bool."""
        from scipy.sparse import csr_array, vstack

        v, m = [csr_array((0, self.num_classes), dtype=np.uint8)], [csr_array((0, self.num_classes), dtype=np.uint8)]
        for first in range(0, len(rows), _DENSE_ROWS):
            targets, mask = self.verified_targets(rows[first : first + _DENSE_ROWS])
            chosen = wanted[first : first + _DENSE_ROWS, None]
            v.append(csr_array(targets * chosen))
            m.append(csr_array(mask * chosen))
        return csr_array(vstack(v)), csr_array(vstack(m))

    def verified_entries(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Every verified (image, class) entry of ``rows``, sorted by image and class.

        Returns:
            Position in ``rows`` (int64), class (int64), and whether it is present (bool); each of
            the length of the number of verified entries. Memory is proportional to that number.
        """
        rows = np.asarray(rows)
        full = np.equal(self.verification[rows], FULL)
        parts = []
        for matrix, label in ((self.present, True), (self.absent, False)):
            part = matrix[rows].tocoo()
            counts = np.flatnonzero(np.asarray(part.data > 0) & (label | ~full[part.row]))
            parts.append((part.row[counts], part.col[counts], np.full(len(counts), label)))
        where = np.flatnonzero(full)
        if len(where):
            missing = self.present[rows[where]].toarray() == 0
            row, column = np.nonzero(missing)
            parts.append((where[row], column, np.zeros(len(row), bool)))
        position, column, labels = (np.concatenate([part[i] for part in parts]) for i in range(3))
        order = np.lexsort((column, position))
        return position[order].astype(np.int64), column[order].astype(np.int64), labels[order].astype(bool)


_MANY = 100_000


def _first_repeated(names: Sequence[str] | np.ndarray) -> str | None:
    if len(names) > _MANY:  # a set of millions of strings is large: only where two have the same number is one made
        numbers = np.sort(np.fromiter(map(hash, names), np.int64, len(names)))
        if (np.diff(numbers) > 0).all():
            return None
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def matrix_from_lists(lists: Sequence[Sequence[int]], num_classes: int, values: Any = None) -> csr_array:
    """CSR matrix (N, C) with an entry for every class index in the list of each image.

    Args:
        lists: For every image its class indices.
        num_classes: C.
        values: For every image the values of its entries (float32); ones (uint8) when None.
    """
    from scipy.sparse import csr_array

    lengths = np.fromiter((len(entry) for entry in lists), np.int64, len(lists))
    indptr = np.concatenate(([0], np.cumsum(lengths)))
    indices = np.fromiter((c for entry in lists for c in entry), np.int32, int(indptr[-1]))
    if values is None:
        data = np.ones(len(indices), np.uint8)
    else:
        data = np.fromiter((x for entry in values for x in entry), np.float32, len(indices))
    return csr_array((data, indices, indptr), shape=(len(lists), num_classes))


def verified_pairs(table: LabelTable, rows: np.ndarray) -> np.ndarray:
    """How many of ``rows`` have each pair of a true and a noisy class: (C, C) int64, true class by row.

    Rows that are fully verified and have one true and one noisy class count. Those of which only is
    known whether the noisy label is right do not: a right one would tell its pair and a wrong one
    nothing, as if there were no noise.
    """
    return confusion_matrix(*paired_classes(table, rows), table.num_classes)


def paired_classes(table: LabelTable, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The true and the noisy class of those of ``rows`` that ``verified_pairs`` counts: two integer arrays."""
    rows = rows[table.verification[rows] == FULL]
    present, noisy = table.present[rows] > 0, table.noisy[rows] > 0
    single = (np.diff(present.indptr) == 1) & (np.diff(noisy.indptr) == 1)
    return present[single].indices, noisy[single].indices


def take_rows(table: LabelTable, rows: np.ndarray) -> LabelTable:
    """The images ``rows`` of ``table``, in that order."""
    names = ("keys", "paths", "split", "noisy", "present", "absent", "verification")
    return replace(table, **{name: getattr(table, name)[rows] for name in names}, info={}, fingerprint="")


def choose_clean(table: LabelTable, fraction: float, seed: int) -> np.ndarray:
    """The clean set V: rows of train whose verified labels may be used, sorted (int64).

    Drawn from the training images with any verification by a permutation that depends on ``seed``
    and their keys alone. So every method with the same seed gets the same images, and those of a
    smaller fraction are among those of a larger one.

    Raises:
        NlcliError: no training image is verified.
    """
    rows = table.rows("train")
    rows = rows[table.verification[rows] > NONE]
    if not len(rows):
        raise NlcliError(
            "the clean set is empty: no training image has a verified label; add verified labels to the data "
            "set, or use a method that needs none (noisy)"
        )
    order = np.argsort(table.keys[rows], kind="stable")  # independent of the table's order
    order = order[np.random.default_rng([seed, 0x636C65616E]).permutation(len(rows))]
    count = max(1, round(fraction * len(rows)))
    return np.sort(rows[order[:count]])


def clean_set_record(table: LabelTable, rows: np.ndarray) -> dict[str, Any]:
    """What a result says about the clean labels it used: how many images, and a hash of their keys."""
    return {"images": len(rows), "keys": fingerprint_json(sorted(table.keys[rows].tolist()))}


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
    array = np.empty(len(values), object)
    array[:] = values
    return array


def single_label_table(
    classes: Sequence[str],
    keys: Sequence[str],
    paths: Sequence[str],
    root: Path,
    split: np.ndarray,
    noisy: np.ndarray,
    true: np.ndarray,
    right: np.ndarray | None = None,
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
        task="single-label",
        classes=tuple(classes),
        keys=strings(keys),
        paths=strings(paths),
        image_root=Path(os.path.abspath(root)),
        split=split.astype(np.int8),
        noisy=one_label(noisy, num_classes, np.float32),
        present=one_label(present, num_classes),
        absent=one_label(absent, num_classes),
        verification=verification,
    )


# --- classes of a table ----------------------------------------------------------------------


def true_classes(table: LabelTable) -> np.ndarray:
    """The true class of every image, -1 where it is not known: int64 (N,).

    Raises:
        NlcliError: not a single-label data set.
    """
    if table.task != "single-label":
        raise NlcliError("noise is planted into single-label data sets only; this one is multi-label")
    return np.where(table.verification == FULL, only_class(table.present), -1)


def noisy_classes(table: LabelTable) -> np.ndarray:
    """The noisy class of every image, -1 where it has none: int64 (N,)."""
    return only_class(table.noisy)


def only_class(matrix: csr_array) -> np.ndarray:
    """The first class of every row of a matrix (N, C), -1 where it has none: int64 (N,)."""
    classes = np.full(matrix.shape[0], -1, np.int64)
    some = np.diff(matrix.indptr) > 0
    classes[some] = matrix.indices[matrix.indptr[:-1][some]]
    return classes
