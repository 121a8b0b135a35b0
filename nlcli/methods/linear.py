"""What methods that are one linear layer on features share."""

from __future__ import annotations

from typing import ClassVar

from nlcli.methods.base import LastLayer, Method, MethodConfig, Phase, Rows, Tensor


class LinearMethod(Method):
    """One linear layer on features, trained in one phase; what on is the method's own business."""

    phase: ClassVar[tuple[str, Rows]]
    """Name of the phase and the rows of its batches."""
    scores = ("classifier",)
    config: MethodConfig

    def build(self, init: LastLayer | None) -> None:
        self.classifier = self.linear("classifier", init=init)

    def phases(self) -> tuple[Phase, ...]:
        settings = self.config
        return (self.make_phase(*self.phase, settings.steps, {"head": settings.learning_rate}),)

    def score(self, features: Tensor, name: str) -> Tensor:
        return self.probabilities(self.classifier(features))

    def last_layer(self) -> LastLayer | None:
        return LastLayer(*self.classifier.get_weights())
