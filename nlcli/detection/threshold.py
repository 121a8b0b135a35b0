"""One threshold for all classes, and the error rates that come of it.

Lee 2018 section 3.2: a label is right where its score is at least delta (eq. 11), delta one for all
classes and chosen by cross-validation. Section 4.2: the figure is the error rate of each class,
averaged over classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nlcli.detection.verification import RIGHT
from nlcli.seeds import stream

FOLDS = 5
_ROUNDING = 1e-12


def class_weights(noisy: np.ndarray) -> np.ndarray:
    """(n,) float64 weights with which a sum over images is a mean over their classes' means."""
    _, inverse, counts = np.unique(noisy, return_inverse=True, return_counts=True)
    return 1.0 / (counts[inverse] * len(counts))


def best_threshold(score: np.ndarray, label: np.ndarray, noisy: np.ndarray) -> tuple[float, float]:
    """The threshold with the least error rate averaged over classes, and that rate.

    Every cut between two different scores is looked at, and calling all or none right: exact, in
    O(n log n). Of equally good cuts it is the one in the widest gap between scores, and there the
    middle, because that is the farthest from the scores it parts; calling all or none right has no
    gap and comes last.

    Args:
        score: (n,) higher is more likely right; ties fall on the same side of any threshold.
        label: (n,) 1 right, 0 wrong; n at least 1.
        noisy: (n,) class of each.

    Returns:
        delta (a label is right where ``score >= delta``), and the average error rate in [0, 1].
    """
    score = np.asarray(score, np.float64)
    weight = class_weights(noisy)
    order = np.argsort(score, kind="stable")
    score, right, weight = score[order], np.asarray(label)[order] == RIGHT, weight[order]
    starts = np.flatnonzero(np.diff(score)) + 1  # first position of each different score but the lowest
    cuts = np.concatenate(([0], starts, [len(score)]))  # images below a cut are called wrong
    lost = np.concatenate(([0.0], np.cumsum(np.where(right, weight, 0.0))))[cuts]
    caught = np.concatenate(([0.0], np.cumsum(np.where(right, 0.0, weight))))[cuts]
    errors = lost + (caught[-1] - caught)
    spread = max(float(score[-1] - score[0]), 1.0)
    gaps = np.concatenate(([0.0], score[starts] - score[starts - 1], [0.0]))
    places = np.concatenate(([score[0] - spread], (score[starts] + score[starts - 1]) / 2, [score[-1] + spread]))
    least = np.flatnonzero(errors <= errors.min() + _ROUNDING)
    best = least[np.argmax(gaps[least])]
    return float(places[best]), float(errors[best])


def folds(noisy: np.ndarray, seed: int, count: int = FOLDS) -> np.ndarray:
    """(n,) int64 fold of each image: of every class each fold gets the same number, give or take one."""
    order = np.lexsort((stream(seed, "detection", "folds").random(len(noisy)), noisy))
    found = np.empty(len(noisy), np.int64)
    found[order] = np.arange(len(noisy)) % count
    return found


def cross_fitted(score: np.ndarray, label: np.ndarray, noisy: np.ndarray, seed: int) -> np.ndarray | None:
    """(n,) int8 verdicts, each by the threshold that is best on the other folds; None with fewer than two images."""
    if len(score) < 2:
        return None
    fold = folds(noisy, seed, min(FOLDS, len(score)))
    verdict = np.empty(len(score), np.int8)
    for number in np.unique(fold):
        inside, other = fold == number, fold != number
        delta, _ = best_threshold(score[other], label[other], noisy[other])
        verdict[inside] = score[inside] >= delta
    return verdict


@dataclass(frozen=True)
class ErrorRates:
    """Error rates of verdicts on verified images.

    Attributes:
        images, wrong: How many images, and how many of them have a wrong label.
        average, micro: Error rate averaged over classes, and over images.
        naive_average, naive_micro: Of calling every label right.
        by_class: For each class with an image its index, images, wrong, error, naive_error,
            missed (wrong ones called right) and rejected (right ones called wrong).
    """

    images: int
    wrong: int
    average: float
    micro: float
    naive_average: float
    naive_micro: float
    by_class: list[dict[str, Any]]

    def record(self) -> dict[str, Any]:
        """JSON values without the classes."""
        return {
            name: getattr(self, name)
            for name in ("images", "wrong", "average", "micro", "naive_average", "naive_micro")
        } | {"classes": len(self.by_class)}


def error_rates(verdict: np.ndarray, label: np.ndarray, noisy: np.ndarray) -> ErrorRates | None:
    """Error rates of (n,) ``verdict`` against ``label``, all 0 or 1; None without an image."""
    if not len(verdict):
        return None
    classes, inverse = np.unique(noisy, return_inverse=True)

    def counts(which: np.ndarray) -> np.ndarray:
        return np.bincount(inverse[which], minlength=len(classes))

    every = np.ones(len(label), bool)
    images, wrong = counts(every), counts(label != RIGHT)
    missed, rejected = counts((label != RIGHT) & (verdict == RIGHT)), counts((label == RIGHT) & (verdict != RIGHT))
    errors = missed + rejected
    return ErrorRates(
        images=len(label),
        wrong=int(wrong.sum()),
        average=float(np.mean(errors / images)),
        micro=float(errors.sum() / len(label)),
        naive_average=float(np.mean(wrong / images)),
        naive_micro=float(wrong.sum() / len(label)),
        by_class=[
            {
                "class": int(c),
                "images": int(images[i]),
                "wrong": int(wrong[i]),
                "error": float(errors[i] / images[i]),
                "naive_error": float(wrong[i] / images[i]),
                "missed": int(missed[i]),
                "rejected": int(rejected[i]),
            }
            for i, c in enumerate(classes)
        ],
    )
