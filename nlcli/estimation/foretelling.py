"""Whether noisy labels are better foretold by labels that go wrong by class, where nobody verified any.

Which classifier is right about true classes cannot be asked then; which one foretells the noisy labels of images that
it has not seen can. A classifier of noisy labels says ``p(j | x)`` of label j. One of true classes c says
``sum_c p(c | x) T[c, j]`` with T from confident counts, and is fitted so (Patrini et al. 2017, forward correction).
Where labels are wrong by class the second is ahead, because one small matrix says what the first must learn of each
image. Where all labels are right, or those of hard images are wrong, it is behind: T then blames labels for what the
classifier errs by.

So the corrected classifier is kept where it is ahead by more than two standard errors, both as sure as makes them
foretell best, at the best strength of a path at which no class is lost. A class that is taken for another explains the
labels about as well: what is lost is looked up at the images that the classifier of noisy labels is surest of. Where
every point that is ahead loses one, labels do go wrong by class, and ``pruning`` says what is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nlcli.estimation.bounded_minimum import bounded_minimum
from nlcli.estimation.candidates import FORWARD, Candidates
from nlcli.estimation.control import noisy_scores
from nlcli.estimation.linear_model import LinearModel, log_softmax
from nlcli.estimation.observed import Observed
from nlcli.estimation.posterior import lost_classes
from nlcli.estimation.selection import Difference
from nlcli.seeds import stream

ERRORS_AHEAD = 2.0
"""Standard errors that the corrected classifier must be ahead."""
STRENGTHS = (1.0, 10**-0.5, 0.1, 10**-1.5)
"""Of the corrected classifier, as factors on the one that noisy labels prefer."""
_IMAGES = 20_000
_VALUES = 1 << 22
_EXPONENTS = (-4.0, 4.0)


@dataclass(frozen=True, eq=False)
class Point:
    """A corrected classifier.

    Attributes:
        ahead: Of the classifier of noisy labels, in log-likelihood a noisy label.
        lost: Classes that it hardly predicts, or takes for others.
    """

    l2: float
    ahead: Difference
    lost: tuple[int, ...]

    @property
    def beyond_chance(self) -> bool:
        """Whether it is ahead by more than ``ERRORS_AHEAD``."""
        return self.ahead.mean > ERRORS_AHEAD * self.ahead.error


@dataclass(frozen=True, eq=False)
class Foretold:
    """What came of asking.

    Attributes:
        points: Strong to weak.
        kept: The one that is ahead most, of those that are ahead beyond chance and lose no class; None where none is.
        model: Its classifier, solved to the end on all images.
        iterations, converged: Of that.
        transition: (C, C) T [true, noisy].
    """

    points: Sequence[Point]
    kept: Point | None
    model: LinearModel | None
    iterations: int
    converged: bool
    transition: np.ndarray

    @property
    def by_class(self) -> bool:
        """Whether labels go wrong by class: a corrected classifier is ahead beyond chance, kept or not."""
        return any(point.beyond_chance for point in self.points)


def foretold(candidates: Candidates) -> Foretold | None:
    """Ask it of images with one noisy label each; None where there is no matrix of noise (see ``Candidates``)."""
    images = candidates.images
    if not candidates.noise_by_counts:
        return None
    asked = np.zeros(images.count, bool)
    rows = np.flatnonzero((candidates.folds >= 0) & (images.noisy_class >= 0))
    asked[stream(0, "foretelling").permutation(rows)[: max(1, min(_IMAGES, _VALUES // images.classes))]] = True
    labels, plain = images.noisy_class[asked], log_softmax(candidates.noisy_logits[asked].astype(np.float64))
    unknown = Observed(labels, np.full(len(labels), -1), np.zeros(len(labels), bool), images.classes)
    matrix = candidates.transition(images.checked)
    of_plain = _likelihoods(plain, labels, np.eye(images.classes))

    def lost(logits: np.ndarray) -> tuple[int, ...]:
        return tuple(lost_classes(log_softmax(logits.astype(np.float64)), unknown, plain).tolist())

    points: list[Point] = []
    for factor in STRENGTHS:
        value = candidates.l2 * factor
        logits = _left_out(candidates, value)[asked]
        ahead = Difference.of(_likelihoods(logits.astype(np.float64), labels, matrix), of_plain)
        before = [point.ahead.mean for point in points if not point.lost]
        points.append(Point(value, ahead, lost(logits)))
        if before and not points[-1].lost and ahead.mean <= max(before):
            break
    for point in sorted(points, key=lambda point: -point.ahead.mean):
        if point.lost or not point.beyond_chance:
            continue
        model, iterations, converged = candidates.final(FORWARD, point.l2)
        if not lost(images.logits(model, asked)):  # solved to the end it may have lost one all the same
            return Foretold(points, point, model, iterations, converged, matrix)
    return Foretold(points, None, None, 0, True, matrix)


def _left_out(candidates: Candidates, value: float) -> np.ndarray:
    """(n, C) logits by corrected classifiers that have not seen the image."""
    (whole,) = candidates.solved(FORWARD, (value,), afresh=True)

    def without(_: int, held: np.ndarray) -> LinearModel:
        (model,) = candidates.solved(FORWARD, (value,), held)
        return model

    return candidates.images.left_out(candidates.folds, whole, without)


def _likelihoods(logits: np.ndarray, labels: np.ndarray, transition: np.ndarray) -> np.ndarray:
    """(n,) log-likelihood of noisy labels, all logits multiplied by what makes their mean greatest."""

    def scores(exponent: float) -> np.ndarray:
        return noisy_scores(log_softmax(np.exp(exponent) * logits), labels, transition)

    return scores(bounded_minimum(lambda exponent: -float(scores(exponent).mean()), *_EXPONENTS, tolerance=1e-2))
