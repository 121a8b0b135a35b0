"""Fine-tuning the last layer on a 1:9 mixture of clean and noisy labels: Backbone (Noisy-FT-M)."""

from __future__ import annotations

from nlcli.methods.base.contract import Batch, Tensor
from nlcli.methods.finetune_last import FinetuneLast, FinetuneLastConfig


class FinetuneMixedConfig(FinetuneLastConfig):
    """Settings of fine-tuning the last layer on mixed labels."""


class FinetuneMixed(FinetuneLast):
    """FT-L with the batches of the cleaning methods: verified labels on V rows, noisy on T rows."""

    name = "finetune-mixed"
    Config = FinetuneMixedConfig
    phase = ("mixed", "mixed")
    config: FinetuneMixedConfig

    def losses(self, phase: str, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"loss": self.mixed_loss(features, batch)}
