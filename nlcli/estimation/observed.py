"""What is known of the classes of images with one noisy label each, and what classifiers of true classes are made of.

``T[c, j]`` is P(noisy label j | true class c). Here are labels as they are, labels through T, T from what classifiers
say, and what is believed of the true class once the label is seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nlcli.estimation.linear_model import log_softmax
from nlcli.estimation.objective import Term
from nlcli.estimation.transition import confident_transition, fitted_transition, pair_counts


@dataclass(frozen=True, eq=False)
class Observed:
    """What is known of the classes of images with one noisy label each.

    Attributes:
        noisy: (n,) int64 the noisy label, -1 where a verified image has none.
        true: (n,) int64 the verified class, -1 where it is not known.
        wrong: (n,) bool: the noisy label is known to be wrong, and nothing more is.
        classes: C.
        weights: (n,) what noisy labels count in losses; None: 1.
        counts: (n,) what verified classes count in losses, besides what a candidate has them count; None: 1.
    """

    noisy: np.ndarray
    true: np.ndarray
    wrong: np.ndarray
    classes: int
    weights: np.ndarray | None = None
    counts: np.ndarray | None = None

    def of_noisy(self, rows: np.ndarray) -> np.ndarray:
        """(n,) float64 weights of noisy labels, 0 but in ``rows`` (n,) bool."""
        return rows.astype(np.float64) if self.weights is None else np.where(rows, self.weights, 0.0)

    def of_verified(self, rows: np.ndarray) -> np.ndarray:
        """(n,) float64 weights of what is verified, 0 but in ``rows`` (n,) bool."""
        return rows.astype(np.float64) if self.counts is None else np.where(rows, self.counts, 0.0)

    @property
    def verified(self) -> np.ndarray:
        """(m,) int64 images whose class is known."""
        return np.flatnonzero(self.true >= 0)

    def pairs(self) -> np.ndarray:
        """(C, C) counts [true, noisy] of the verified images."""
        return pair_counts(self.true, self.noisy, self.classes)


def posterior(
    log_prior: np.ndarray, noisy: np.ndarray, transition: np.ndarray, exponents: tuple[float, float] = (1.0, 1.0)
) -> np.ndarray:
    """(n, C) P(true class | x, noisy label) ~ p(c | x)^a T[c, noisy]^b; Xiao et al. 2015, eq. (5), one kind of noise.

    Args:
        exponents: a and b; Bayes' rule has 1 and 1.
    """
    own, of_label = exponents
    joint = own * log_prior + of_label * np.log(np.maximum(transition, 1e-300)).T[noisy]
    probabilities: np.ndarray = np.exp(log_softmax(joint))
    return probabilities


def plain_term(observed: Observed, weight: float = 1.0) -> Term:
    """Labels as they are, verified ones in their place with ``weight``."""
    from scipy.sparse import csr_array

    count = len(observed.noisy)
    known = observed.true >= 0
    places, every = np.arange(count + 1), np.ones(count, np.float32)
    labels = np.where(known, observed.true, observed.noisy)
    # An image that is known to be of another class than its label's has no target, only a class that it is not.
    targets = csr_array((np.where(observed.wrong, 0.0, every), labels, places), shape=(count, observed.classes))
    mask = csr_array((every, labels, places), shape=targets.shape) if observed.wrong.any() else None
    weights = observed.of_noisy(~known & ~observed.wrong)
    return Term(targets, weights + weight * observed.of_verified(known | observed.wrong), mask)


def corrected_terms(observed: Observed, transition: np.ndarray, weight: float = 1.0) -> list[Term]:
    """Noisy labels through ``transition``; what is verified as it is, with ``weight``."""
    from scipy.sparse import csr_array

    count, classes = len(observed.noisy), observed.classes
    places, every = np.arange(count + 1), np.ones(count, np.float32)
    noisy = csr_array((every, np.maximum(observed.noisy, 0), places), shape=(count, classes))
    known = observed.true >= 0
    terms = [Term(noisy, observed.of_noisy(~known & ~observed.wrong), transition=transition)]
    if known.any() or observed.wrong.any():
        labels = np.where(known, observed.true, observed.noisy)
        targets = csr_array((known.astype(np.float32), labels, places), shape=(count, classes))
        mask = csr_array((every, labels, places), shape=(count, classes)) if observed.wrong.any() else None
        terms.append(Term(targets, weight * observed.of_verified(known | observed.wrong), mask))
    return terms


def transition_of(
    log_p: np.ndarray, observed: Observed, factor: float | None, start: np.ndarray | None = None
) -> np.ndarray:
    """T from classifiers that verified images show to be unsure by ``factor``; without it from confident counts."""
    if factor is None:
        counted = observed.noisy >= 0
        if observed.weights is not None:
            counted &= observed.weights > 0
        labelled = np.flatnonzero(counted)
        return confident_transition(np.exp(log_p[labelled]), observed.noisy[labelled])
    probabilities = np.exp(log_softmax(factor * log_p))
    pairs = observed.pairs()
    if start is None:
        start = pairs + 0.5 + 5.0 * np.eye(observed.classes)
        start /= start.sum(axis=1, keepdims=True)
    counted = (observed.true < 0) & (observed.noisy >= 0)
    if observed.weights is not None:
        counted &= (observed.weights > 0) | observed.wrong
    rows = np.flatnonzero(counted)
    return fitted_transition(probabilities[rows], observed.noisy[rows], pairs, start, excluded=observed.wrong[rows])
