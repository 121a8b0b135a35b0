"""Verified entries with their scores, as calibration and thresholds take them, and which of them count as measured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nlcli.data.labels import FULL, NONE, LabelTable, choose_clean
from nlcli.detection.tags.base import TagData, TagDetector
from nlcli.errors import NlcliError
from nlcli.seeds import stream

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDS = 5
MOST_ENTRIES = 4_000_000
"""Verified entries that are held; of more images, those that the seed draws."""
_CELLS = 1 << 22


@dataclass(frozen=True, eq=False)
class ScoredEntries:
    """Verified entries, by image and class; the arrays are (n,).

    Attributes:
        rows: int64 rows of the data set.
        classes: int64.
        given, present: bool.
        score: float32.
        fold: int64 fold of the image.
    """

    rows: np.ndarray
    classes: np.ndarray
    given: np.ndarray
    present: np.ndarray
    score: np.ndarray
    fold: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def at(self, which: np.ndarray) -> ScoredEntries:
        """Some of them."""
        return ScoredEntries(
            self.rows[which],
            self.classes[which],
            self.given[which],
            self.present[which],
            self.score[which],
            self.fold[which],
        )


def known_rows(table: LabelTable, fraction: float, seed: int) -> np.ndarray:
    """int64 rows whose verification may be used: the clean part of train, and what is verified of validation."""
    train = table.rows("train")
    clean = choose_clean(table, fraction, seed) if (table.verification[train] > NONE).any() else train[:0]
    validation = table.rows("validation")
    return np.sort(np.concatenate([clean, validation[table.verification[validation] > NONE]]))


def only_known(table: LabelTable, rows: np.ndarray) -> LabelTable:
    """``table`` with the verification of ``rows`` alone."""
    verification = np.full(len(table), NONE, table.verification.dtype)
    verification[rows] = table.verification[rows]
    keep = (verification > NONE).astype(np.uint8)[:, None]
    present, absent = table.present.multiply(keep).tocsr(), table.absent.multiply(keep).tocsr()
    present.eliminate_zeros()
    absent.eliminate_zeros()
    return replace(table, verification=verification, present=present.astype(np.uint8), absent=absent.astype(np.uint8))


def image_folds(table: LabelTable, seed: int) -> np.ndarray:
    """(N,) int64 fold of every image, by the seed and the set of keys alone."""
    order = np.argsort(table.keys, kind="stable")
    fold = np.empty(len(table), np.int64)
    fold[order] = stream(seed, "tags", "folds").permutation(len(table)) % FOLDS
    return fold


def within_bounds(table: LabelTable, rows: np.ndarray, seed: int) -> np.ndarray:
    """``rows``, or as many of them, drawn by the seed, as have ``MOST_ENTRIES`` verified entries."""
    stored = np.diff(table.present.indptr)[rows] + np.diff(table.absent.indptr)[rows]
    entries = np.where(table.verification[rows] == FULL, table.num_classes, stored)
    if entries.sum() <= MOST_ENTRIES:
        return rows
    by_key = np.argsort(table.keys[rows], kind="stable")
    order = by_key[stream(seed, "tags", "verified").permutation(len(rows))]
    return np.sort(rows[order[np.cumsum(entries[order]) <= MOST_ENTRIES]])


def scored_entries(
    detector: TagDetector, data: TagData, table: LabelTable, rows: np.ndarray, fold: np.ndarray
) -> ScoredEntries:
    """The verified entries of ``rows`` with the detector's scores.

    Args:
        table: With the verification that counts, which the detector may not have seen.
        fold: (N,) of every image.
    """
    parts = []
    for some, scores, given in scored_blocks(detector, data, rows):
        position, classes, present = table.verified_entries(some)
        parts.append((some[position], classes, given[position, classes] > 0, present, scores[position, classes]))
    if not parts:
        nothing = np.empty(0, np.int64)
        return ScoredEntries(nothing, nothing, nothing > 0, nothing > 0, nothing.astype(np.float32), nothing)
    image, classes, tagged, present, score = (np.concatenate([part[i] for part in parts]) for i in range(5))
    return ScoredEntries(image, classes, tagged, present, score, fold[image])


def scored_blocks(
    detector: TagDetector, data: TagData, rows: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Some of ``rows`` at a time, their scores (n, C) float32 and given tags (n, C) uint8.

    Raises:
        NlcliError: a score is not finite.
    """
    step = max(16, min(4096, _CELLS // len(data.classes)))
    for first in range(0, len(rows), step):
        some = rows[first : first + step]
        given = data.table.noisy_targets(some)
        scores = np.asarray(detector.score(data.features(some), given, some), np.float32)
        bad = ~np.isfinite(scores).all(axis=1)
        if bad.any():
            raise NlcliError(
                f"{detector.name} gave image '{data.table.keys[some[int(np.argmax(bad))]]}' a score that is not "
                "finite; check the features, or use another detector"
            )
        yield some, scores, given
