"""How noisy labels of one class an image come from true ones: T, estimated from little.

``T[true, noisy]`` is P(noisy label | true class); its rows sum to 1 (Patrini et al. 2017). Verified pairs show it
directly, but 300 of them say little about 100 entries: read off so, entries were wrong by 0.2. What all images say
together with a classifier, and a prior, shrinks that error to a half or a third.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

STRENGTHS: tuple[float, ...] = tuple(float(2.0**i) for i in range(11))
"""Pairs that a prior may count for in each row."""
_ROUNDS = 200


def pair_counts(true: np.ndarray, noisy: np.ndarray, classes: int) -> np.ndarray:
    """(C, C) float64 [true, noisy] how many images have each pair of classes; -1 is none that is known."""
    known = (true >= 0) & (noisy >= 0)
    cells = true[known] * classes + noisy[known]
    counts: np.ndarray = np.bincount(cells, minlength=classes * classes).reshape(classes, classes)
    return counts.astype(np.float64)


def confident_counts(probabilities: np.ndarray, noisy: np.ndarray) -> np.ndarray:
    """(C, C) float64 [true, noisy] how many images are confidently of each class, with each label.

    An image counts as one of class ``c`` where its probability of ``c`` is at least the mean of that of the images
    labelled ``c`` (of several such classes, the most probable one).

    Args:
        probabilities: (n, C) of noisy labels, by classifiers that have not seen the image.
        noisy: (n,).

    References:
        Northcutt et al. 2021, eq. (1) and (2), the confident joint.
    """
    classes = probabilities.shape[1]
    own = np.take_along_axis(probabilities, noisy[:, None], axis=1)[:, 0]
    images = np.bincount(noisy, minlength=classes)
    level = np.bincount(noisy, weights=own, minlength=classes) / np.maximum(images, 1)
    level[images == 0] = np.inf
    confident = np.where(probabilities >= level, probabilities, -1.0)
    true = np.where(confident.max(axis=1) >= 0, confident.argmax(axis=1), -1)
    return pair_counts(true, noisy, classes)


def confident_transition(probabilities: np.ndarray, noisy: np.ndarray) -> np.ndarray:
    """T without any verified label, the shares of noisy labels among the confident ones of each class.

    A count of one over all classes, and of two on the diagonal, is added to each row.

    Args:
        probabilities, noisy: As of ``confident_counts``.
    """
    classes = probabilities.shape[1]
    return _rows_to_one(confident_counts(probabilities, noisy) + 1.0 / classes + 2.0 * np.eye(classes))


@dataclass(frozen=True, eq=False)
class Shrunk:
    """An estimate between counts and a prior.

    Attributes:
        matrix: (C, C) T.
        strength: Pairs that the prior counted for in each row.
    """

    matrix: np.ndarray
    strength: float


def shrunk_transition(pairs: np.ndarray, prior: np.ndarray) -> Shrunk:
    """Posterior mean of T when each row has a Dirichlet prior with mean ``prior``.

    The strength of the prior is the one of ``STRENGTHS`` under which the pairs have the greatest marginal likelihood
    (the Dirichlet-multinomial distribution): what differs from the prior only by chance goes to the prior.

    Args:
        pairs: (C, C) counts [true, noisy].
        prior: (C, C) rows sum to 1; no entry is 0.
    """
    from scipy.special import gammaln

    images = pairs.sum(axis=1)

    def evidence(strength: float) -> float:
        prior_counts = strength * prior
        of_rows = gammaln(strength) - gammaln(strength + images)
        of_cells = gammaln(prior_counts + pairs) - gammaln(prior_counts)
        return float(of_rows.sum() + of_cells.sum())

    strength = max(STRENGTHS, key=evidence)
    return Shrunk(_rows_to_one(pairs + strength * prior), strength)


def fitted_transition(
    probabilities: np.ndarray,
    noisy: np.ndarray,
    pairs: np.ndarray,
    start: np.ndarray,
    *,
    excluded: np.ndarray | None = None,
    smoothing: float = 1.0,
    tolerance: float = 1e-4,
) -> np.ndarray:
    """T by expectation and maximisation, given what a classifier says of the true classes.

    The expectation is ``q(c) ~ p(c | x) T[c, noisy]``, the maximisation ``T[c, j] ~ pairs[c, j] + smoothing / C +
    sum of q(c) over the images labelled j``. A verified image is in ``pairs`` and not among the others.

    Args:
        probabilities: (n, C) p(true class | x) of images that are not verified, by classifiers that have not seen
            them; calibrated, or T takes the blame.
        noisy: (n,) their labels.
        pairs: (C, C) counts [true, noisy] of the verified images.
        start: (C, C) where it begins; rows sum to 1.
        excluded: (n,) true where the noisy label is known to be wrong.
        tolerance: It ends when no entry changes more.

    References:
        Sukhbaatar et al. 2015 for T as part of the model, Xiao et al. 2015 for the posterior in its steps.
    """
    classes = probabilities.shape[1]
    order = np.argsort(noisy, kind="stable")
    ends = np.searchsorted(noisy[order], np.arange(classes + 1))
    wide = probabilities.astype(np.float64)
    if excluded is not None and excluded.any():
        wide[excluded, noisy[excluded]] = 0.0
    # Images are grouped by label: each group shares one column of T.
    groups = [wide[order[ends[label] : ends[label + 1]]] for label in range(classes)]
    matrix = start
    for _ in range(_ROUNDS):
        counts = pairs + smoothing / classes
        for label, group in enumerate(groups):
            joint = group * matrix[:, label]
            whole = joint.sum(axis=1, keepdims=True)
            counts[:, label] += (joint / np.maximum(whole, 1e-300)).sum(axis=0)
        updated = _rows_to_one(counts)
        change = float(np.abs(updated - matrix).max())
        matrix = updated
        if change <= tolerance:
            break
    return matrix


def counted_transition(
    posterior: np.ndarray, noisy: np.ndarray, pairs: np.ndarray, smoothing: float = 1.0
) -> np.ndarray:
    """T as the shares of noisy labels among what ``posterior`` (n, C) says of images that are not verified."""
    classes = posterior.shape[1]
    counts = pairs + smoothing / classes
    for label in range(classes):
        counts[:, label] += posterior[noisy == label].sum(axis=0, dtype=np.float64)
    return _rows_to_one(counts)


def _rows_to_one(counts: np.ndarray) -> np.ndarray:
    shares: np.ndarray = counts / counts.sum(axis=1, keepdims=True)
    return shares
