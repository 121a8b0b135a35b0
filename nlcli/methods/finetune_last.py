"""Fine-tuning the last layer on the clean set: Backbone (Noisy-FT-L)."""

from __future__ import annotations

from typing import ClassVar

from nlcli.methods.base.contract import Batch, SolvableConfig, Tensor
from nlcli.methods.base.linear import SolvedLinearMethod
from nlcli.methods.base.paper_settings import HU_FINETUNING, VEIT_FINETUNING
from nlcli.methods.citations import VEIT_2017


class FinetuneLastConfig(SolvableConfig):
    """Settings of fine-tuning the last layer."""


class FinetuneLast(SolvedLinearMethod):
    """The backbone's own last layer, from its trained weights, on verified labels alone."""

    name = "finetune-last"
    Config = FinetuneLastConfig
    phase = ("clean", "clean")
    presets: ClassVar = HU_FINETUNING | VEIT_FINETUNING
    needs_last_layer = True
    solved_scale = "none"  # that of the layer
    citation = VEIT_2017
    config: FinetuneLastConfig

    def losses(self, phase: str, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"loss": self.verified_loss(features, batch)}
