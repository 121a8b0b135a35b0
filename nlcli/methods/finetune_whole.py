"""Fine-tuning backbone and last layer on the clean set: Backbone (Noisy-FT-W)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from nlcli.methods.base.contract import Batch, MethodConfig, Tensor
from nlcli.methods.base.linear import LinearMethod
from nlcli.methods.citations import HU_2018


class FinetuneWholeConfig(MethodConfig):
    """Settings of fine-tuning the whole network."""

    learning_rate: float = Field(1e-4, gt=0, description="Initial learning rate of the whole network.")


class FinetuneWhole(LinearMethod):
    """The last layer on a backbone that is trained with it, on verified labels alone."""

    name = "finetune-whole"
    Config = FinetuneWholeConfig
    # Named as in nlcli.pretrain, so that both draw the same batches.
    phase = ("verified", "clean")
    # Section 4.2 of Hu 2019 (coco) and of Hu 2018 (coco-2018, open-images): "variants of fine-tuning".
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "coco": {"optimizer": "adam", "learning_rate": 1e-4, "steps": 50_000},
        "coco-2018": {"optimizer": "rmsprop", "learning_rate": 1e-4, "steps": 100_000, "batch_size": 64},
        "open-images": {"optimizer": "rmsprop", "learning_rate": 1e-4, "steps": 4_000_000},
    }
    accepts_last_layer = True
    whole_network = True
    citation = HU_2018
    config: FinetuneWholeConfig

    def losses(self, phase: str, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"loss": self.verified_loss(features, batch)}
