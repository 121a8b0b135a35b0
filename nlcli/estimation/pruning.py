"""A classifier of the labels that are left once those that look wrong are dropped, each class as it was before.

Behind a matrix of noise a classifier loses the classes most of whose labels are wrong. One of labels as they are does
not so easily: what the confident counts say is wrong is dropped, and a label of class c that is left counts
1 / T[c, c], so that classes of which many labels went wrong are not thought rare (Northcutt et al. 2021, sections 3.2
and 3.3). What is left makes a better classifier, by which labels are dropped once more.
"""

from __future__ import annotations

import numpy as np

from nlcli.estimation.images import TOLERANCE, Images
from nlcli.estimation.linear_model import LinearModel, probabilities
from nlcli.estimation.objective import Term
from nlcli.estimation.transition import confident_counts, confident_transition

STRENGTH = 10**-0.5
"""As a factor on the one that noisy labels prefer: labels that are right want a surer classifier."""
ROUNDS = 2


def looks_wrong(probabilities: np.ndarray, noisy: np.ndarray) -> np.ndarray:
    """(n,) bool, labels to drop: of those labelled j as many as are of class c, those most of c and least of j.

    How many is the part of the confident ones labelled j that counts as c. A label that is the most probable stays.

    Args:
        probabilities: (n, C) by classifiers that have not seen the image.
        noisy: (n,) int64 labels.

    References:
        Northcutt et al. 2021, section 3.2, pruning by noise rate.
    """
    classes = probabilities.shape[1]
    counts = confident_counts(probabilities, noisy)
    wrong = np.zeros(len(noisy), bool)
    for label in range(classes):
        rows = np.flatnonzero(noisy == label)
        parts = counts[:, label] / max(1.0, counts[:, label].sum())
        for other in np.flatnonzero(parts):
            if other != label:
                ahead = probabilities[rows, other] - probabilities[rows, label]
                first = np.argsort(-ahead, kind="stable")[: round(len(rows) * float(parts[other]))]
                wrong[rows[first]] = True
    wrong &= probabilities.argmax(axis=1) != noisy
    return wrong


def weights_left(images: Images, folds: np.ndarray, logits: np.ndarray, l2: float) -> np.ndarray:
    """(n,) weights of the noisy labels of ``images``, of one label each: 0 of those that look wrong.

    Args:
        folds: (n,) int64 of the images whose noisy labels are heard; -1 of all others.
        logits: (n, C) of noisy labels, by classifiers that have not seen the image.
        l2: The strength that noisy labels prefer.
    """
    rows, labels = np.flatnonzero(folds >= 0), images.noisy_class

    def said(logits: np.ndarray) -> np.ndarray:
        return probabilities(logits[rows].astype(np.float64), "single-label")

    transition = confident_transition(said(logits), labels[rows])
    each = np.zeros(images.count)
    each[rows] = images.beside[rows] / transition.diagonal()[labels[rows]]
    left = each.copy()

    def without(_: int, held: np.ndarray) -> LinearModel:
        return images.solved(Term(images.noisy, np.where(held, 0.0, left)), l2 * STRENGTH, None, TOLERANCE).model

    for turn in range(ROUNDS):
        if turn:
            logits = images.left_out(folds, None, without)
        left[rows] = np.where(looks_wrong(said(logits), labels[rows]), 0.0, each[rows])
    return left
