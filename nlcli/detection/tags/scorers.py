"""Ways to score entries that detectors share: log-odds of every class, by what did not see the image.

Each is fitted on the same training images (``Fitted``) with the same folds and gives (n, C) log-odds of images; a
training image is scored by what was fitted without its fold.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np

from nlcli.data.labels import LabelTable
from nlcli.detection.tags.base import Fitted
from nlcli.detection.tags.fold_regressions import SolvedScores
from nlcli.estimation.calibration import calibrate, log_odds
from nlcli.estimation.linear_model import sigmoid
from nlcli.estimation.neighbours import Neighbours

CHECKED_WEIGHTS = (1.0, 5.0, 20.0)
"""Of an image whose classes a person verified, beside one with given tags alone: what is tried."""
WEIGHT = "Of an image that a person checked, beside one that not (default: 1, 5 or 20, chosen)."
_BLOCK = 2048


class Scorer(Protocol):
    """Gives log-odds of entries."""

    def logits(self, features: np.ndarray, rows: np.ndarray | None) -> np.ndarray:
        """(n, C) float32; ``features`` as stored, ``rows`` as for ``TagDetector.score``."""


def checked_tags(table: LabelTable, fitted: Fitted) -> Any:
    """(n, C) CSR of the given tags with what a person verified put in their place."""
    from scipy.sparse import csr_array, vstack

    rows, parts = fitted.rows, []
    for first in range(0, len(rows), _BLOCK):
        part = slice(first, first + _BLOCK)
        tags = fitted.given[part].toarray()
        if fitted.verified[part].any():
            present, known = table.verified_targets(rows[part])
            tags = np.where(known > 0, present, tags)
        parts.append(csr_array(tags))
    return csr_array(vstack(parts, format="csr"))


def scores_of_given(fitted: Fitted, folds: np.ndarray, kept: Path | None = None) -> SolvedScores:
    """Regressions on the given tags as they are; ``kept`` as for ``SolvedScores``."""
    given = fitted.given

    def judge(part: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        return given[part].toarray(), None

    return SolvedScores(fitted.rows, fitted.features, given, None, np.ones(len(fitted.rows), bool), judge, folds, kept)


def scores_of_checked(
    table: LabelTable,
    fitted: Fitted,
    folds: np.ndarray,
    weight: float | None,
    kept: Path | None = None,
    near: SolvedScores | None = None,
) -> SolvedScores:
    """Regressions on the given tags with verified ones put in, whose images weigh more.

    Args:
        weight: Of these; None tries ``CHECKED_WEIGHTS`` by the log-loss of verified entries out of fold, calibrated of
            given tags and of the others apart: a large weight makes surer, which says nothing of who is right.
        near: Regressions of the same images and folds to begin at; they have not seen those of a fold either.
    """
    weights = [np.where(fitted.verified, one, 1.0) for one in (CHECKED_WEIGHTS if weight is None else (weight,))]

    def loss(part: np.ndarray, logits: np.ndarray) -> float:
        if len(weights) == 1:
            return 0.0
        present, known = table.verified_targets(fitted.rows[part])
        return _calibrated_loss(logits, fitted.given[part].toarray() > 0, present > 0, known > 0)

    def judge(part: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        return table.verified_targets(fitted.rows[part])

    targets = checked_tags(table, fitted)
    return SolvedScores(fitted.rows, fitted.features, targets, weights, fitted.verified, judge, folds, kept, near, loss)


def _calibrated_loss(logits: np.ndarray, given: np.ndarray, present: np.ndarray, known: np.ndarray) -> float:
    """Log-loss of known entries (m, C), behind a sigmoid for given tags and one for the others."""
    total = 0.0
    for kind in (given & known, ~given & known):
        if kind.any():
            odds = calibrate(logits[kind], present[kind], enough=kind.size).odds(logits[kind])
            total += float(np.sum(np.logaddexp(0.0, odds) - present[kind] * odds))
    return total


def scores_of_verified(table: LabelTable, fitted: Fitted, folds: np.ndarray, kept: Path | None = None) -> SolvedScores:
    """Regressions on the verified images alone; where only some classes of them are verified, the rest are as given."""
    only = np.flatnonzero(fitted.verified)
    part = Fitted(fitted.rows[only], fitted.features[only], fitted.given[only], fitted.verified[only])
    return scores_of_checked(table, part, folds[only], 1.0, kept)


class ConfidentScores:
    """Scores of given tags, held against what they are for the class on average (Northcutt 2021, section 3.1).

    With p the out-of-fold probability of the tag and t1 (t0) the mean of p (of 1 - p) over the class's images with
    (without) the tag, an image counts as confidently with the class where p / t1 > (1 - p) / t0. The score is the
    difference of the log-odds, 0 where it could be either.
    """

    def __init__(self, fitted: Fitted, given_scores: SolvedScores) -> None:
        self._scores = given_scores
        classes = fitted.given.shape[1]
        with_tag, without, count = np.zeros(classes), np.zeros(classes), np.zeros(classes)
        for first in range(0, len(fitted.rows), _BLOCK):
            part = slice(first, first + _BLOCK)
            p = sigmoid(given_scores.logits(fitted.features[part], fitted.rows[part]).astype(np.float64))
            tag = fitted.given[part].toarray() > 0
            with_tag += np.where(tag, p, 0).sum(axis=0)
            without += np.where(tag, 0, 1 - p).sum(axis=0)
            count += tag.sum(axis=0)
        others = len(fitted.rows) - count
        some = (count > 0) & (others > 0)
        t1 = np.where(some, with_tag / np.maximum(count, 1), 0.5)
        t0 = np.where(some, without / np.maximum(others, 1), 0.5)
        self.shift = np.where(some, log_odds(t1 / (t1 + t0)), 0.0)

    def logits(self, features: np.ndarray, rows: np.ndarray | None) -> np.ndarray:
        """See ``Scorer``."""
        return np.asarray(self._scores.logits(features, rows) - self.shift, np.float32)


class NeighbourScores:
    """Log-odds of the share of the nearest training images with the class; verified ones vote with what they have.

    Args:
        k: How many vote; None takes of 10, 20 and 50 the number with the least log-loss, on verified images where there
            are some and on given tags elsewhere.
    """

    _CHOICES = (10, 20, 50)
    _MOST_ASKED = 2000

    def __init__(self, table: LabelTable, fitted: Fitted, seed: int, k: int | None) -> None:
        self._rows, self._tags = fitted.rows, checked_tags(table, fitted)
        self._near = Neighbours(fitted.features)
        count = len(fitted.rows)
        self._prior = (np.asarray(self._tags.sum(axis=0)).ravel() + 0.5) / (count + 1)
        self.k = min(count - 1, k) if k is not None else self._chosen(table, fitted, seed)

    def _chosen(self, table: LabelTable, fitted: Fitted, seed: int) -> int:
        count = len(fitted.rows)
        choices = [k for k in self._CHOICES if k < count] or [max(1, count - 1)]
        asked = np.flatnonzero(fitted.verified) if fitted.verified.any() else np.arange(count)
        asked = np.sort(np.random.default_rng(seed).permutation(asked)[: self._MOST_ASKED])
        losses = np.zeros(len(choices))
        for first in range(0, len(asked), 256):
            part = asked[first : first + 256]
            nearest, _ = self._near.nearest(fitted.features[part], choices[-1], part)
            truth, known = table.verified_targets(fitted.rows[part])
            if not fitted.verified.any():
                truth, known = fitted.given[part].toarray(), np.ones_like(known)
            for i, k in enumerate(choices):
                z = self._log_odds(nearest[:, :k])
                losses[i] += float(np.sum(known * (np.logaddexp(0.0, z) - truth * z)))
        return int(choices[int(losses.argmin())])

    def _log_odds(self, nearest: np.ndarray) -> np.ndarray:
        k, width = nearest.shape[1], self._tags.shape[1]
        share = np.empty((len(nearest), width))
        for i, members in enumerate(nearest):
            share[i] = np.asarray(self._tags[members].sum(axis=0)).ravel()
        return log_odds((share + self._prior) / (k + 1))  # one more, who has what everybody has

    def logits(self, features: np.ndarray, rows: np.ndarray | None) -> np.ndarray:
        """See ``Scorer``."""
        own = np.full(len(features), -1)
        if rows is not None:
            place = np.minimum(np.searchsorted(self._rows, rows), len(self._rows) - 1)
            own = np.where(self._rows[place] == rows, place, -1)
        nearest, _ = self._near.nearest(np.asarray(features, np.float32), self.k, own)
        return np.asarray(self._log_odds(nearest), np.float32)
