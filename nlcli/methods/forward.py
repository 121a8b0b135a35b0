"""Forward loss correction: a transition matrix behind the classifier (Patrini et al. 2017)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
from pydantic import Field

from nlcli.methods.base.contract import Batch, Phase, SolvableConfig, Tensor
from nlcli.methods.base.finetuning import FINETUNE
from nlcli.methods.base.keras_ops import ops
from nlcli.methods.base.losses import softmax_cross_entropy, transition_cross_entropy
from nlcli.methods.base.noise_model import NoiseModelConfig, SolvedNoiseModel, predictions
from nlcli.methods.base.solution import Labelled, Solved, choose_linear
from nlcli.methods.base.transition import sample_rows, transition, transition_from_anchors
from nlcli.methods.citations import PATRINI_2017
from nlcli.networks.linear_layer import LinearLayer
from nlcli.seeds import stream

_PREDICTIONS = 1 << 25  # probabilities that T is read off: 128 MiB


class ForwardConfig(SolvableConfig, NoiseModelConfig):
    """Settings of forward correction; ``steps`` and ``learning_rate`` are those of the corrected training."""

    transition: Literal["auto", "pairs", "anchors"] = Field(
        "auto", description="T from verified pairs, or from anchor points; auto: from pairs where some are wrong."
    )
    noisy_steps: int = Field(4000, ge=1, description="Steps on noisy labels as they are, before anchor points.")


class Forward(SolvedNoiseModel):
    """A classifier whose noisy labels are ``p(n | x) = p(y | x) T``; T is estimated before its training.

    By anchor points: a first classifier, trained on the noisy labels as they are, predicts all images; the
    prediction for the purest image of each class is that class's row of T. The second classifier begins
    with the same initial weights as the first.
    """

    name = "forward"
    Config = ForwardConfig
    citation = PATRINI_2017
    restarts = ("corrected",)
    solved_options = SolvedNoiseModel.solved_options | {"transition"}
    config: ForwardConfig

    @classmethod
    def uses_pairs(cls, config: Any) -> bool:
        return bool(config.transition != "anchors")

    def build(self, init: LinearLayer | None) -> None:
        super().build(init)
        pairs = self._pairs()
        self.from_anchors = pairs is None
        matrix = np.eye(self.problem.num_classes) if pairs is None else transition(pairs)
        self.transition = self.constant("T", matrix.astype(np.float32))
        self._initial = self.classifier.get_weights()

    def _pairs(self) -> np.ndarray | None:
        """The pairs that T is read off; None where anchor points give it."""
        if self.config.transition == "pairs":
            return self.required_noise()
        return self.known_noise() if self.config.transition == "auto" else None

    def phases(self) -> tuple[Phase, ...]:
        settings = self.config
        rates = {"head": settings.learning_rate}
        corrected = self.make_phase("corrected", "noisy", settings.steps, rates)
        if not self.from_anchors:
            return (corrected, *self.finetuning())
        return (self.make_phase("noisy", "noisy", settings.noisy_steps, rates), corrected, *self.finetuning())

    def solve(self, labelled: Labelled) -> Solved:
        """Behind T by pairs or by confident counts; by anchor points where these are asked for."""
        terms = [labelled.noisy_term()]
        plain = choose_linear(labelled, {"noisy": terms}, l2=self.config.weight_decay)
        model = plain.solution.model
        if self.config.transition == "anchors":
            matrix = transition_from_anchors(predictions(model, labelled)[0])
        else:
            self._pairs()  # where they are asked for and tell nothing, it says so
            matrix = self.shrunk(model, labelled)
        self.transition.assign(matrix.astype(np.float32))
        return self.corrected(labelled, plain, terms, {"corrected": [labelled.noisy_term(transition=matrix)]})

    def begin(self, phase: str, features: Callable[[], Iterator[np.ndarray]]) -> None:
        """Before the corrected training: read T off the trained classifier, then begin anew."""
        if phase == "corrected" and self.from_anchors:
            most = max(1, _PREDICTIONS // self.problem.num_classes)
            predictions = (ops.convert_to_numpy(self.score(part, "classifier")) for part in features())
            matrix = transition_from_anchors(sample_rows(predictions, most, stream(self.seed, "anchors")))
            self.transition.assign(matrix.astype(np.float32))
            self.classifier.set_weights(self._initial)

    def losses(self, phase: str, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        logits = self.classifier(features)
        if phase == FINETUNE:
            return self.finetuning_losses(logits, batch)
        if phase == "noisy":
            return {"loss": softmax_cross_entropy(logits, batch.noisy)}
        noise = ops.transpose(self.transition.value)  # [noisy, true]
        return {"loss": transition_cross_entropy(logits, batch.noisy, noise)}
