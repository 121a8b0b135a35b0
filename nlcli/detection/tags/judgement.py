"""Probabilities and verdicts of entries: given tags and missing ones are calibrated, and judged, apart.

That a class is in the image means another thing where its tag is given than where it is not: of the same score, a given
tag is far more often right. So each kind of entries has a calibration and a threshold of its own. An image that they
were fitted to is judged by a calibration and a threshold that were fitted without its fold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nlcli.data.tag_detection_files import TagCalibration, TagThreshold
from nlcli.detection.tags.verified import FOLDS, ScoredEntries
from nlcli.estimation.calibration import Calibration, calibrate, log_odds, sigmoid

FEWEST = 50
"""Verified entries of a kind from which on they choose its threshold, and from which on its rates are to be trusted."""
RULE = 0.5
MOST_ODDS = float(log_odds(1.0))
"""Log-odds that are averaged, and that a loss is of, are at most this, and at least its negative."""


@dataclass(frozen=True, eq=False)
class OfKind:
    """Calibration and threshold of one kind of entries.

    Attributes:
        whole: Fitted to all entries; None where there are none, and the score is taken for log-odds.
        without: Fitted without one fold each.
        threshold: Chosen on all entries.
        thresholds: Chosen without one fold each.
    """

    whole: Calibration | None
    without: tuple[Calibration | None, ...]
    threshold: TagThreshold
    thresholds: tuple[float, ...]

    def probability(self, scores: np.ndarray, classes: np.ndarray, fold: np.ndarray) -> np.ndarray:
        """float64 probabilities that the class is there, in the common shape of the arguments.

        Args:
            fold: Of each image that this was fitted to, -1 of every other.
        """
        return sigmoid(self.odds(scores, classes, fold))

    def odds(self, scores: np.ndarray, classes: np.ndarray, fold: np.ndarray) -> np.ndarray:
        """float64 log-odds of the probabilities; arguments as of ``probability``."""
        numbers = np.flatnonzero(np.bincount(np.ravel(fold) + 1)) - 1  # millions of them: sorting would take longest
        if len(numbers) == 1:
            return self._by(int(numbers[0]), scores, classes)
        scores, classes, fold = np.broadcast_arrays(scores, classes, fold)
        odds = np.empty(scores.shape)
        for number in numbers.tolist():
            part = fold == number
            odds[part] = self._by(number, scores[part], classes[part])
        return odds

    def _by(self, fold: int, scores: np.ndarray, classes: np.ndarray) -> np.ndarray:
        curve = self.whole if fold < 0 else self.without[fold]
        return np.asarray(scores, np.float64) if curve is None else curve.odds(scores, classes)

    def called_present(self, probability: np.ndarray, fold: np.ndarray) -> np.ndarray:
        """Whether the class is called present, by the threshold for the image's fold; ``fold`` as above."""
        cut = np.array([*self.thresholds, self.threshold.value])[fold]  # -1 is the last one
        called: np.ndarray = probability >= cut
        return called

    @property
    def record(self) -> TagCalibration:
        """What ``detection.json`` says."""
        if self.whole is None:
            return TagCalibration(curve="none", entries=0, positives=0)
        curve = "isotonic" if self.whole.kind == "isotonic" else "sigmoid"
        return TagCalibration(curve=curve, entries=self.whole.entries, positives=self.whole.positives)


def odds_by_kind(
    given_by: Sequence[tuple[np.ndarray, OfKind]],
    missing_by: Sequence[tuple[np.ndarray, OfKind]],
    given: np.ndarray,
    classes: np.ndarray,
    fold: np.ndarray,
) -> np.ndarray:
    """float64 log-odds that classes are there, (n, C) or (n,): means over those of several scores.

    Args:
        given_by, missing_by: Scores and their calibrations, of given tags and of the others.
        given: bool, as the scores.
        classes, fold: In shapes that fit.
    """
    # Hardly any tag is given, so that what is of the others is computed everywhere: gathering them would take longer.
    odds = _mean_odds([(scores, of_kind) for scores, of_kind in missing_by], classes, fold)
    if given.any():
        own = [np.broadcast_to(part, given.shape)[given] for part in (classes, fold)]
        odds[given] = _mean_odds([(scores[given], of_kind) for scores, of_kind in given_by], *own)
    return odds


