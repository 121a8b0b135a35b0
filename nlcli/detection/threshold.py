"""One threshold for all classes, and the error rates that come of it.

Lee 2018 section 3.2: a label is right where its score is at least delta (eq. 11), delta one for all
classes and chosen by cross-validation. Section 4.2: what is reported is the error rate of each
class, averaged over classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from nlcli.data.detection_files import ClassErrors, ErrorRates
from nlcli.detection.verification import RIGHT
from nlcli.metrics.intervals import Ends, classes_support, metric_interval, share_support
from nlcli.metrics.ranking import mean_over_classes
from nlcli.seeds import stream

FOLDS = 5
_RESAMPLES = 1000
_ROUNDING = 1e-12


def class_weights(noisy: np.ndarray) -> np.ndarray:
    """(n,) float64 weights with which a sum over images is a mean over their classes' means."""
    _, inverse, counts = np.unique(noisy, return_inverse=True, return_counts=True)
    weights: np.ndarray = 1.0 / (counts[inverse] * len(counts))
    return weights


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
    fold = np.empty(len(noisy), np.int64)
    fold[order] = np.arange(len(noisy)) % count
    return fold


def own_unless_believing(score: np.ndarray, label: np.ndarray, noisy: np.ndarray, own: float) -> tuple[float, float]:
    """A detector's own threshold, or -inf where calling every label right errs no more often, and the error rate.

    Averaged over classes. Scores that are probabilities have one, 0.5, under which least is to be expected to be wrong;
    the one with the least errors on some tens of images is half chance.

    Args:
        score, label, noisy: As of ``best_threshold``.
    """
    weight = class_weights(noisy)
    believing = float(weight[label != RIGHT].sum())
    error = float(weight[(score >= own) != (label == RIGHT)].sum())
    return (own, error) if error < believing - _ROUNDING else (-np.inf, believing)


Choice = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[float, float]]
"""From scores, labels and classes to a threshold and its error rate, as ``best_threshold``."""


def cross_fitted(
    score: np.ndarray, label: np.ndarray, noisy: np.ndarray, seed: int, choice: Choice = best_threshold
) -> np.ndarray | None:
    """(n,) int8 verdicts, each by the threshold that the other folds choose; None with fewer than two images."""
    if len(score) < 2:
        return None
    fold = folds(noisy, seed, min(FOLDS, len(score)))
    verdict = np.empty(len(score), np.int8)
    for number in np.unique(fold):
        inside, other = fold == number, fold != number
        delta, _ = choice(score[other], label[other], noisy[other])
        verdict[inside] = score[inside] >= delta
    return verdict


def class_errors(
    verdict: np.ndarray, label: np.ndarray, noisy: np.ndarray, classes: Sequence[str], held_out: np.ndarray
) -> tuple[ClassErrors, ...]:
    """Error rates of each class with an image.

    Args:
        verdict, label: (n,) 1 right, 0 wrong.
        noisy: (n,) class of each.
        classes: C names.
        held_out: (C,) bool.
    """
    present, inverse = np.unique(noisy, return_inverse=True)

    def counts(which: np.ndarray) -> list[int]:
        numbers: list[int] = np.bincount(inverse[which], minlength=len(present)).tolist()
        return numbers

    images, wrong = counts(np.ones(len(label), bool)), counts(label != RIGHT)
    missed, rejected = counts((label != RIGHT) & (verdict == RIGHT)), counts((label == RIGHT) & (verdict != RIGHT))
    return tuple(
        ClassErrors(
            name=classes[c],
            held_out=bool(held_out[c]),
            images=images[i],
            wrong=wrong[i],
            error=(missed[i] + rejected[i]) / images[i],
            naive_error=wrong[i] / images[i],
            missed=missed[i],
            rejected=rejected[i],
        )
        for i, c in enumerate(present.tolist())
    )


def error_rates(of_classes: Sequence[ClassErrors]) -> ErrorRates | None:
    """Error rates of several classes together, with their intervals; None without a class."""
    if not of_classes:
        return None
    images, wrong = sum(c.images for c in of_classes), sum(c.wrong for c in of_classes)
    average_interval, micro_interval = _intervals(of_classes)
    return ErrorRates(
        images=images,
        wrong=wrong,
        classes=len(of_classes),
        average=float(np.mean([c.error for c in of_classes])),
        micro=sum(c.missed + c.rejected for c in of_classes) / images,
        naive_average=float(np.mean([c.naive_error for c in of_classes])),
        naive_micro=wrong / images,
        average_interval=average_interval,
        micro_interval=micro_interval,
    )


def _intervals(of_classes: Sequence[ClassErrors]) -> tuple[Ends | None, Ends | None]:
    """Of the average and of the micro error rate.

    A resample of the images is one of the counts of every class and verdict, which need no images.
    """
    counts = np.array([[c.images - c.missed - c.rejected, c.missed + c.rejected] for c in of_classes])
    images = int(counts.sum())
    drawn = np.random.default_rng(0).multinomial(images, counts.ravel() / images, _RESAMPLES)
    drawn = drawn.reshape(_RESAMPLES, len(counts), 2)
    with np.errstate(invalid="ignore"):
        per_class = drawn[:, :, 1] / drawn.sum(axis=2)
    average = [mean_over_classes(row) for row in per_class]
    support = classes_support(counts.sum(axis=1), per_class, shares=True)
    value = float(np.mean([c.error for c in of_classes]))
    micro = drawn[:, :, 1].sum(axis=1) / images
    return (
        metric_interval(value, average, support),
        metric_interval(counts[:, 1].sum() / images, micro, share_support(images)),
    )
