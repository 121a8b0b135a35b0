"""Fine-tuning the last layer on a 1:9 mixture of clean and noisy labels: Backbone (Noisy-FT-M)."""

from __future__ import annotations

from typing import ClassVar

from nlcli.methods.base.contract import Batch, SolvableConfig, Tensor
from nlcli.methods.base.linear import SolvedLinearMethod
from nlcli.methods.base.paper_settings import HU_FINETUNING, VEIT_FINETUNING
from nlcli.methods.citations import VEIT_2017


class FinetuneMixedConfig(SolvableConfig):
    """Settings of fine-tuning the last layer on mixed labels."""


class FinetuneMixed(SolvedLinearMethod):
    """The backbone's own last layer, with the batches of the cleaning methods.

    That is FT-L with noisy labels on T rows besides the verified ones on V rows.
    """

    name = "finetune-mixed"
    Config = FinetuneMixedConfig
    phase = ("mixed", "mixed")
    presets: ClassVar = HU_FINETUNING | VEIT_FINETUNING
    needs_last_layer = True
    solved_scale = "none"  # that of the layer
    citation = VEIT_2017
    config: FinetuneMixedConfig

    def losses(self, phase: str, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"loss": self.mixed_loss(features, batch)}
