"""How good a classifier is by how many images are checked, and so what checking more may bring.

A quarter of the checked images, a half and all of them are used, each part within the next; of all others count the
noisy labels. For each part a linear classifier is solved of noisy labels with the checked ones in their place, and
every checked image is scored by one that was solved without it: the same images judge all points, so that their
differences are told far better than the points themselves. Parts are drawn several times. As a rule a doubling brings
the less, the more is checked, so that the gain of the last one is about the most that another brings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nlcli.estimation.criterion import image_scores
from nlcli.estimation.cross_fitting import out_of_fold, strata_of_tags, stratified_folds
from nlcli.estimation.images import Images
from nlcli.estimation.linear_search import Checked, choose
from nlcli.estimation.objective import Term, Unknown
from nlcli.estimation.path import path_values
from nlcli.seeds import stream

PARTS = (0.25, 0.5, 1.0)
DRAWS = 3
LEAST = 60
"""Checked images below which a quarter of them tells nothing."""
WEIGHTS = (1, 5)
_FOLDS = 5
_STRENGTHS = tuple(float(10.0 ** (-0.5 * i)) for i in range(4, 11))
_DEVIATIONS = 1.959964  # of a normal distribution, 95 %


@dataclass(frozen=True)
class Point:
    """A classifier of one number of checked images.

    Attributes:
        images: How many are checked.
        value: Share of images whose class is right; of several labels the mean of AP_all and mAP.
        low, high: 95 % interval over images and draws.
    """

    images: int
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class CheckingCurve:
    """What came of it.

    Attributes:
        points: From few checked images to all.
        gain: What the last doubling brought, with its 95 % interval over the same images, and over draws.
        judged: Images that every point was measured on.
    """

    points: tuple[Point, ...]
    gain: tuple[float, float, float]
    judged: int

    def of_more(self, images: int) -> tuple[float, float, float]:
        """What ``images`` more bring, if doublings bring as much as the last one did: about the most to expect."""
        doublings = float(np.log2(1.0 + images / self.points[-1].images))
        gain, low, high = (value * doublings for value in self.gain)
        return gain, low, high


def checking_curve(images: Images, seed: int) -> CheckingCurve | None:
    """The curve; None where fewer than ``LEAST`` images are checked.

    Args:
        seed: Of the parts that are drawn; the folds are always the same.
    """
    rows = np.flatnonzero(images.checked)
    if len(rows) < LEAST:
        return None
    verified = np.asarray(images.verified[rows].toarray() > 0, np.float64)
    known = np.asarray(images.known[rows].toarray() > 0, np.float64)
    single = images.task == "single-label"
    folds = np.full(len(images.checked), -1)
    folds[rows] = stratified_folds(verified.argmax(axis=1) if single else strata_of_tags(verified), _FOLDS)
    weight, l2 = _strength(images, Checked(verified, known, rows=rows))

    def scores(used: np.ndarray) -> np.ndarray:
        logits = out_of_fold(
            images.design,
            _terms(images, used, weight),
            images.task,
            images.classes,
            l2,
            folds,
            preconditioner=images.preconditioner,
        )
        if single:
            right: np.ndarray = (logits.argmax(axis=1) == verified.argmax(axis=1)).astype(np.float64)
            return right
        return image_scores(images.task, logits, verified, known)

    by_part = [np.stack([scores(used) for used in _drawn(rows, part, images.checked, seed)]) for part in PARTS]
    counts = [round(part * len(rows)) for part in PARTS]
    points = tuple(_point(n, s) for n, s in zip(counts, by_part, strict=True))
    return CheckingCurve(points, _mean(by_part[-1] - by_part[-2]), len(rows))


def _terms(images: Images, used: np.ndarray, weight: float) -> list[Term]:
    """What is fitted to where only what is checked of the images ``used`` (n,) bool is known."""
    clean = np.where(used, weight, 0.0)
    if images.task == "single-label":
        return [Term(images.noisy, np.where(used, 0.0, images.labelled)), Term(images.verified, clean)]
    of_used = images.known.multiply(used[:, None].astype(np.uint8)).tocsr()
    return [Term(images.noisy, images.labelled, Unknown(of_used)), Term(images.verified, clean, images.known)]


def _strength(images: Images, checked: Checked) -> tuple[float, float]:
    """What a checked image counts and how strong the penalty is, as all checked images prefer it."""
    candidates = {f"{weight}": _terms(images, images.checked, weight) for weight in WEIGHTS}
    values = path_values(images.design, _STRENGTHS)
    choice = choose(
        images.design, candidates, images.task, images.classes, values, checked, preconditioner=images.preconditioner
    )
    return float(choice.points[choice.chosen].candidate), choice.solution.l2


def _drawn(rows: np.ndarray, part: float, checked: np.ndarray, seed: int) -> Sequence[np.ndarray]:
    """(n,) bool the checked images that are used, by draw: those of a smaller part are among those of a larger one."""
    count = round(part * len(rows))
    drawn = []
    for draw in range(DRAWS if count < len(rows) else 1):
        used = np.zeros(len(checked), bool)
        used[stream(seed, "checked", draw).permutation(rows)[:count]] = True
        drawn.append(used)
    return drawn


def _point(images: int, scores: np.ndarray) -> Point:
    value, low, high = _mean(scores)
    return Point(images, value, max(low, 0.0), min(high, 1.0))


def _mean(scores: np.ndarray) -> tuple[float, float, float]:
    """Mean and 95 % interval of (draws, m): over images by their means, and over draws by theirs."""
    draws, count = scores.shape
    value, by_image = float(scores.mean()), scores.mean(axis=0)
    variance = float(by_image.var(ddof=1)) / count
    if draws > 1:
        variance += float(scores.mean(axis=1).var(ddof=1)) / draws
    away = _DEVIATIONS * variance**0.5
    return value, value - away, value + away
