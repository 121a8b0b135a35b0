"""What passes between training and a method whose classifier is solved instead of stepped.

A method that can be solved states ``solvable = True`` and has ``solve(labelled)``: it chooses a classifier on what it
is given, puts it into its own layers, and returns how it was chosen. ``nlcli.estimation`` has what it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from nlcli.estimation.contest import Judges
from nlcli.estimation.cross_fitting import Beginning
from nlcli.estimation.design import RowBlocks
from nlcli.estimation.images import Images, first_class
from nlcli.estimation.linear_model import LinearModel, Task
from nlcli.estimation.linear_search import Checked, Choice, Point, choose
from nlcli.estimation.objective import Term, Unknown
from nlcli.estimation.path import path_values
from nlcli.estimation.preconditioner import Preconditioner

Measure = Callable[[np.ndarray], Mapping[str, float]]


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """The training images of a run: n of them, of V, of T or of both, by rows of ``design``.

    Attributes:
        design: Their features on the method's scale.
        noisy: (n, C) CSR, noisy labels.
        of_noisy: (n,) bool, the rows of T: those whose noisy labels the method's batches would hold.
        weights: (n,) what a detection says that noisy labels weigh; None: 1.
        verified, known: (n, C) CSR, what a person said of the rows of V, and where; 0 in others.
        of_clean: (n,) bool, the rows of V.
        checked: The verified images that choose; where a run has none, its own noisy labels.
        unverified: Whether it has none.
        measure: Metrics of (m, C) scores of the checked images.
        start: The layer to start from, on the method's scale; None: new weights.
        counts: (n,) what each image counts in losses, by its noisy labels and by verified ones alike; None: 1.

    The terms below heed ``weights`` and ``counts``. A method that makes none of them has to heed them itself: training
    refuses one that never asks for those that a run has.
    """

    design: RowBlocks
    task: Task
    classes: int
    noisy: Any
    of_noisy: np.ndarray
    weights: np.ndarray | None
    verified: Any
    known: Any
    of_clean: np.ndarray
    checked: Checked
    unverified: bool
    measure: Measure
    start: LinearModel | None = None
    counts: np.ndarray | None = None

    @property
    def noisy_weights(self) -> np.ndarray:
        """(n,) float64 what the noisy labels of T weigh; 0 in others."""
        weights = self.of_noisy.astype(np.float64)
        if self.weights is not None:
            weights *= self.weights
        return weights if self.counts is None else weights * self.counts

    def noisy_term(self, *, verified: bool = False, transition: np.ndarray | None = None) -> Term:
        """The noisy labels of T.

        Args:
            verified: Whether what is verified of an image stands in for its noisy labels elsewhere, so that these
                count only where nothing is.
        """
        weights = self.noisy_weights
        mask = None
        if verified and self.task == "single-label":
            weights *= ~self.of_clean
        elif verified:
            mask = Unknown(self.known)
        return Term(self.noisy, weights, mask, transition)

    def clean_term(self, weight: float = 1.0) -> Term:
        """What is verified of V, each image of which counts ``weight``."""
        counts = 1.0 if self.counts is None else self.counts
        return Term(self.verified, weight * self.of_clean * counts, self.known)


class Watched(Labelled):
    """The same images, which note whether what they weigh was asked for."""

    @classmethod
    def of(cls, labelled: Labelled) -> Watched:
        """Of ``labelled``, which is left as it is."""
        return cls(**{part.name: getattr(labelled, part.name) for part in fields(labelled)})

    def __getattribute__(self, name: str) -> Any:
        if name in ("weights", "counts"):
            self.__dict__.setdefault("_asked", set()).add(name)
        return super().__getattribute__(name)

    def passed_over(self) -> list[str]:
        """Which of ``weights`` and ``counts`` were given, and never asked for."""
        given = {name for name in ("weights", "counts") if self.__dict__[name] is not None}
        return sorted(given - self.__dict__.get("_asked", set()))


@dataclass(frozen=True)
class Solved:
    """How a classifier was chosen and solved.

    Attributes:
        points: What was compared, in order; a point's ``candidate`` is the phase that ``metrics.jsonl`` tells it under.
        chosen: Which of them.
        l2: Of the chosen one.
        iterations: Those of its solution.
        converged: Whether it met the tolerance.
        crossed: Whether it was chosen on training images, by classifiers that had not seen them.
        remarks: Sentences on what should not be taken as it is.
        details: More, as JSON types, by name.
    """

    points: Sequence[Point]
    chosen: int
    l2: float
    iterations: int
    converged: bool
    crossed: bool
    remarks: Sequence[str] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, choice: Choice, before: Sequence[Point] = (), **more: Any) -> Solved:
        """Of a choice, ``before`` which other points were looked at."""
        return cls(
            points=(*before, *choice.points),
            chosen=len(before) + choice.chosen,
            l2=choice.solution.l2,
            iterations=choice.solution.iterations,
            converged=choice.solution.converged,
            crossed=choice.crossed,
            **more,
        )


def images_and_judges(labelled: Labelled) -> tuple[Images, Judges | None]:
    """The training images as candidates are fitted to them, and verified ones that are not trained on."""
    known = np.asarray(labelled.known.sum(axis=1)).ravel() > 0
    images = Images(
        design=labelled.design,
        task=labelled.task,
        classes=labelled.classes,
        noisy=labelled.noisy,
        labelled=labelled.noisy_weights,
        verified=labelled.verified,
        known=labelled.known,
        checked=labelled.of_clean & known,
        counts=labelled.counts,
    )
    checked = labelled.checked
    if checked.design is None or labelled.unverified:
        return images, None
    noisy = None if checked.noisy is None or labelled.task == "multi-label" else first_class(checked.noisy)
    return images, Judges(checked.design, checked.verified, checked.known, noisy)


def choose_linear(
    labelled: Labelled,
    candidates: Mapping[str, Sequence[Term]],
    *,
    l2: float = 0.0,
    start: LinearModel | Beginning | None = None,
    towards: np.ndarray | None = None,
    preconditioner: Preconditioner | None = None,
    afresh: bool = False,
) -> Choice:
    """The best of ``candidates`` along the path of l2, or at one ``l2`` that is above 0."""
    return choose(
        labelled.design,
        candidates,
        labelled.task,
        labelled.classes,
        (l2,) if l2 else path_values(labelled.design),
        labelled.checked,
        start=start,
        towards=towards,
        measure=labelled.measure,
        preconditioner=preconditioner,
        afresh=afresh,
    )
