"""Which classes an image with several labels has, given what it looks like, its tags, and what goes together.

Of an entry, an image i and a class c, ``z_ic`` is the log-odds of a classifier that has not seen the image, ``g_ic`` is
1 where the tag is given, and

    log-odds(present) = a_0 + a_1 z_ic + a_2 g_ic + a_3 g_ic z_ic + a_4 o_ic + u_c + g_ic v_c

``a_2 + v_c`` is what a given tag says, ``log P(given | present) / P(given | absent)`` less the same of a missing one,
for each class, shrunk to what it says in all (a_3: it says more, or less, of images that a classifier is sure of, as
Misra et al. 2016 have it). ``o_ic`` is what the other classes say: their probabilities p less their shares, each times
its correlation with class c. All of it is fitted to verified entries, with ridges.

References:
    Misra et al. 2016, for given tags as a channel that depends on the image; Xiao et al. 2015, for the posterior of
    true labels; Platt 1999, for the sigmoid of one classifier's log-odds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nlcli.estimation.linear_model import sigmoid

RIDGE, SHIFT_RIDGE = 1.0, 4.0
"""Of the weights a_2 to a_4, and of the shifts of classes."""
TOGETHER = 200.0
"""Verified present entries at which correlations of classes are believed by half."""
_MOST = 30.0


@dataclass(frozen=True, eq=False)
class TagPosterior:
    """The fitted log-odds.

    Attributes:
        sure: (2,) slope and intercept of the log-odds from which p is made.
        shares: (C,) of verified images that have the class.
        together: (C, C) correlations of classes, shrunk; 0 on the diagonal.
        weights: (5,) a.
        shifts, given_shifts: (C,) u and v.
    """

    sure: np.ndarray
    shares: np.ndarray
    together: np.ndarray
    weights: np.ndarray
    shifts: np.ndarray
    given_shifts: np.ndarray

    def log_odds(self, logits: np.ndarray, given: np.ndarray) -> np.ndarray:
        """(n, C) float64 that the classes are there.

        Args:
            logits: (n, C) of classifiers that have not seen the images.
            given: (n, C) 1 where the tag is given.
        """
        z = np.clip(logits.astype(np.float64), -_MOST, _MOST)
        tags = given.astype(np.float64)
        a = self.weights
        others = _others(z, self.sure, self.shares, self.together)
        odds: np.ndarray = a[0] + a[1] * z + self.shifts + tags * (a[2] + a[3] * z + self.given_shifts) + a[4] * others
        return odds


def fit_tag_posterior(logits: np.ndarray, given: np.ndarray, present: np.ndarray, known: np.ndarray) -> TagPosterior:
    """Fit the log-odds to verified entries.

    Args:
        logits: (m, C) of verified images, by classifiers that have not seen them.
        given: (m, C) 1 where the tag is given.
        present, known: (m, C) 1 where the class is there, and where that was verified; one entry at least.
    """
    z, tags = np.clip(logits.astype(np.float64), -_MOST, _MOST), given.astype(np.float64)
    there, seen = present.astype(np.float64), known > 0
    of_class = np.nonzero(seen)[1]
    y, own, tag = there[seen], z[seen], tags[seen]
    nothing = np.zeros(0, np.int64)
    sure, _, _ = _fitted(np.stack([own, np.ones(len(own))], axis=1), y, np.zeros(2), nothing, nothing, 0)
    shares = ((there * seen).sum(axis=0) + 0.5) / (seen.sum(axis=0) + 1.0)
    together = _correlations(there, seen, shares)
    others = _others(z, sure, shares, together)[seen]
    columns = np.stack([np.ones(len(own)), own, tag, tag * own, others], axis=1)
    ridges = np.array([0.0, 0.0, RIDGE, RIDGE, RIDGE])
    weights, shifts, given_shifts = _fitted(columns, y, ridges, of_class, tag, z.shape[1])
    if weights[1] + weights[3] < 0:  # a handful of wrong tags would have what looks right be wrong
        columns[:, 3] = 0.0
        weights, shifts, given_shifts = _fitted(columns, y, ridges, of_class, tag, z.shape[1])
    return TagPosterior(sure, shares, together, weights, shifts, given_shifts)


def crossed_log_odds(
    logits: np.ndarray, given: np.ndarray, present: np.ndarray, known: np.ndarray, folds: np.ndarray
) -> np.ndarray:
    """(m, C) of verified images, each by a fit to those of the other folds; arguments as of ``fit_tag_posterior``.

    Args:
        folds: (m,) of each image; there must be two or more with a verified entry.
    """
    odds = np.empty(logits.shape)
    for number in np.unique(folds):
        held = folds == number
        fitted = fit_tag_posterior(logits[~held], given[~held], present[~held], known[~held])
        odds[held] = fitted.log_odds(logits[held], given[held])
    return odds


def _others(z: np.ndarray, sure: np.ndarray, shares: np.ndarray, together: np.ndarray) -> np.ndarray:
    """(n, C) what the other classes of an image say of each."""
    away: np.ndarray = (sigmoid(sure[0] * z + sure[1]) - shares) @ together
    return away


def _correlations(there: np.ndarray, seen: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """(C, C) of classes over images in which both are verified, believed the more the more entries there are."""
    away, both = (there - shares) * seen, seen.astype(np.float64)
    images = both.T @ both
    spread = np.sqrt(shares * (1.0 - shares))
    together = (away.T @ away) / np.maximum(images, 1.0) / np.outer(spread, spread)
    np.fill_diagonal(together, 0.0)
    positives = float((there * seen).sum())
    shrunk: np.ndarray = np.clip(together, -1.0, 1.0) * positives / (positives + TOGETHER)
    return shrunk


def _fitted(
    columns: np.ndarray, y: np.ndarray, ridges: np.ndarray, of_class: np.ndarray, tag: np.ndarray, classes: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights of ``columns`` (m, K), shifts of classes and of their given tags: the ridged logistic regression."""
    from scipy.optimize import minimize

    count = columns.shape[1]

    def objective(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        weights, shifts = parameters[:count], parameters[count:].reshape(2, classes)
        odds = columns @ weights
        if classes:
            odds = odds + shifts[0, of_class] + tag * shifts[1, of_class]
        slopes = sigmoid(odds) - y
        gradient = [columns.T @ slopes + ridges * weights]
        if classes:
            of_shifts = np.bincount(of_class, slopes, classes) + SHIFT_RIDGE * shifts[0]
            gradient += [of_shifts, np.bincount(of_class, tag * slopes, classes) + SHIFT_RIDGE * shifts[1]]
        loss = float(np.sum(np.logaddexp(0.0, odds) - y * odds))
        penalty = 0.5 * float(ridges @ weights**2) + 0.5 * SHIFT_RIDGE * float((shifts**2).sum())
        tiny = 1e-6 * float(parameters @ parameters)  # entries that a line parts have no other optimum
        return loss + penalty + tiny, np.concatenate(gradient) + 2e-6 * parameters

    start = np.zeros(count + 2 * classes)
    solved = minimize(objective, start, jac=True, method="L-BFGS-B", options={"gtol": 1e-7, "ftol": 1e-13})
    return solved.x[:count], solved.x[count : count + classes], solved.x[count + classes :]
