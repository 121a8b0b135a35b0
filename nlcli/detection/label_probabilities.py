"""Probabilities that labels are right, and that the best other class is, calibrated on verified labels.

A verified image gets its probabilities from the other verified ones (cross-fitting), so that what is known of it does
not speak for itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from nlcli.data.detection_files import Probabilities
from nlcli.detection.base import Data, Images
from nlcli.detection.threshold import FOLDS, folds
from nlcli.detection.verification import RIGHT
from nlcli.estimation.calibration import calibrate, cross_calibrated, log_odds

_FEWEST = 10
"""Verified images of either kind below which no curve is fitted."""
Split = Literal["train", "validation", "train+validation"]


def choosing_positions(data: Data) -> list[tuple[Images, np.ndarray]]:
    """Verified images that can choose among scores that are out of fold: images of a split, and positions among them.

    Those of train and of validation; training ones alone where all of validation are right, or all wrong: labels were
    then made wrong in train alone, and validation says nothing of them.
    """
    train, validation = data.train.verified, data.validation.verified
    both = len(np.unique(data.validation.label[validation])) == 2
    parts = [(data.train, train)] if len(train) else []
    return [*parts, (data.validation, validation)] if both or not parts else parts


@dataclass(frozen=True, eq=False)
class Suggestions:
    """The best other class of images.

    Attributes:
        other: (n,) int64, -1 where none is known.
        share: (n,) float64: of all other classes' probability, the part that this one has.
    """

    other: np.ndarray
    share: np.ndarray

    @classmethod
    def none(cls, count: int) -> Suggestions:
        """Of ``count`` images of which nothing is known."""
        return cls(np.full(count, -1), np.full(count, np.nan))


def best_others(probabilities: np.ndarray, noisy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) the most probable class but the noisy one, and (n,) its part of the probability of all of these.

    Args:
        probabilities: (n, C) of the true class; C is at least 2.
    """
    others = np.asarray(probabilities, np.float64).copy()
    np.put_along_axis(others, noisy[:, None], -np.inf, axis=1)
    other = others.argmax(axis=1)
    np.put_along_axis(others, noisy[:, None], 0.0, axis=1)
    whole = others.sum(axis=1)
    best = np.take_along_axis(others, other[:, None], axis=1)[:, 0]
    return other, np.where(whole > 0, best / np.where(whole > 0, whole, 1.0), 1.0 / (others.shape[1] - 1))


@dataclass(frozen=True, eq=False)
class Known:
    """Verified images that probabilities are made by: none that the detector's score of it was fitted on.

    Attributes:
        positions: (m,) int64 among all images, in an order that their keys decide.
        label: (m,) int8, 1 right, 0 wrong.
        true: (m,) int64 true class, -1 where it is not known.
        split: Where they are.
    """

    positions: np.ndarray
    label: np.ndarray
    true: np.ndarray
    split: Split | None

    @property
    def enough(self) -> bool:
        """Whether there are enough of both kinds."""
        right = int((self.label == RIGHT).sum())
        return min(right, len(self.label) - right) >= _FEWEST


@dataclass(frozen=True, eq=False)
class LabelProbabilities:
    """Probabilities of images.

    Attributes:
        right: (n,) float32 of the noisy label; NaN where it is not known.
        other: (n,) float32 of the suggested class; NaN where it is not known.
        record: Where they come from; None: there are none.
    """

    right: np.ndarray
    other: np.ndarray
    record: Probabilities | None


def label_probabilities(
    score: np.ndarray,
    noisy: np.ndarray,
    classes: int,
    known: Known,
    suggestions: Suggestions,
    seed: int,
    own: np.ndarray | None = None,
) -> LabelProbabilities:
    """Probabilities of all images by the verified ones.

    Args:
        score, noisy: (n,).
        classes: C.
        own: (n,) probabilities that the detector has of itself, which stand where too few are verified.
    """
    if not known.enough:
        if own is None:
            nothing = np.full(len(score), np.nan, np.float32)
            return LabelProbabilities(nothing, nothing.copy(), None)
        record = Probabilities(
            kind="detector", split=None, images=0, wrong=0, brier=None, share_brier=None, suggested_on=0
        )
        right = np.asarray(own, np.float64)
        return _with_others(right, suggestions, (1 - right) * suggestions.share, record)
    at, label = known.positions, known.label == RIGHT
    fold = folds(2 * noisy[at] + label, seed, FOLDS)
    curve = calibrate(score[at], label, noisy[at], classes)
    right = curve.probability(score, noisy)
    right[at] = cross_calibrated(score[at], label, fold, noisy[at], classes)
    other, count = _other_probabilities(right, known, suggestions, fold)
    record = Probabilities(
        kind="isotonic" if curve.kind == "isotonic" else "sigmoid",
        split=known.split,
        images=len(at),
        wrong=int((~label).sum()),
        brier=float(np.mean((right[at] - label) ** 2)),
        share_brier=float(np.mean((label.mean() - label) ** 2)),
        suggested_on=count,
    )
    return _with_others(right, suggestions, other, record)


def _other_probabilities(
    right: np.ndarray, known: Known, suggestions: Suggestions, fold: np.ndarray
) -> tuple[np.ndarray, int]:
    """(n,) probability of the suggested class, and by how many images of known class it was made."""
    raw = (1 - right) * suggestions.share
    told = (known.true >= 0) & (suggestions.other[known.positions] >= 0)
    at = known.positions[told]
    hit = known.true[told] == suggestions.other[at]
    if min(int(hit.sum()), int((~hit).sum())) < _FEWEST:
        return raw, 0
    odds = log_odds(np.where(np.isnan(raw), 0.5, raw))
    other = calibrate(odds[at], hit).probability(odds)
    other[at] = cross_calibrated(odds[at], hit, fold[told])
    return other, len(at)


def _with_others(
    right: np.ndarray, suggestions: Suggestions, other: np.ndarray, record: Probabilities
) -> LabelProbabilities:
    some = suggestions.other >= 0
    bounded = np.where(some, np.minimum(other, 1 - right), np.nan)  # two classes are not both the image's
    return LabelProbabilities(right.astype(np.float32), bounded.astype(np.float32), record)