def _mean_odds(by: Sequence[tuple[np.ndarray, OfKind]], classes: np.ndarray, fold: np.ndarray) -> np.ndarray:
    if len(by) == 1:
        scores, of_kind = by[0]
        return np.array(of_kind.odds(scores, classes, fold))
    total = np.zeros(by[0][0].shape)
    for scores, of_kind in by:
        total += np.clip(of_kind.odds(scores, classes, fold), -MOST_ODDS, MOST_ODDS)
    total /= len(by)
    return total


def fit_kind(entries: ScoredEntries, classes: int, value: float | None, fixed: float | None) -> OfKind:
    """Calibrate entries of one kind and choose its threshold.

    Args:
        entries: Verified ones of that kind.
        classes: C.
        value: The threshold that is given; None chooses one.
        fixed: A threshold that stands, whatever is verified, where none is given.
    """

    def fitted(which: np.ndarray) -> Calibration | None:
        if not which.any():
            return None
        return calibrate(entries.score[which], entries.present[which], entries.classes[which], classes)

    everything = np.ones(len(entries), bool)
    whole = fitted(everything)
    without = tuple(fitted(entries.fold != number) or whole for number in range(FOLDS))
    draft = OfKind(whole, without, TagThreshold(value=RULE, chosen_on="rule"), (RULE,) * FOLDS)
    stands = value if value is not None else fixed
    if stands is not None:
        chosen_on = "rule" if value is None else "given"
        return OfKind(whole, without, TagThreshold(value=stands, chosen_on=chosen_on), (stands,) * FOLDS)
    if len(entries) < FEWEST or len(np.unique(entries.present)) < 2:
        return draft
    probability = draft.probability(entries.score, entries.classes, entries.fold)

    def chosen(part: np.ndarray) -> float:
        return chosen_threshold(probability[part], entries.present[part], entries.rows[part]) if part.any() else RULE

    thresholds = tuple(chosen(entries.fold != number) for number in range(FOLDS))
    best = chosen(everything)
    return OfKind(whole, without, TagThreshold(value=best, chosen_on="verified", entries=len(entries)), thresholds)


def chosen_threshold(probability: np.ndarray, present: np.ndarray, image: np.ndarray) -> float:
    """The threshold of least errors where it errs less than 1/2 does by more than a standard error over images.

    Of probabilities that are what they say 1/2 errs least; what few entries make of a lower one is mostly chance.

    Args:
        probability: (n,) in [0, 1]; n is at least 1.
        present: (n,) bool.
        image: (n,) number of the image of each.
    """
    least = least_errors(probability, present)
    _, position = np.unique(image, return_inverse=True)
    less = np.bincount(position, ((probability >= RULE) != present).astype(np.float64))
    less -= np.bincount(position, (probability >= least) != present)
    clear = len(less) > 1 and less.sum() > less.std(ddof=1) * np.sqrt(len(less))
    return least if clear else RULE


def least_errors(probability: np.ndarray, present: np.ndarray) -> float:
    """The probability from which on calling a class present errs least; of equally good ones the nearest to 1/2.

    Args:
        probability: (n,) in [0, 1]; n is at least 1.
        present: (n,) bool.
    """
    values, which = np.unique(probability, return_inverse=True)
    ones = np.bincount(which, weights=present, minlength=len(values))
    zeros = np.bincount(which, weights=~present, minlength=len(values))
    lost = np.concatenate(([0.0], np.cumsum(ones)))  # present ones below the cut
    kept = np.concatenate(([0.0], np.cumsum(zeros)))
    errors = lost + (kept[-1] - kept)
    if values[-1] >= 1:
        errors[-1] = np.inf  # nothing is above 1
    edges = np.concatenate(([0.0], values, [1.0]))
    low, high = edges[:-1], edges[1:]  # a cut lies above ``low`` and at most at ``high``
    places = np.clip(RULE, np.minimum(low + 1e-9, high), high)
    least = np.flatnonzero(errors <= errors.min() + 1e-9)
    return float(places[least[np.argmin(np.abs(places[least] - RULE))]])
