"""Labels in arrays as a label table: one label an image, or several; present, absent and nobody looked."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array, issparse, vstack

from nlcli.data.labels import FULL, NONE, PARTIAL, LabelTable, single_label_table, strings
from nlcli.data.sources.base import TEST, TRAIN, VALIDATION
from nlcli.data.sources.drawn_splits import deal_out
from nlcli.errors import printable
from nlcli.estimators.class_labels import (
    WrongArray,
    all_classes,
    class_names,
    known_labels,
    places,
    plain_labels,
)

NOWHERE = Path(os.devnull) / "arrays"
"""Where the pictures of arrays lie: below a file, so that there can be none."""


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What people said of labels, as it is given to ``fit``; see ``NoisyLabelClassifier.fit``."""

    verified: Any = None
    right: Any = None
    present: Any = None
    absent: Any = None
    validation: Any = None

    def refuse(self, names: tuple[str, ...], of: str) -> None:
        """Refuse what means nothing here.

        Raises:
            WrongArray: one of ``names`` is given.
        """
        for name in names:
            if getattr(self, name) is not None:
                raise WrongArray(f"{name} is for {of}; leave it out")


@dataclass(frozen=True, eq=False)
class LabelArrays:
    """A label table, and its classes as they were given.

    Attributes:
        classes: (C,) in the order of the table's.
        sparse: Whether labels came, and are given back, as a sparse matrix.
    """

    table: LabelTable
    classes: np.ndarray
    sparse: bool

    @property
    def several(self) -> bool:
        """Whether an image may have several labels."""
        return self.table.task == "multi-label"


def keys_of(images: int) -> list[str]:
    """A key for each row; their order is that of the rows."""
    return [f"{i:010d}" for i in range(images)]


def label_arrays(y: np.ndarray | csr_array, checked: Checked, names: Sequence[str] | None) -> LabelArrays:
    """The table of labels ``y``: (n,) classes, or (n, C) ones and zeros, sparse or not.

    Args:
        names: Of the classes, where there are several labels an image.

    Raises:
        WrongArray: another shape or type, classes that fit nothing, or too few.
    """
    return _several(y, checked, names) if y.ndim == 2 else _single(np.asarray(y), checked, names)


def _single(y: np.ndarray, checked: Checked, names: Sequence[str] | None) -> LabelArrays:
    if names is not None:
        raise WrongArray("classes names the columns of several labels an image; leave it out, as y names its own")
    checked.refuse(("present", "absent"), "several labels an image, and y holds one for each")
    images, own = len(y), np.unique(y)
    true, right = np.full(images, -1, np.int64), None
    positions, labels = np.empty(0, np.int64), own[:0]
    if checked.verified is not None:
        positions, labels = known_labels(checked.verified, images, own, "verified")
    classes = all_classes(y, labels)
    true[positions] = places(labels, classes)
    if checked.right is not None:
        right = _right(checked.right, images)
    table = single_label_table(
        class_names(classes),
        keys_of(images),
        keys_of(images),
        NOWHERE,
        _split(checked.validation, images),
        places(y, classes),
        true,
        right,
    )
    table.image_root = NOWHERE
    return LabelArrays(table, classes, sparse=False)


def _right(values: Any, images: int) -> np.ndarray:
    """int8: 1 right, 0 wrong, -1 nobody looked."""
    positions, said = known_labels(values, images, np.array([0, 1]), "right")
    if not np.isin(said.astype(np.float64), (0, 1)).all():
        raise WrongArray("right holds something else than True, False and None (nobody looked)")
    right = np.full(images, -1, np.int8)
    right[positions] = said
    return right


def _several(y: np.ndarray | csr_array, checked: Checked, names: Sequence[str] | None) -> LabelArrays:
    checked.refuse(("right",), "one label an image, and y holds several")
    shape = (int(y.shape[0]), int(y.shape[1]))
    classes = np.arange(shape[1]) if names is None else np.asarray(list(names))
    if classes.shape != (shape[1],):
        raise WrongArray(f"y has {shape[1]} columns, and classes names {len(classes)}; name each of them")
    noisy = matrix(y, shape, "y")
    present, absent = (_known(getattr(checked, name), shape, name) for name in ("present", "absent"))
    count = np.diff(present.indptr) + np.diff(absent.indptr)
    full = count == shape[1]
    if checked.verified is not None:
        full = full | rows_of(checked.verified, shape[0], "verified")
    kept = np.repeat(~full, np.diff(absent.indptr))  # of fully verified images what is not present is absent
    absent = csr_array(
        (absent.data[kept], absent.indices[kept], np.append(0, np.cumsum(np.where(full, 0, np.diff(absent.indptr))))),
        shape=shape,
    )
    table = LabelTable(
        task="multi-label",
        classes=class_names(classes),
        keys=strings(keys_of(shape[0])),
        paths=strings(keys_of(shape[0])),
        image_root=NOWHERE,
        split=_split(checked.validation, shape[0]),
        noisy=csr_array(noisy, dtype=np.float32),
        present=present,
        absent=absent,
        verification=np.where(full, FULL, np.where(count > 0, PARTIAL, NONE)).astype(np.uint8),
    )
    return LabelArrays(table, classes, sparse=issparse(y))


