"""Changes of labels that are proposed, one an image and class, whatever proposes them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

import numpy as np

from nlcli.data.labels import FULL, LabelTable, noisy_classes, only_class, true_classes
from nlcli.metrics.arrays import Bools, Floats, Ints

NONE = -1
"""No class: of a label that is taken away there is no new one, of a tag that is added no old one."""
REPLACE, REMOVE, ADD = KINDS = ("replace", "remove", "add")
MOST_ADDED = 10
"""Tags of an image that are proposed to be added, at most."""
_WRONG, _RIGHT, _UNKNOWN = 0, 1, -1


@dataclass(frozen=True, eq=False, kw_only=True)
class Proposals:
    """Entry ``i`` of every field is the same proposed change.

    Attributes:
        row: (n,) int64 row of the label table.
        old: (n,) int64 class of the label that goes, ``NONE`` where a tag is added.
        new: (n,) int64 class of the label that comes, ``NONE`` where one is taken away.
        probability: (n,) float64 that the change is right.
        right: (n,) int8: 1 if a person's word says that it is right, 0 wrong; -1 where nobody's word may be used.
        runner_up: (n,) int64 the next likely class of the image, ``NONE`` where it is not told.
    """

    row: Ints
    old: Ints
    new: Ints
    probability: Floats
    right: np.ndarray
    runner_up: Ints

    def __len__(self) -> int:
        return len(self.row)

    @property
    def kind(self) -> Ints:
        """(n,) index into ``KINDS``."""
        kind: Ints = np.where(self.old == NONE, 2, np.where(self.new == NONE, 1, 0))
        return kind

    def where(self, which: np.ndarray) -> Proposals:
        """Those that ``which`` (a mask, or positions) names."""
        return Proposals(**{entry.name: getattr(self, entry.name)[which] for entry in fields(self)})

    def judged_without(self, images: Bools) -> Proposals:
        """The same proposals, with no person's word on those images of the table that ``images`` (N,) marks."""
        return replace(self, right=np.where(images[self.row], _UNKNOWN, self.right).astype(np.int8))


def joined(parts: Iterable[Proposals]) -> Proposals:
    """All of ``parts``, one behind the other; none of no parts."""
    several = list(parts) or [make_proposals([], [], [], [])]
    return Proposals(
        **{entry.name: np.concatenate([getattr(part, entry.name) for part in several]) for entry in fields(Proposals)}
    )


def make_proposals(
    row: object, old: object, new: object, probability: object, right: object = None, runner_up: object = None
) -> Proposals:
    """Proposals of arrays or numbers that are repeated; ``right`` and ``runner_up`` may be unknown."""
    rows = np.asarray(row, np.int64)

    def whole(values: object, kind: type) -> np.ndarray:
        return np.broadcast_to(np.asarray(values, kind), rows.shape).copy()

    return Proposals(
        row=rows,
        old=whole(old, np.int64),
        new=whole(new, np.int64),
        probability=whole(probability, np.float64),
        right=whole(_UNKNOWN if right is None else right, np.int8),
        runner_up=whole(NONE if runner_up is None else runner_up, np.int64),
    )


# --- by a person's word ----------------------------------------------------------------------


def persons_changes(table: LabelTable, rows: Ints) -> Proposals:
    """What the verified labels of ``rows`` say against their noisy ones: certain, and right by definition.

    A noisy label of an image of several labels goes where its class is verified absent, and one comes where it is
    verified present. That of a single label becomes the true class where it is known; called wrong only, it goes.
    """
    given = _keys(table.noisy, rows, table.num_classes)
    present = _keys(table.present, rows, table.num_classes)
    if table.task == "single-label":
        noisy, true = noisy_classes(table)[rows], only_class(table.present)[rows]
        denied = _keys(table.absent, rows, table.num_classes)
        wrong = (noisy >= 0) & np.isin(rows * table.num_classes + noisy, denied)
        differs = (noisy >= 0) & (true >= 0) & (noisy != true)
        parts = [
            make_proposals(rows[differs], noisy[differs], true[differs], 1.0, _RIGHT),
            make_proposals(rows[wrong & ~differs], noisy[wrong & ~differs], NONE, 1.0, _RIGHT),
        ]
        return joined(parts)
    full = np.zeros(len(table), bool)
    full[rows] = table.verification[rows] == FULL
    absent = np.isin(given, _keys(table.absent, rows, table.num_classes))
    gone = given[absent | (full[given // table.num_classes] & ~np.isin(given, present))]
    come = np.setdiff1d(present, given)
    count = table.num_classes
    return joined(
        [
            make_proposals(gone // count, gone % count, NONE, 1.0, _RIGHT),
            make_proposals(come // count, NONE, come % count, 1.0, _RIGHT),
        ]
    )


def _keys(matrix: object, rows: Ints, num_classes: int) -> Ints:
    """``row * C + class`` of every positive entry of ``rows``, sorted as the rows are."""
    part = matrix[rows]  # type: ignore[index]
    position = np.repeat(np.arange(len(rows)), np.diff(part.indptr))
    positive = np.asarray(part.data > 0)
    keys: Ints = rows[position[positive]] * num_classes + part.indices[positive].astype(np.int64)
    return keys


# --- of single labels ------------------------------------------------------------------------


def replacements(
    table: LabelTable,
    row: Ints,
    own: Floats,
    suggested: Ints,
    probability: Floats,
    told: Bools,
    runner_up: Ints | None = None,
) -> Proposals:
    """Labels of ``row`` for which another class is likelier.

    Args:
        own: (n,) probability that the noisy label is right.
        suggested: (n,) another class, ``NONE`` without one.
        probability: (n,) that it is the image's.
        told: (N,) images of the table whose verified labels may judge proposals. An image of which is known only
            whether its noisy label is right judges none: where it is wrong, nothing says which class would be right.
    """
    noisy = noisy_classes(table)[row]
    likelier = (suggested >= 0) & (suggested != noisy) & (probability > np.nan_to_num(own, nan=0.0))
    true = np.where(told, true_classes(table), NONE)[row]
    right = np.where(true >= 0, true == suggested, _UNKNOWN)
    everything = make_proposals(row, noisy, suggested, probability, right, NONE if runner_up is None else runner_up)
    return everything.where(likelier)


def rejections(table: LabelTable, row: Ints, own: Floats, verified: np.ndarray) -> Proposals:
    """Labels of ``row`` that are likelier wrong than right, to be taken away.

    Args:
        verified: (N,) int8, of every image of the table: 1 if its noisy label is right, 0 if it is wrong, -1 where
            that is not known or may not be used.
    """
    noisy, word = noisy_classes(table)[row], verified[row]
    right = np.where(word == _UNKNOWN, _UNKNOWN, word == _WRONG)
    return make_proposals(row, noisy, NONE, 1.0 - own, right).where(own < 0.5)


# --- of several labels -----------------------------------------------------------------------


def tag_changes(row: Ints, of_class: Ints, given: Bools, probability: Floats, present: np.ndarray) -> Proposals:
    """Given tags that are likelier wrong than right, and missing ones that are likelier there than not.

    Args:
        given: (n,) whether the image has the tag.
        probability: (n,) that the class is on the image.
        present: (n,) int8: 1 if a person saw it there, 0 if not; -1 where that is not known or may not be used.
    """
    old, new = np.where(given, of_class, NONE), np.where(given, NONE, of_class)
    right = np.where(present == _UNKNOWN, _UNKNOWN, present == (~given).astype(np.int8))
    everything = make_proposals(row, old, new, np.where(given, 1.0 - probability, probability), right)
    return everything.where(np.where(given, probability < 0.5, probability > 0.5))
