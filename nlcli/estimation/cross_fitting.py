"""Parts of the images that take turns at being predicted by what was fitted on the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nlcli.estimation.design import ChosenBlocks, RowBlocks, as_blocks
from nlcli.estimation.linear_model import LinearModel, Task
from nlcli.estimation.objective import Term
from nlcli.estimation.preconditioner import Preconditioner
from nlcli.estimation.solver import TOLERANCE, Solution, solve
from nlcli.seeds import stream


def stratified_folds(strata: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """(n,) int64 fold of each image, 0 to ``count - 1``: sizes differ by one, those of each stratum too.

    Args:
        strata: (n,) integers, such as classes.
        seed: The same one gives the same folds; nothing else decides them.
    """
    random = stream(seed, "folds")
    folds = np.empty(len(strata), np.int64)
    dealt = 0
    for value in np.unique(strata):
        members = random.permutation(np.flatnonzero(strata == value))
        folds[members] = (dealt + np.arange(len(members))) % count
        dealt += len(members)
    return folds


def strata_of_tags(tags: Any) -> np.ndarray:
    """(n,) int64 the rarest class that each image has, -1 for none; ``tags`` are (n, C), an array or a CSR matrix."""
    counts = np.asarray(tags.sum(axis=0), np.float64).ravel()
    rank = np.empty(len(counts), np.int64)
    rank[np.argsort(counts, kind="stable")] = np.arange(len(counts))  # 0 is the rarest
    strata = np.full(tags.shape[0], -1)
    classes = np.argsort(rank)
    for first in range(0, tags.shape[0], 4096):
        part = tags[first : first + 4096]
        there = np.asarray(part.toarray() if hasattr(part, "toarray") else part) > 0
        ranks = np.where(there, rank, len(rank)).min(axis=1, initial=len(rank))
        some = ranks < len(rank)
        strata[first : first + len(ranks)][some] = classes[ranks[some]]
    return strata


def out_of_fold(
    features: np.ndarray | RowBlocks,
    terms: Term | Sequence[Term],
    task: Task,
    classes: int,
    l2: float | Sequence[float],
    folds: np.ndarray,
    *,
    tolerance: float = TOLERANCE,
    preconditioner: Preconditioner | None = None,
) -> np.ndarray:
    """Logits of every image with a fold, by classifiers solved without any image of that fold.

    Args:
        l2: One value, or a path of them from strong to weak, each started from the one before.
        folds: (n,) number of each row's fold; below 0: always fitted on and never predicted.

    Returns:
        (m, C) float32 of the rows with a fold in their order; for a path (number of values, m, C).
    """
    values = [float(value) for value in np.atleast_1d(np.asarray(l2, np.float64))]
    logits = list(
        out_of_fold_path(
            features, terms, task, classes, values, folds, tolerance=tolerance, preconditioner=preconditioner
        )
    )
    return np.stack(logits) if np.ndim(l2) else logits[0]


@dataclass(frozen=True, eq=False)
class Beginning:
    """A classifier that others start at, and what it was fitted to.

    Without the images of a fold they start at one that was fitted without them: what did not move far would still know
    them, and of few images with many features it need not move at all.
    """

    model: LinearModel
    terms: Sequence[Term]
    l2: float

    def without(
        self, design: RowBlocks, folds: np.ndarray, tolerance: float, preconditioner: Preconditioner
    ) -> dict[int, LinearModel]:
        """By each of ``folds`` (n,) that is not below 0, the same fitted without it."""
        task, classes = self.model.task, len(self.model.bias)
        models = {}
        for fold in np.unique(folds[folds >= 0]).tolist():
            kept = folds != fold
            terms = [term.of_rows(kept) for term in self.terms]
            rows = ChosenBlocks(design, kept)
            solution = solve(rows, terms, task, classes, self.l2, tolerance=tolerance, preconditioner=preconditioner)
            models[fold] = solution.model
        return models


def out_of_fold_path(
    features: np.ndarray | RowBlocks,
    terms: Term | Sequence[Term],
    task: Task,
    classes: int,
    values: Sequence[float],
    folds: np.ndarray,
    *,
    start: LinearModel | Mapping[int, LinearModel] | None = None,
    towards: np.ndarray | None = None,
    tolerance: float = TOLERANCE,
    preconditioner: Preconditioner | None = None,
    afresh: bool = False,
) -> Iterator[np.ndarray]:
    """What ``out_of_fold`` gives of each value of l2, one after the other: whoever has seen enough takes no more.

    Args:
        start: Of every fold's first solution: one that has seen no label of these images, or one for each fold.
    """
    design = as_blocks(features)
    preconditioner = preconditioner or Preconditioner(design)
    listed = (terms,) if isinstance(terms, Term) else tuple(terms)
    predicted = np.flatnonzero(folds >= 0)
    found: dict[int, Solution | None] = dict.fromkeys(np.unique(folds[predicted]).tolist())
    starts = start if isinstance(start, Mapping) else dict.fromkeys(found, start)
    for value in values:
        logits = np.empty((len(predicted), classes), np.float32)
        for fold, before in found.items():
            held = folds == fold
            solution = solve(
                ChosenBlocks(design, ~held),
                [term.of_rows(~held) for term in listed],
                task,
                classes,
                value,
                start=starts[fold],
                towards=towards,
                tolerance=tolerance,
                preconditioner=preconditioner,
                after=before,
                keep=not afresh and len(values) > 1,
            )
            found[fold] = None if afresh else solution
            parts = [solution.model.logits(part) for _, part in ChosenBlocks(design, held).blocks()]
            logits[held[predicted]] = np.concatenate(parts)
        yield logits
