"""What methods that are one linear layer on features share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from nlcli.estimation.linear_model import LinearModel
from nlcli.estimation.objective import Term
from nlcli.methods.base.contract import Batch, MethodConfig, Phase, Rows, SolvableConfig, Tensor
from nlcli.methods.base.keras_ops import ops
from nlcli.methods.base.method import Method
from nlcli.methods.base.solution import Labelled, Solved, choose_linear
from nlcli.networks.linear_layer import LinearLayer

CLEAN_WEIGHTS = (1, 5, 20)
"""What an image of the clean set may count beside one with noisy labels."""


class LinearMethod(Method):
    """One linear layer on features, trained in one phase; what on is the method's own business."""

    phase: ClassVar[tuple[str, Rows]]
    """Name of the phase and the rows of its batches."""
    clean_share: ClassVar[float | None] = 0.1
    """Of a mixed batch, see ``Phase``."""
    scores = ("classifier",)
    config: MethodConfig

    def build(self, init: LinearLayer | None) -> None:
        self.classifier = self.linear("classifier", init=init)

    def phases(self) -> tuple[Phase, ...]:
        settings = self.config
        rates = {"head": settings.learning_rate}
        # An image of which only a wrong class is known teaches a softmax nothing.
        return (self.make_phase(*self.phase, settings.steps, rates, clean_share=self.clean_share, clean_rows="named"),)

    def verified_loss(self, features: Tensor, batch: Batch) -> Tensor:
        """The classification loss on the verified labels of a batch of V."""
        return self.classification_loss(self.classifier(features), batch.verified, batch.mask)

    def mixed_loss(self, features: Tensor, batch: Batch) -> Tensor:
        """The classification loss on the verified labels of V rows and the noisy ones of T rows.

        One mean over all entries (on single-label data: rows) that have a label.
        """
        targets = ops.concatenate([batch.verified, batch.noisy], axis=0)
        mask = ops.concatenate([batch.mask, ops.ones_like(batch.noisy)], axis=0)
        return self.classification_loss(self.classifier(features), targets, mask)

    def score(self, features: Tensor, name: str) -> Tensor:
        return self.probabilities(self.classifier(features))

    def last_layer(self) -> LinearLayer | None:
        return LinearLayer.of(self.classifier, self.problem.classes)


class SolvedLinearMethod(LinearMethod):
    """One linear layer that is solved, or trained in one phase.

    What it is fitted to is what a batch would hold: noisy labels of T, verified ones of V, or both; then an image of V
    counts as much as one of ``CLEAN_WEIGHTS`` images of T, whichever verified images prefer. A method that fine-tunes
    a trained layer is held near it: its penalty is that of the distance from the layer's kernel.
    """

    solvable = True
    config: SolvableConfig

    def solve(self, labelled: Labelled) -> Solved:
        near = labelled.start if self.needs_last_layer else None
        choice = choose_linear(
            labelled,
            self.candidates(labelled),
            l2=self.config.weight_decay,
            start=near,
            towards=None if near is None else near.kernel,
        )
        self.take(choice.solution.model)
        return Solved.of(choice)

    def candidates(self, labelled: Labelled) -> Mapping[str, Sequence[Term]]:
        """What the classifier may be fitted to, by name, the simplest first."""
        rows = self.phase[1]
        if rows == "noisy":
            return {"noisy": [labelled.noisy_term()]}
        if rows == "clean":
            return {"clean": [labelled.clean_term()]}
        noisy = labelled.noisy_term(verified=True)
        return {f"clean weight {weight}": [noisy, labelled.clean_term(weight)] for weight in CLEAN_WEIGHTS}

    def take(self, model: LinearModel) -> None:
        """Make a solved classifier the layer's."""
        self.classifier.set_weights([model.kernel.astype(np.float32), model.bias.astype(np.float32)])
