"""Verification labels (Lee 2018 eq. 1), and the classes whose verification is held out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nlcli.data.labels import FULL, NONE, PARTIAL, LabelTable, choose_clean, noisy_classes
from nlcli.data.lists import read_names
from nlcli.errors import NlcliError, unknown_name
from nlcli.seeds import stream

RIGHT, WRONG, UNVERIFIED = 1, 0, -1


def verification_labels(table: LabelTable) -> np.ndarray:
    """Lee 2018 eq. 1 for every image: int8 (N,), 1 its noisy label is right, 0 wrong, -1 not known.

    A known true class tells as much as a verified noisy label does; an image without a noisy label
    has -1.
    """
    noisy = (table.noisy > 0).astype(np.uint8)
    right = np.asarray(table.present.multiply(noisy).sum(axis=1)).ravel() > 0
    wrong = np.asarray(table.absent.multiply(noisy).sum(axis=1)).ravel() > 0
    known = np.diff(table.present.indptr) > 0  # an image has one class: another one is not its
    label = np.full(len(table), UNVERIFIED, np.int8)
    has_noisy = np.diff(table.noisy.indptr) > 0
    label[has_noisy & (wrong | known | (table.verification == FULL))] = WRONG
    label[has_noisy & right] = RIGHT
    return label


def visible_labels(table: LabelTable, fraction: float, seed: int, withheld_classes: np.ndarray) -> np.ndarray:
    """``verification_labels`` that a detection may use: int8 (N,), -1 for all others.

    Args:
        fraction, seed: Of the clean set, outside which no training image counts as verified.
        withheld_classes: (C,) bool, classes whose verification is withheld. That of test always is.
    """
    label, noisy, train = verification_labels(table), noisy_classes(table), table.rows("train")
    label[withheld_classes[noisy]] = UNVERIFIED
    verified = (table.verification[train] > NONE).any()
    label[np.setdiff1d(train, choose_clean(table, fraction, seed) if verified else train[:0])] = UNVERIFIED
    label[table.rows("test")] = UNVERIFIED
    return label


def visible_classes(table: LabelTable, label: np.ndarray, withheld_classes: np.ndarray) -> np.ndarray:
    """True class of the images whose noisy label is visibly right or wrong: int64 (N,), -1 where it is not known.

    Args:
        label: (N,) as ``visible_labels`` has it.
        withheld_classes: (C,) bool. That an image is one of such a class is verification of that class: it is not told.
    """
    noisy = noisy_classes(table)
    true = np.where(label == RIGHT, noisy, -1)
    known = np.flatnonzero((label == WRONG) & (np.diff(table.present.indptr) == 1))
    classes = table.present.indices[table.present.indptr[known]]
    told = (classes != noisy[known]) & ~withheld_classes[classes]
    true[known[told]] = classes[told]
    return true


def withheld(table: LabelTable, label: np.ndarray) -> LabelTable:
    """``table`` with no other verification than ``label`` (N,): what a detector may know.

    A verified image becomes a partly verified one whose noisy class is present or absent; true
    classes other than the noisy one are gone (``visible_classes`` has those that may be seen).
    """
    from scipy.sparse import csr_array

    noisy = noisy_classes(table)

    def entries(kind: int) -> Any:
        rows = np.flatnonzero(label == kind)
        shape = (len(table), table.num_classes)
        return csr_array((np.ones(len(rows), np.uint8), (rows, noisy[rows])), shape=shape)

    verification = np.where(label == UNVERIFIED, NONE, PARTIAL).astype(np.uint8)
    return replace(table, present=entries(RIGHT), absent=entries(WRONG), verification=verification)


def draw_held_out(classes: tuple[str, ...], count: int, seed: int) -> tuple[str, ...]:
    """``count`` of ``classes`` in their order, drawn by ``seed``: those of a smaller count are among them.

    The draw depends on the names, not on their order.

    Raises:
        NlcliError: there are not more classes than that.
    """
    if count >= len(classes):
        raise NlcliError(f"--hold-out {count}: the data set has {len(classes)} classes, and one must stay verified")
    order = stream(seed, "held-out").permutation(len(classes))
    chosen = {sorted(classes)[i] for i in order[:count]}
    return tuple(name for name in classes if name in chosen)


def read_held_out(path: Path, classes: tuple[str, ...]) -> tuple[str, ...]:
    """The classes that the file at ``path`` names, one a line, in the order of ``classes``.

    Raises:
        NlcliError: the file cannot be read, or names another class or all of them.
    """
    named = set(read_names(path))
    strange = sorted(named - set(classes))
    if strange:
        raise NlcliError(f"{path}: {unknown_name(strange[0], classes, 'class')}")
    if len(named) == len(classes):
        raise NlcliError(f"{path} names all {len(classes)} classes, and one must stay verified")
    return tuple(name for name in classes if name in named)
