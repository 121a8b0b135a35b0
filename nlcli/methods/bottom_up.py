"""The bottom-up noise model: a fixed confusion matrix behind the classifier (Sukhbaatar and Fergus 2014)."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from nlcli.methods.base.contract import Batch, Phase, SolvableConfig, Tensor
from nlcli.methods.base.finetuning import FINETUNE
from nlcli.methods.base.linear import CLEAN_WEIGHTS
from nlcli.methods.base.losses import transition_cross_entropy, verified_softmax_cross_entropy
from nlcli.methods.base.noise_model import MixedConfig, SolvedNoiseModel
from nlcli.methods.base.solution import Labelled, Solved, choose_linear
from nlcli.methods.base.transition import confusion
from nlcli.methods.citations import SUKHBAATAR_2014
from nlcli.networks.linear_layer import LinearLayer

_PLAIN_WEIGHT = 5
"""Of an image of the clean set in the classifier that is begun with."""


class BottomUpConfig(SolvableConfig, MixedConfig):
    """Settings of the bottom-up model; ``learning_rate`` and ``steps`` are those of the mixed training."""

    pretrain_steps: int = Field(
        1000, ge=0, description="Steps on verified images alone, before all others (0: none, as where these were seen)."
    )


class BottomUp(SolvedNoiseModel):
    """A classifier ``p(y | x)`` whose noisy labels are ``p(n | x) = Q p(y | x)``, Q from verified pairs.

    The baseline of Xiao et al. 2015, row 5 of their table 2: the noise depends on the true class alone.
    """

    name = "bottom-up"
    Config = BottomUpConfig
    # Xiao 2015, section 5.2: as their own method, with which they compare it. Table 1: it begins at model 2, which the
    # clean set has trained.
    presets: ClassVar = {
        "clothing1m": {
            "optimizer": "sgd",
            "learning_rate": 1e-3,
            "pretrain_rate": 1e-3,
            "decay": 0.1,
            "decay_steps": 50_000,
            "weight_decay": 5e-4,
            "batch_size": 256,
            "steps": 160_000,
            "pretrain_steps": 0,
            "pairs_of": "train+validation",  # as the authors' program
        },
    }
    accepts_last_layer = True
    citation = SUKHBAATAR_2014
    config: BottomUpConfig

    @classmethod
    def uses_pairs(cls, config: Any) -> bool:
        return True

    def build(self, init: LinearLayer | None) -> None:
        super().build(init)
        pairs, classes = self.required_noise(), self.problem.num_classes
        matrix = np.eye(classes) if pairs is None else confusion(pairs)
        self.confusion = self.constant("Q", matrix.astype(np.float32))

    def solve(self, labelled: Labelled) -> Solved:
        """Both kinds of labels, the noisy ones behind Q, as ``clean-and-noisy`` has them without it."""
        noisy, weight = labelled.noisy_term(verified=True), self.config.weight_decay
        terms = [noisy, labelled.clean_term(_PLAIN_WEIGHT)]
        plain = choose_linear(labelled, {"without Q": terms}, l2=weight)
        matrix = self.shrunk(plain.solution.model, labelled)
        self.confusion.assign(matrix.T.astype(np.float32))
        behind = labelled.noisy_term(verified=True, transition=matrix)
        candidates = {f"clean weight {w}": [behind, labelled.clean_term(w)] for w in CLEAN_WEIGHTS}
        return self.corrected(labelled, plain, terms, candidates)

    def phases(self) -> tuple[Phase, ...]:
        settings = self.config
        mixed = self.make_phase(
            "mixed",
            "mixed",
            settings.steps,
            {"head": settings.learning_rate},
            clean_share=settings.clean_share,
            clean_rows="named",
        )
        if not settings.pretrain_steps:
            return (mixed, *self.finetuning())
        first = self.make_phase(
            "pretrain", "clean", settings.pretrain_steps, {"head": settings.pretrain_rate}, clean_rows="named"
        )
        return (first, mixed, *self.finetuning())

    def losses(self, phase: str, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        logits = self.classifier(features)
        if phase == FINETUNE:
            return self.finetuning_losses(logits, batch)
        clean = verified_softmax_cross_entropy(batch.of_clean(logits), batch.verified, batch.mask)
        if phase == "pretrain":
            return {"loss": clean, "L_clean": clean}
        noise = transition_cross_entropy(batch.of_noisy(logits), batch.noisy, self.confusion.value)
        return {"loss": self.config.clean_weight * clean + noise, "L_clean": clean, "L_noise": noise}
