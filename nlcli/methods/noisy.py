"""A linear classifier on noisy labels: Backbone (Noisy), the baseline of every table."""

from __future__ import annotations

from typing import ClassVar

from nlcli.methods.base.contract import Batch, SolvableConfig, Tensor
from nlcli.methods.base.linear import SolvedLinearMethod
from nlcli.methods.citations import HU_2018


class NoisyConfig(SolvableConfig):
    """Settings of the noisy baseline."""


class Noisy(SolvedLinearMethod):
    """One linear layer on features, trained on the noisy labels of all training images."""

    name = "noisy"
    Config = NoisyConfig
    phase = ("noisy", "noisy")
    # The papers train the whole backbone here; on cached features the last layer gets the settings
    # that they give to fine-tuning it (Hu 2019 and Hu 2018, section 4.2 of both).
    presets: ClassVar = {
        "coco": {"optimizer": "adam", "learning_rate": 1e-4, "steps": 50_000},
        "open-images": {"optimizer": "rmsprop", "learning_rate": 1e-4, "steps": 4_000_000},
    }
    citation = HU_2018
    config: NoisyConfig

    def losses(self, phase: str, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"loss": self.classification_loss(self.classifier(features), batch.noisy)}
