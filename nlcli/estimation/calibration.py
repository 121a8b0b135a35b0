"""From scores to probabilities: a sigmoid with a shift for every class, and isotonic regression over it.

Entries (an image and a class) of all classes are pooled, because few classes have enough checked entries for a curve of
their own. First a sigmoid (Platt 1999, with his smoothed targets) whose log-odds have a shift for every class,

    z_i = a s_i + b + u_c(i),   max over a, b, u of  sum_i log p(y_i | z_i)  -  sum_c u_c^2 / (2 tau^2),

the shifts shrunk towards none by ``tau^2``, the classes' variance, which EM estimates: what one class has too little to
tell, the others tell. Where both kinds of labels are many, isotonic regression (Zadrozny and Elkan 2002) of the labels
on ``z`` then takes the sigmoid's place; a thousandth of ``z`` stays, so that scores that it makes equal keep their
order. Of very many labels those of a class with nearly the same score count as so many of their mean score: what is
left out are the squares of differences below a 256th of all that scores span.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nlcli.estimation.isotonic import isotonic_blocks

ENOUGH = 200
"""Labels of the rarer kind from which on the curve is isotonic; with fewer a sigmoid varies less."""
_ORDER = 1e-3
MOST_ALONE = 100_000
_STEPS = 256
_EM_STEPS = 40
_NEWTON_STEPS = 50

Floats = NDArray[np.float64]


def log_odds(probability: ArrayLike, least: float = 1e-6) -> Floats:
    """log(p / (1 - p)) of probabilities kept ``least`` away from 0 and 1: the scale on which a sigmoid is fitted."""
    p = np.clip(np.asarray(probability, np.float64), least, 1 - least)
    return np.log(p) - np.log1p(-p)


def sigmoid(z: ArrayLike) -> Floats:
    """1 / (1 + exp(-z)) without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * np.asarray(z, np.float64))))


@dataclass(frozen=True, eq=False)
class Calibration:
    """A fitted map from scores to probabilities, never falling with the score.

    Attributes:
        slope, intercept: Of the sigmoid's log-odds.
        shifts: (C,) of the classes' log-odds; empty where there are no classes.
        points, log_odds: (K,) of the isotonic curve over the sigmoid's log-odds: between its points it is linear and
            outside of them constant. Empty where the sigmoid stands.
        entries, positives: How many labels it was fitted to, and how many of them are 1.
    """

    slope: float
    intercept: float
    shifts: Floats
    points: Floats
    log_odds: Floats
    entries: int
    positives: int

    @property
    def kind(self) -> str:
        """``isotonic`` or ``sigmoid``."""
        return "isotonic" if len(self.points) else "sigmoid"

    def probability(self, scores: ArrayLike, classes: ArrayLike | None = None) -> Floats:
        """Probabilities that the label is 1, in the shape of ``scores``.

        Args:
            scores: Floats of any shape.
            classes: Class of each, in a shape that fits; needed where classes have shifts.
        """
        return sigmoid(self.odds(scores, classes))

    def odds(self, scores: ArrayLike, classes: ArrayLike | None = None) -> Floats:
        """Log-odds of the probabilities; arguments as of ``probability``."""
        z = self.slope * np.asarray(scores, np.float64) + self.intercept
        if len(self.shifts):
            if classes is None:
                raise ValueError("the classes of the scores are needed")
            z += self.shifts[np.asarray(classes)]
        if not len(self.points):
            return z
        return np.asarray(np.interp(z, self.points, self.log_odds) + _ORDER * z)


def calibrate(
    scores: ArrayLike, labels: ArrayLike, classes: ArrayLike | None = None, num_classes: int = 0, enough: int = ENOUGH
) -> Calibration:
    """Fit probabilities to labels.

    Args:
        scores: (n,) finite floats, higher where the label is more likely 1; probabilities are best given as
            ``log_odds``. n is at least 1.
        labels: (n,) zeros and ones.
        classes: (n,) integers below ``num_classes``; None for no shifts.
        num_classes: C.
        enough: Labels of the rarer kind from which on the curve is isotonic.
    """
    s, y = np.asarray(scores, np.float64), np.asarray(labels) != 0
    if not len(s):
        raise ValueError("nothing to calibrate on")
    of = np.zeros(len(s), np.int64) if classes is None else np.asarray(classes, np.int64)
    slope, intercept, shifts = _sigmoid_with_shifts(s, y, of, 0 if classes is None else num_classes)
    z = slope * s + intercept + (shifts[of] if len(shifts) else 0.0)
    positives = int(y.sum())
    points, values = np.empty(0), np.empty(0)
    if min(positives, len(s) - positives) >= enough:
        points, values = _isotonic(z, y)
    return Calibration(slope, intercept, shifts, points, values, len(s), positives)


def cross_calibrated(
    scores: ArrayLike, labels: ArrayLike, fold: ArrayLike, classes: ArrayLike | None = None, num_classes: int = 0
) -> Floats:
    """(n,) probabilities, each by a calibration that was fitted to the other folds; arguments as of ``calibrate``.

    Args:
        fold: (n,) fold of each entry, the same for all entries of an image; there must be two or more.
    """
    s, y, part = np.asarray(scores, np.float64), np.asarray(labels) != 0, np.asarray(fold)
    of = None if classes is None else np.asarray(classes, np.int64)
    numbers = np.unique(part)
    if len(numbers) < 2:
        raise ValueError("fewer than two folds")
    probability = np.empty(len(s))
    for number in numbers:
        inside = part == number
        others = calibrate(s[~inside], y[~inside], None if of is None else of[~inside], num_classes)
        probability[inside] = others.probability(s[inside], None if of is None else of[inside])
    return probability


# --- curves ----------------------------------------------------------------------------------