def _known(values: Any, shape: tuple[int, int], name: str) -> csr_array:
    return csr_array(shape, dtype=np.uint8) if values is None else matrix(values, shape, name)


def matrix(values: Any, shape: tuple[int, int], name: str) -> csr_array:
    """``values`` (n, C), ones and zeros or booleans, sparse or not, as CSR without stored zeros.

    Raises:
        WrongArray: another shape, or another value.
    """
    if not issparse(values):
        values = np.asarray(values)
        if values.shape != shape:
            raise WrongArray(f"{name} has shape {values.shape}, expected {shape}")
    if values.shape != shape:
        raise WrongArray(f"{name} has shape {values.shape}, expected {shape}")
    sparse = csr_array(values)
    sparse.sum_duplicates()
    sparse.eliminate_zeros()
    if not (sparse.data == 1).all():
        raise WrongArray(f"{name} holds something else than ones and zeros")
    return csr_array((np.ones(sparse.nnz, np.uint8), sparse.indices, sparse.indptr), shape=shape)


def rows_of(values: Any, images: int, name: str) -> np.ndarray:
    """(n,) bool of ``values``, booleans or ones and zeros.

    Raises:
        WrongArray: another shape or another value.
    """
    given = np.asarray(values)
    if given.shape != (images,) or given.dtype.kind not in "biuf" or not np.isin(given, (0, 1)).all():
        raise WrongArray(f"{name} has to be {images:,} booleans, one a row")
    return given.astype(bool)


def _split(validation: Any, images: int) -> np.ndarray:
    if validation is None:
        return np.full(images, TRAIN, np.int8)
    return np.where(rows_of(validation, images, "validation"), VALIDATION, TRAIN).astype(np.int8)


def with_new_rows(labels: LabelArrays, y: Any, rows: int) -> LabelArrays:
    """``labels`` with ``rows`` more below them that belong to test: nothing is learned from those.

    Args:
        y: Their noisy labels, as ``fit`` took them.

    Raises:
        WrongArray: another shape, or a class that ``labels`` have not.
    """
    table = labels.table
    added = _new_labels(labels, y, rows)
    nothing = csr_array(added.shape, dtype=np.uint8)
    names = strings(keys_of(len(table) + rows))
    new = np.zeros(rows, np.int8)
    return replace(
        labels,
        table=replace(
            table,
            keys=names,
            paths=names,
            split=np.concatenate([table.split, (new + TEST).astype(table.split.dtype)]),
            verification=np.concatenate([table.verification, (new + NONE).astype(table.verification.dtype)]),
            noisy=csr_array(vstack([table.noisy, added.astype(table.noisy.dtype)], format="csr")),
            present=csr_array(vstack([table.present, nothing], format="csr")),
            absent=csr_array(vstack([table.absent, nothing], format="csr")),
        ),
    )


def _new_labels(labels: LabelArrays, y: Any, rows: int) -> csr_array:
    """(rows, C) ones where ``y`` has a label."""
    classes = labels.classes
    if labels.several:
        return matrix(y, (rows, len(classes)), "y")
    given = plain_labels(np.asarray(y))
    if given.shape != (rows,):
        raise WrongArray(f"y has shape {given.shape}, and X has {rows:,} rows; give a label for each")
    unknown = np.flatnonzero(~np.isin(given, classes))
    if len(unknown):
        shown = printable(repr(given[unknown[0]].item()))
        raise WrongArray(f"y holds {shown}, which is no class of the labels that the detector was fitted to")
    ones = np.ones(rows, np.uint8)
    return csr_array((ones, places(given, classes), np.arange(rows + 1)), shape=(rows, len(classes)))


def draw_validation(table: LabelTable, share: float, seed: int) -> None:
    """Draw ``share`` of the verified rows for validation, in place, every class that has two among them."""
    rows = np.flatnonzero(table.verification > NONE)
    alone = np.full(len(rows), -1, np.int64)
    table.split[rows] = deal_out(table.present[rows], table.keys[rows], alone, (share, 0.0), seed)
