"""Posterior relabelling: a linear classifier learns from what is believed of each image's true class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from nlcli.data.labels import only_class
from nlcli.errors import NlcliError
from nlcli.estimation.cross_fitting import stratified_folds
from nlcli.estimation.design import ChosenBlocks
from nlcli.estimation.linear_model import LinearModel
from nlcli.estimation.linear_search import Choice, Point
from nlcli.estimation.observed import Observed, plain_term
from nlcli.estimation.posterior import Apart, Believed, Classifier, believe, classifier
from nlcli.estimation.preconditioner import Preconditioner
from nlcli.estimation.solver import solve
from nlcli.methods.base.contract import Batch, MethodConfig, Phase, Tensor
from nlcli.methods.base.linear import CLEAN_WEIGHTS, SolvedLinearMethod
from nlcli.methods.base.solution import Labelled, Solved, choose_linear
from nlcli.methods.citations import XIAO_2015
from nlcli.runtime import memory_available

_TOLERANCE = 1e-4
_CELLS = 40
"""Bytes that are held at a time for each image and class."""
_TOLD = 100
"""Classes up to which T is told."""


class PosteriorConfig(MethodConfig):
    """Settings of posterior relabelling."""

    solver: Literal["solved"] = Field("solved", description="It is solved to convergence; it takes no steps.")
    folds: int = Field(5, ge=2, description="Parts of the training images, each judged by classifiers of the others.")


class Posterior(SolvedLinearMethod):
    """One linear layer, fitted to posteriors of the true classes and to a loss that knows how labels go wrong."""

    name = "posterior"
    Config = PosteriorConfig
    tasks = ("single-label",)
    stepped = False
    solved_options: ClassVar = frozenset({"solver", "feature_scale", "weight_decay", "folds"})
    phase = ("labels", "mixed")
    clean_share = None
    citation = XIAO_2015
    config: PosteriorConfig  # type: ignore[assignment]

    def phases(self) -> tuple[Phase, ...]:
        """Which images it is given: T and V, also those that are only known not to be of a class."""
        name, rows = self.phase
        return (self.make_phase(name, rows, 1, {"head": 1.0}, clean_share=self.clean_share, noisy_labels="all"),)

    def losses(self, phase: str, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Of the classifier of the labels as they are, from which everything starts."""
        return {"loss": self.mixed_loss(features, batch)}

    def solve(self, labelled: Labelled) -> Solved:
        self._require_memory(labelled)
        preconditioner = Preconditioner(labelled.design)
        observed = observed_of(labelled)
        weights = CLEAN_WEIGHTS if len(observed.verified) else CLEAN_WEIGHTS[:1]
        names = {f"labels, clean weight {weight}": weight for weight in weights}
        plain = choose_linear(
            labelled,
            {name: [plain_term(observed, weight)] for name, weight in names.items()},
            l2=self.config.weight_decay,
            preconditioner=preconditioner,
        )
        weight = float(names[plain.points[plain.chosen].candidate])
        strata = 2 * observed.noisy + (observed.true >= 0)
        folds = stratified_folds(strata, min(self.config.folds, len(strata)))
        believed = believe(
            labelled.design,
            observed,
            folds,
            self._starts(labelled, observed, folds, plain.solution.l2, weight, preconditioner),
            plain.solution.l2,
            weight=weight,
            apart=_apart(labelled),
            preconditioner=preconditioner,
        )
        made = classifier(labelled.design, observed, believed, preconditioner)
        self.take(made.model)
        return _told(plain, believed, made, observed)

    def _require_memory(self, labelled: Labelled) -> None:
        count, classes = labelled.design.shape[0], labelled.classes
        if _CELLS * count * classes > memory_available():
            raise NlcliError(
                f"method {self.name} holds probabilities of {count:,} images and {classes:,} classes, which do not fit "
                "into memory; choose clean-and-noisy, or fewer images"
            )

    def _starts(
        self,
        labelled: Labelled,
        observed: Observed,
        folds: np.ndarray,
        l2: float,
        weight: float,
        preconditioner: Preconditioner,
    ) -> list[LinearModel]:
        """Classifiers of the labels as they are, each without the images of a fold."""
        term, models = plain_term(observed, weight), []
        for number in np.unique(folds):
            kept = folds != number
            solution = solve(
                ChosenBlocks(labelled.design, kept),
                term.of_rows(np.flatnonzero(kept)),
                labelled.task,
                labelled.classes,
                l2,
                tolerance=_TOLERANCE,
                preconditioner=preconditioner,
            )
            models.append(solution.model)
        return models


def observed_of(labelled: Labelled) -> Observed:
    """What ``labelled`` says of the images of one label each."""
    noisy, verified = only_class(labelled.noisy), only_class(labelled.verified)
    true = np.where(labelled.of_clean, verified, -1)
    judged = np.asarray(labelled.known.multiply(labelled.noisy).sum(axis=1)).ravel() > 0
    wrong = labelled.of_clean & (true < 0) & judged
    weights = labelled.weights
    if labelled.counts is not None:
        weights = labelled.counts if weights is None else weights * labelled.counts
    return Observed(noisy, true, wrong, labelled.classes, weights, labelled.counts)


def _apart(labelled: Labelled) -> Apart | None:
    """Verified images of validation whose class is known."""
    checked = labelled.checked
    if checked.design is None or labelled.unverified:
        return None
    named = (checked.verified * checked.known).any(axis=1)
    return Apart(ChosenBlocks(checked.design, named), checked.verified[named].argmax(axis=1))


def _told(plain: Choice, believed: Believed, made: Classifier, observed: Observed) -> Solved:
    notes: Mapping[str, Any] = believed.notes
    path = [
        Point(f"corrected, clean weight {point['weight']:g}", point["l2"], point["iterations"], point["cost"], {})
        for point in notes["path"]
    ]
    least = min((point.cost for point in path if point.cost is not None), default=None)
    cost = least if believed.corrected else plain.points[plain.chosen].cost
    final = Point("posterior", believed.l2, made.iterations, cost, {})
    details = {
        "corrected": believed.corrected,
        "weight_of_verified": believed.weight,
        "exponents": believed.combined.combination.weights.round(4).tolist(),
        "cost_of_labels_as_they_are": notes["plain_cost"],
        "lost_classes": [point["lost_classes"] for point in notes["path"]],
    }
    if observed.classes <= _TOLD:
        details["transition"] = believed.estimated_transition(observed).round(4).tolist()
    remarks = []
    if not believed.corrected:
        remarks.append(
            "no classifier that corrects for wrong labels did better than that of the labels as they are, so that the "
            "head is that of clean-and-noisy"
        )
    points = (*plain.points, *path, final)
    return Solved(
        points=points,
        chosen=len(points) - 1,
        l2=believed.l2,
        iterations=made.iterations,
        converged=made.converged,
        crossed=plain.crossed,
        remarks=remarks,
        details=details,
    )
