"""Fine-tuning the last layer on the clean set: Backbone (Noisy-FT-L)."""

from __future__ import annotations

from typing import ClassVar

from nlcli.methods.base.contract import Batch, MethodConfig, Rows, Tensor
from nlcli.methods.base.linear import LinearMethod
from nlcli.methods.citations import VEIT_2017


class FinetuneLastConfig(MethodConfig):
    """Settings of fine-tuning the last layer."""


class FinetuneLast(LinearMethod):
    """The backbone's own last layer, from its trained weights, on verified labels alone."""

    name = "finetune-last"
    Config = FinetuneLastConfig
    phase: ClassVar[tuple[str, Rows]] = ("clean", "clean")
    # Section 4.2 of Hu 2019 (coco) and of Hu 2018 (coco-2018, open-images); section 4.4 of Veit 2017
    # (open-images-2017), whose decay every 2 epochs is one of the 9,011,219 training images, in batches of 32:
    # by epochs of the clean set the rate would be gone after a hundredth of the steps.
    presets: ClassVar = {
        "coco": {"optimizer": "adam", "learning_rate": 1e-4, "steps": 50_000},
        "coco-2018": {"optimizer": "rmsprop", "learning_rate": 1e-4, "steps": 100_000, "batch_size": 64},
        "open-images": {"optimizer": "rmsprop", "learning_rate": 1e-4, "steps": 4_000_000},
        "open-images-2017": {
            "optimizer": "rmsprop",
            "learning_rate": 1e-3,
            "steps": 4_000_000,
            "decay": 0.94,
            "decay_steps": 563_200,
        },
    }
    needs_last_layer = True
    citation = VEIT_2017
    config: FinetuneLastConfig

    def losses(self, phase: str, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"loss": self.verified_loss(features, batch)}
