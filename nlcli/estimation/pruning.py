"""A classifier of the labels that are left once those that look wrong are dropped, each class as it was before.

Behind a matrix of noise a classifier loses the classes most of whose labels are wrong. One of labels as they are does
not so easily: what the confident counts say is wrong is dropped, and a label of class c that is left counts
1 / T[c, c], so that classes of which many labels went wrong are not thought rare (Northcutt et al. 2021, sections 3.2
and 3.3). What is left makes a better classifier, by which labels are dropped once more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nlcli.estimation.candidates import TOLERANCE, Candidates
from nlcli.estimation.linear_model import LinearModel, log_softmax
from nlcli.estimation.objective import Term
from nlcli.estimation.solver import TOLERANCE as END
from nlcli.estimation.solver import Solution
from nlcli.estimation.transition import confident_counts

STRENGTH = 10**-0.5
"""As a factor on the one that noisy labels prefer: labels that are right want a surer classifier."""
ROUNDS = 2


@dataclass(frozen=True, eq=False)
class Pruned:
    """What came of it.

    Attributes:
        model: Solved to the end on the labels that are left.
        l2, iterations, converged: Of that.
        dropped: (n,) bool.
    """

    model: LinearModel
    l2: float
    iterations: int
    converged: bool
    dropped: np.ndarray


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


def pruned(candidates: Candidates, transition: np.ndarray) -> Pruned:
    """The classifier of what is left of the noisy labels of ``candidates``, of one label an image.

    Args:
        transition: (C, C) T [true, noisy], no entry 0.
    """
    images, l2 = candidates.images, candidates.l2 * STRENGTH
    rows, labels = np.flatnonzero(candidates.folds >= 0), images.noisy_class
    each = images.beside / transition.diagonal()[np.maximum(labels, 0)]

    def fitted(without: np.ndarray, start: LinearModel | None, tolerance: float = TOLERANCE) -> Solution:
        return images.solved(Term(images.noisy, np.where(without, 0.0, each)), l2, start, tolerance)

    def to_drop(logits: np.ndarray) -> np.ndarray:
        dropped = np.zeros(images.count, bool)
        dropped[rows] = looks_wrong(np.exp(log_softmax(logits[rows].astype(np.float64))), labels[rows])
        return dropped

    def once_more(dropped: np.ndarray, start: LinearModel) -> tuple[np.ndarray, LinearModel]:
        whole = fitted(dropped, start).model
        logits = images.left_out(candidates.folds, whole, lambda _, held: fitted(dropped | held, None).model)
        return to_drop(logits), whole

    dropped, model = to_drop(candidates.noisy_logits), candidates.noisy_model
    for _ in range(ROUNDS - 1):
        dropped, model = once_more(dropped, model)
    solution = fitted(dropped, model, END)
    return Pruned(solution.model, l2, solution.iterations, solution.converged, dropped)
