"""Training images with noisy labels, some of them verified, and classifiers of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from nlcli.estimation.design import RowBlocks
from nlcli.estimation.linear_model import LinearModel, Task
from nlcli.estimation.objective import Term
from nlcli.estimation.observed import Observed
from nlcli.estimation.preconditioner import Preconditioner
from nlcli.estimation.solver import TOLERANCE as END
from nlcli.estimation.solver import Solution, solve

TOLERANCE = 1e-4
"""To which classifiers are solved that are compared or asked; what is kept is solved to the end."""


@dataclass(frozen=True, eq=False)
class Images:
    """The training images.

    Attributes:
        design: (n, D) features on the scale that is solved on.
        noisy: (n, C) CSR, noisy labels.
        labelled: (n,) how much the noisy labels of an image count, 0 where it has none.
        verified, known: (n, C) CSR, what a person said, and where.
        checked: (n,) bool: a person said something.
        counts: (n,) what is verified of an image counts, besides what a candidate has it count; None: 1.
    """

    design: RowBlocks
    task: Task
    classes: int
    noisy: Any
    labelled: np.ndarray
    verified: Any
    known: Any
    checked: np.ndarray
    counts: np.ndarray | None = None

    @property
    def count(self) -> int:
        """n."""
        return self.design.shape[0]

    @cached_property
    def preconditioner(self) -> Preconditioner:
        """Of the features, for all solutions."""
        return Preconditioner(self.design)

    @cached_property
    def noisy_class(self) -> np.ndarray:
        """(n,) int64 of one label an image; -1 where there is none."""
        return first_class(self.noisy)

    @cached_property
    def true_class(self) -> np.ndarray:
        """(n,) int64 of one label an image; -1 where it is not known."""
        return first_class(self.verified)

    @property
    def beside(self) -> np.ndarray:
        """(n,) weights of noisy labels of images of which nothing is known."""
        return np.where(self.checked, 0.0, self.labelled)

    def observed(self, used: np.ndarray) -> Observed:
        """Of one label an image: what is known where only what is verified of the images ``used`` (n,) bool is."""
        true = np.where(used, self.true_class, -1)
        judged = np.asarray(self.known.multiply(self.noisy).sum(axis=1)).ravel() > 0
        wrong = used & (true < 0) & judged & (self.noisy_class >= 0)
        return Observed(self.noisy_class, true, wrong, self.classes, self.beside, self.counts)

    def of_verified(self, used: np.ndarray) -> np.ndarray:
        """(n,) float64 weights of what is verified, 0 but of the images ``used`` (n,) bool."""
        return used.astype(np.float64) if self.counts is None else np.where(used, self.counts, 0.0)

    def solved(
        self, terms: Term | Sequence[Term], l2: float, start: LinearModel | None, tolerance: float = END
    ) -> Solution:
        """The classifier of ``terms`` on these images."""
        return solve(
            self.design,
            terms,
            self.task,
            self.classes,
            l2,
            start=start,
            tolerance=tolerance,
            preconditioner=self.preconditioner,
        )

    def left_out(
        self, folds: np.ndarray, whole: LinearModel | None, without: Callable[[int, np.ndarray], LinearModel]
    ) -> np.ndarray:
        """(n, C) float32 logits of each image by a classifier that has not seen its fold.

        Args:
            folds: (n,) int64, from 0 on; below 0: none.
            whole: Of images without a fold; None: theirs are 0.
            without: Makes the classifier that has not seen a fold, of its number and of (n,) bool, which are in it.
        """
        logits = np.zeros((self.count, self.classes), np.float32)
        others = folds < 0
        if whole is not None:
            logits[others] = self.logits(whole, others)
        for fold in range(int(folds.max()) + 1):
            held = folds == fold
            logits[held] = self.logits(without(fold, held), held)
        return logits

    def logits(self, model: LinearModel, chosen: np.ndarray) -> np.ndarray:
        """Those of ``chosen`` (n,) bool images, in their order."""
        parts = [model.logits(part[chosen[first : first + len(part)]]) for first, part in self.design.blocks()]
        return np.concatenate(parts)


def first_class(labels: Any) -> np.ndarray:
    """(n,) int64 the first class of each row of a CSR matrix; -1 of an empty row."""
    matrix = labels.tocsr()
    matrix.eliminate_zeros()
    matrix.sort_indices()
    some = np.diff(matrix.indptr) > 0
    result = np.full(matrix.shape[0], -1)
    result[some] = matrix.indices[matrix.indptr[:-1][some]]
    return result
