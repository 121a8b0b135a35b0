"""How noisy labels come from true ones: C, Q and T, estimated from verified pairs or from predictions.

Counts of pairs are (L, L) integers [true class, noisy class], as in ``Problem.pairs``. The matrices
keep the index order of the papers' equations, float64:

====== ================== ============================ ==========================================
matrix index              sums to 1 over               what it says
====== ================== ============================ ==========================================
``C``  [noisy, true]      noisy classes (or to 0)      confusing noise (Xiao 2015, eq. 1)
``Q``  [noisy, true]      noisy classes                all noise (Sukhbaatar and Fergus 2014)
``T``  [true, noisy]      noisy classes                all noise (Patrini 2017)
====== ================== ============================ ==========================================
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

NOISE_TYPES = ("noise-free", "random", "confusing")
"""What a noisy label suffers from, in the order of ``z`` (Xiao 2015, section 3)."""
ANCHOR_PERCENTILE = 97.0


def confusing_noise(counts: np.ndarray) -> np.ndarray:
    """The matrix C of Xiao 2015: which wrong labels are more frequent than chance would have them.

    For each true class its wrong labels are sorted by count, and for every k the first k are taken to
    be confusing, with probabilities in proportion to their counts, and the rest random, with
    1/(L-1) each; the most likely k is kept, of equally likely ones the smallest. Labels with equal counts
    are both confusing or both random, so that the order of the classes decides nothing. (The authors'
    program cuts between them, too, the higher class first, and keeps the largest of equally likely k.)

    Args:
        counts: (L, L) counts [true, noisy], L at least 2.

    Returns:
        (L, L) float64 [noisy, true] with a diagonal of 0. Entries are 0 or above 1/(L-1) (lemma 1).
        The column of a class without wrong labels is 0, and so are all columns where L is 2.

    Wrong labels that are all equally frequent are random: nothing tells one of them from another.

    References:
        Xiao et al. 2015, section 3.2, eq. (10) to (14), with k = 0 besides: no confusing noise at all.
    """
    confusing = np.zeros(counts.shape, np.float64)
    for true in range(len(counts)):
        wrong = np.asarray(counts[true], np.float64).copy()
        wrong[true] = 0.0
        order = np.argsort(-wrong, kind="stable")
        kept = _most_likely_support(wrong[order])
        if kept:
            confusing[order[:kept], true] = wrong[order[:kept]] / wrong[order[:kept]].sum()
    return confusing


def _most_likely_support(wrong: np.ndarray) -> int:
    """k* of eq. (12): how many of the counts (L,), sorted descending, are confusing noise."""
    total = wrong.sum()
    if total == 0:
        return 0
    wrong = wrong[:-1]  # the true class itself, or one that is as rare
    inside = np.cumsum(wrong)
    terms = np.cumsum(wrong * np.log(np.maximum(wrong, 1.0)))  # sum of m log m; a count is 0 or at least 1
    # sum_{i<=k} m_i log(m_i / S_k) + sum_{i>k} m_i log(1/(L-1)), for k = 1 to L-1; k = 0 is the first term.
    likelihood = terms - inside * np.log(inside) - (total - inside) * np.log(len(wrong))
    likelihood = np.concatenate([[-total * np.log(len(wrong))], likelihood])
    # Never between equal counts: their order is the alphabet's.
    likelihood[1:-1][wrong[:-1] == wrong[1:]] = -np.inf
    # Equal ones differ by rounding.
    return int(np.flatnonzero(likelihood >= likelihood.max() - 1e-12 * total)[0])


def noise_types(confusing: np.ndarray) -> np.ndarray:
    """The noise type of a verified pair: (L, L) int8 [noisy, true], index into ``NOISE_TYPES``.

    0 where both are equal, 1 where ``C <= 1/(L-1)``, else 2 (Xiao 2015, theorem 2).

    Args:
        confusing: the matrix C.
    """
    types = np.where(confusing <= 1.0 / (len(confusing) - 1), 1, 2).astype(np.int8)
    np.fill_diagonal(types, 0)
    return types


def confusion(counts: np.ndarray) -> np.ndarray:
    """The matrix Q of the bottom-up model, (L, L) float64 [noisy, true]: the pairs' shares by true class.

    A class without pairs is taken to be labelled right.

    References:
        Sukhbaatar and Fergus 2014, the bottom-up model; Xiao et al. 2015, section 5.2: Q is read off the
        verified pairs (figure 6).
    """
    return transition(counts).T


def transition(counts: np.ndarray) -> np.ndarray:
    """The matrix T of forward correction, (L, L) float64 [true, noisy], from counts of pairs.

    A class without pairs is taken to be labelled right.
    """
    pairs = np.asarray(counts, np.float64)
    of_class = pairs.sum(axis=1, keepdims=True)
    return np.where(of_class > 0, pairs / np.maximum(of_class, 1.0), np.eye(len(pairs)))


def transition_from_anchors(probabilities: np.ndarray, percentile: float = ANCHOR_PERCENTILE) -> np.ndarray:
    """The matrix T without any true label: the prediction for the purest image of each class.

    Args:
        probabilities: (n, L) predictions of a classifier of noisy labels, n at least 1.
        percentile: values above this one of a class's predictions are left out as outliers.

    Returns:
        (L, L) float64 [true, noisy]: row c is the prediction for the image whose p(c) is the highest
        of those that are left.

    References:
        Patrini et al. 2017: the estimator for forward correction, with its percentile for large data.
    """
    anchors = []
    for values in probabilities.T:  # one class at a time: (n, L) arrays may be large
        anchors.append(int(np.where(values <= np.percentile(values, percentile), values, -1.0).argmax()))
    rows = np.asarray(probabilities[anchors], np.float64)
    matrix: np.ndarray = rows / rows.sum(axis=1, keepdims=True)
    return matrix


def sample_rows(parts: Iterable[np.ndarray], most: int, rng: np.random.Generator) -> np.ndarray:
    """All rows of ``parts``, or ``most`` of them that are drawn with equal chances, in their order.

    Args:
        parts: (n, L) arrays, one after the other; at least one, and n may be 0.
        most: rows to keep, at least 1; about five times as many are held at once.

    Returns:
        (at most ``most``, L).
    """
    kept: list[np.ndarray] = []
    lots: list[np.ndarray] = []

    def draw() -> None:
        values, numbers = np.concatenate(kept), np.concatenate(lots)
        chosen = np.sort(np.argpartition(numbers, most - 1)[:most]) if len(numbers) > most else slice(None)
        kept[:], lots[:] = [values[chosen]], [numbers[chosen]]

    held = 0
    for part in parts:
        kept.append(part)
        lots.append(rng.random(len(part)))
        held += len(part)
        if held > 2 * most:
            draw()
            held = most
    draw()
    return kept[0]
