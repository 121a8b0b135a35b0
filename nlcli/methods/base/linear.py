"""What methods that are one linear layer on features share."""

from __future__ import annotations

from typing import ClassVar

from nlcli.methods.base.contract import Batch, MethodConfig, Phase, Rows, Tensor
from nlcli.methods.base.keras_ops import ops
from nlcli.methods.base.method import Method
from nlcli.networks.linear_layer import LinearLayer


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
