"""A classifier on noisy labels that are weighted by their relevance (Lee et al. 2018, section 3.3)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from nlcli.methods.base.contract import Batch, Phase, Tensor
from nlcli.methods.base.finetuning import FINETUNE, FinetuningConfig, FinetuningMethod
from nlcli.methods.base.linear import LinearMethod
from nlcli.methods.base.losses import weighted_softmax_cross_entropy
from nlcli.methods.citations import LEE_2018


class CleanNetConfig(FinetuningConfig):
    """Settings of the weighted classifier."""

    weights: Literal["soft", "hard"] = Field(
        "soft", description="max(0, score) of the detection (eq. 12), or 1 from its threshold on and else 0 (eq. 13)."
    )


class CleanNet(LinearMethod, FinetuningMethod):
    """A linear softmax classifier whose loss on each noisy label is weighted by a detection.

    The detection is a stage of its own (``nlcli detect-noise``), by CleanNet or by any other
    detector; on an image without a right label the weight is near 0 (soft) or 0 (hard).
    """

    name = "cleannet"
    Config = CleanNetConfig
    phase = ("weighted", "noisy")
    tasks = ("single-label",)
    presets: ClassVar = {}
    needs_detection = True
    # Step 3 of alternating training fine-tunes the classifier that was trained on noisy labels.
    accepts_last_layer = True
    citation = LEE_2018
    config: CleanNetConfig

    def phases(self) -> tuple[Phase, ...]:
        return (*super().phases(), *self.finetuning())

    def losses(self, phase: str, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        logits = self.classifier(features)
        if phase == FINETUNE:
            return self.finetuning_losses(logits, batch)
        return {"loss": weighted_softmax_cross_entropy(logits, batch.noisy, batch.weights)}  # eq. (14)
