"""Does what a detector learns of verified classes hold for others? Each verified class is left out once to see.

Where it does not, the classes that nobody verified are scored by the margin of classifiers of the noisy labels, which
need no verified label, on the detector's own scale: at the quantile that the margin has among the images of verified
classes stands the score that the detector gives there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nlcli.detection.base import Data, Images
from nlcli.detection.fold_classifiers import FoldClassifiers, FoldSettings, fold_classifiers, margins
from nlcli.detection.verification import RIGHT, UNVERIFIED, verification_labels, withheld
from nlcli.estimation.calibration import calibrate
from nlcli.estimation.selection import Selection, select
from nlcli.metrics.ranking import roc_area
from nlcli.seeds import stream

Scorer = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From features (n, D) and noisy classes (n,) to scores (n,)."""

PARTS = 3
FEWEST_CLASSES = 4
"""Verified classes below which leaving some out says nothing."""
FEWEST = 20
"""Verified labels of either kind below which nothing is judged."""
_SETTINGS = FoldSettings(folds=3, strength=10**-3.5, weights=(1.0,))
_REFERENCES = 20_000
_OWN, _MARGIN, _BELIEVING = "what it learned", "margin", "every label believed"


@dataclass(frozen=True)
class Transfer:
    """What was seen on verified classes that were left out.

    Attributes:
        holds: Whether what was learned is kept for classes that nobody verified.
        areas: Under the ROC curve, of the detector and of the margin.
        images, classes: How many verified images of how many classes it was seen on.
    """

    holds: bool
    areas: tuple[float, float]
    images: int
    classes: int

    def notes(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "holds": self.holds,
            "area": self.areas[0],
            "area_of_margin": self.areas[1],
            "images": self.images,
            "classes": self.classes,
        }


def unverified_classes(data: Data) -> np.ndarray:
    """int64 classes with training images, none of which is verified."""
    seen = np.unique(data.train.noisy)
    return np.setdiff1d(seen, data.train.noisy[data.train.verified])


def without_classes(data: Data, classes: np.ndarray) -> Data:
    """``data`` with nothing verified of ``classes``: neither of images labelled so, nor that others are such images."""
    label = verification_labels(data.table)
    noisy = np.full(len(data.table), -1)
    for images in (data.train, data.validation):
        noisy[images.rows] = images.noisy
    label = np.where(np.isin(noisy, classes), UNVERIFIED, label).astype(np.int8)
    true = np.where(np.isin(data.true, classes) | np.isin(noisy, classes), -1, data.true)
    return Data(withheld(data.table, label), data.store, true=true, class_images=data.class_images)


def judged(data: Data, seed: int, work: Path, fitted: Callable[[Data, Path], Scorer]) -> Transfer | None:
    """Leave verified classes out in three parts; None where too little is verified to say anything.

    Args:
        fitted: The detector, fitted on such data in a folder of its own.
    """
    classes = np.unique(data.train.noisy[data.train.verified])
    if len(classes) < FEWEST_CLASSES:
        return None
    order = stream(seed, "detection", "left out").permutation(classes)
    scores, labels, parts = [], [], []
    for number in range(PARTS):
        left_out = np.sort(order[number::PARTS])
        part, place = without_classes(data, left_out), work / f"without-{number}"
        place.mkdir(exist_ok=True)
        scorer = fitted(part, place)
        classifiers = fold_classifiers(part, seed, place, _SETTINGS)
        for images in (data.train, data.validation):
            asked = images.verified[np.isin(images.noisy[images.verified], left_out)]
            for positions, features in data.parts(images, asked):
                noisy = images.noisy[positions]
                margin = margins(classifiers.probabilities(features, images.rows[positions]), noisy)
                scores.append(np.stack([scorer(features, noisy), margin], axis=1))
                labels.append(images.label[positions] == RIGHT)
                parts.append(np.full(len(positions), number))
    if not labels:
        return None
    return _judged(np.concatenate(scores), np.concatenate(labels), np.concatenate(parts), len(classes))


def _judged(scores: np.ndarray, right: np.ndarray, part: np.ndarray, classes: int) -> Transfer | None:
    """By (n, 2) scores of both; probabilities are made of them by the other parts' classes."""
    if min(int(right.sum()), int((~right).sum())) < FEWEST:
        return None
    told: dict[str, np.ndarray] = {}
    for name, score in ((_OWN, scores[:, 0]), (_MARGIN, scores[:, 1]), (_BELIEVING, np.zeros(len(right)))):
        likelihood = np.empty(len(right))
        for number in np.unique(part):
            inside = part == number
            curve = calibrate(score[~inside], right[~inside], enough=len(right) + 1)
            p = curve.probability(score[inside])
            likelihood[inside] = np.log(np.maximum(np.where(right[inside], p, 1 - p), 1e-12))
        told[name] = likelihood
    chosen: Selection = select(told, baseline=_BELIEVING, eligible=(_OWN, _MARGIN))
    holds = chosen.chosen == _OWN and chosen[_OWN].gain.mean > 0
    areas = (roc_area(right, scores[:, 0]), roc_area(right, scores[:, 1]))
    return Transfer(holds, areas, len(right), classes)


@dataclass(frozen=True, eq=False)
class MarginInstead:
    """The margin on the scale of a detector's scores.

    Attributes:
        classes: (C,) bool the classes that it is for.
        margins, scores: (m,) each increasing: of training images of verified classes, by both.
    """

    classifiers: FoldClassifiers
    classes: np.ndarray
    margins: np.ndarray
    scores: np.ndarray

    @classmethod
    def of(cls, data: Data, seed: int, work: Path, classes: np.ndarray, scorer: Scorer) -> MarginInstead:
        """Instead of ``scorer`` for ``classes`` (n,)."""
        work.mkdir(exist_ok=True)
        classifiers = fold_classifiers(data, seed, work, _SETTINGS)
        which = np.zeros(len(data.classes), bool)
        which[classes] = True
        others = np.flatnonzero(~which[data.train.noisy])
        drawn = np.sort(stream(seed, "detection", "scale").permutation(others)[:_REFERENCES])
        own, margin = np.empty(len(drawn)), np.empty(len(drawn))
        first = 0
        for part, features in data.parts(data.train, drawn):
            place = slice(first, first + len(part))
            own[place] = scorer(features, data.train.noisy[part])
            margin[place] = margins(classifiers.probabilities(features, data.train.rows[part]), data.train.noisy[part])
            first += len(part)
        return cls(classifiers, which, np.sort(margin), np.sort(own))

    def score(self, features: np.ndarray, noisy: np.ndarray, rows: np.ndarray | None) -> np.ndarray:
        """(n,) float32 of images of its classes."""
        margin = margins(self.classifiers.probabilities(features, rows), noisy)
        scaled: np.ndarray = np.interp(margin, self.margins, self.scores)
        return scaled.astype(np.float32)


def left_out_sentence(images: Images, classes: np.ndarray, transfer: Transfer) -> str:
    """What is to be said where the margin takes the place of a detector."""
    count = int(np.isin(images.noisy, classes).sum())
    return (
        "what it learns of verified classes does not hold for others (area under the ROC curve "
        f"{transfer.areas[0]:.2f} on {transfer.images:,} verified images of classes left out, "
        f"{transfer.areas[1]:.2f} of margin): {len(classes):,} classes without verification, {count:,} training "
        "images, are scored by margin"
    )