def _isotonic(scores: Floats, labels: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """First and last score of every block of equal probability, and the log-odds there.

    A block of n equal labels at an end has not the probability 0 or 1 but 1 / (n + 2) short of it (Laplace's rule),
    as far as its neighbour allows.
    """
    values, which, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    means = np.bincount(which, weights=labels, minlength=len(values)) / sizes
    starts, probability = isotonic_blocks(means, sizes.astype(np.float64))
    counts = np.add.reduceat(sizes, starts)
    if probability[0] <= 0:
        probability[0] = min(1 / (counts[0] + 2), *probability[1:2])
    if probability[-1] >= 1:
        probability[-1] = max(1 - 1 / (counts[-1] + 2), *probability[-2:-1])
    last = np.concatenate([starts[1:], [len(values)]]) - 1
    places = np.stack([values[starts], values[last]], axis=1).ravel()
    at = np.repeat(log_odds(probability, 1e-12), 2)
    keep = np.concatenate([[True], np.diff(places) > 0])  # a block of one score has one point
    return places[keep], at[keep]


def _sigmoid_with_shifts(
    scores: Floats, labels: NDArray[np.bool_], classes: NDArray[np.int64], num_classes: int
) -> tuple[float, float, Floats]:
    """Slope (not below 0), intercept, and the classes' shifts, none for fewer than two classes."""
    ones = int(labels.sum())
    target = np.where(labels, (ones + 1) / (ones + 2), 1 / (len(labels) - ones + 2))
    middle, spread = float(scores.mean()), float(scores.std())
    x = (scores - middle) / spread if spread > 0 else np.zeros(len(scores))
    count = np.ones(len(x))
    if len(x) > MOST_ALONE:
        x, target, classes, count = _grouped(x, target, classes)
    line = _line(x, target, np.zeros(len(x)), count, spread > 0)
    shifts, variance = np.zeros(num_classes if num_classes > 1 else 0), 0.25
    for _ in range(_EM_STEPS if len(shifts) else 0):
        z = line[0] * x + line[1]
        shifts, variance, moved = _shift_step(z, target, classes, count, shifts, variance)
        line = _line(x, target, shifts[classes], count, spread > 0, line)
        if moved < 1e-5:
            break
    slope = float(line[0] / spread) if spread > 0 else 0.0
    return slope, float(line[1] - slope * middle), shifts


def _grouped(x: Floats, target: Floats, classes: NDArray[np.int64]) -> tuple[Floats, Floats, NDArray[np.int64], Floats]:
    """Mean score, mean target, class and number of the labels of a class whose scores are in the same step."""
    low, high = float(x.min()), float(x.max())
    step = np.minimum(((x - low) * (_STEPS / max(high - low, 1e-300))).astype(np.int64), _STEPS - 1)
    cell = classes * _STEPS + step
    count = np.bincount(cell).astype(np.float64)
    some = np.flatnonzero(count)
    count = count[some]
    mean_x, mean_target = (np.bincount(cell, values)[some] / count for values in (x, target))
    return mean_x, mean_target, some // _STEPS, count


def _line(x: Floats, target: Floats, offset: Floats, count: Floats, sloped: bool, near: Floats | None = None) -> Floats:
    """Slope and intercept with the greatest likelihood of soft targets, beside an ``offset`` of the log-odds (n,).

    Args:
        count: (n,) how many labels each stands for.
        near: Where to begin looking.
    """
    line, whole = np.zeros(2), float(np.sum(count * target) / np.sum(count))
    if sloped:
        line = _newton(x, target, offset, count, np.array([0.0, float(log_odds(whole))]) if near is None else near)
    if line[0] <= 0:
        line = _newton(np.zeros(len(x)), target, offset, count, np.array([0.0, float(log_odds(whole))]))
    return line


def _newton(x: Floats, target: Floats, offset: Floats, count: Floats, line: Floats) -> Floats:
    def loss_of(at: Floats) -> float:
        z = at[0] * x + at[1] + offset
        return float(np.sum(count * (np.logaddexp(0.0, z) - target * z)))

    loss = loss_of(line)
    for _ in range(_NEWTON_STEPS):
        p = sigmoid(line[0] * x + line[1] + offset)
        weight = count * np.maximum(p * (1 - p), 1e-12)
        away = count * (p - target)
        cross = float(np.sum(weight * x))
        hessian = np.array([[np.sum(weight * x * x) + 1e-9, cross], [cross, np.sum(weight)]])
        step = np.linalg.solve(hessian, np.array([np.sum(away * x), np.sum(away)]))
        tried, size = line - step, 1.0
        while (now := loss_of(tried)) > loss and size > 1e-6:
            size /= 2
            tried = line - size * step
        if now > loss:
            break
        done = loss - now <= 1e-12 * max(1.0, loss)
        line, loss = tried, now
        if done:
            break
    return line


def _shift_step(
    z: Floats, target: Floats, classes: NDArray[np.int64], count: Floats, shifts: Floats, variance: float
) -> tuple[Floats, float, float]:
    """Shifts after a Newton step of every class, their variance after a step of EM, and by how much they moved."""
    number = len(shifts)
    p = sigmoid(z + shifts[classes])
    slope = np.bincount(classes, weights=count * (target - p), minlength=number) - shifts / variance
    curvature = np.bincount(classes, weights=count * (p * (1 - p)), minlength=number) + 1 / variance
    step = np.clip(slope / curvature, -2.0, 2.0)
    seen = np.bincount(classes, minlength=number) > 0
    shifts = np.where(seen, shifts + step, 0.0)
    variance = max(float(np.mean(shifts[seen] ** 2 + 1 / curvature[seen])), 1e-4)
    return shifts, variance, float(np.abs(step).max())
