"""The whole network trained on the verified labels of all training images: Backbone (GT)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from nlcli.methods.finetune_whole import FinetuneWhole


class GroundTruth(FinetuneWhole):
    """``finetune-whole`` with every verified training image: what perfect labels would give."""

    name = "ground-truth"
    # Section 4.2 of Hu 2018 and of Hu 2019: the settings of the backbone itself.
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "coco": {
            "optimizer": "rmsprop",
            "learning_rate": 1e-4,
            "steps": 20_000,
            "batch_size": 64,
            "decay": 0.9,
            "decay_epochs": 2.0,
        },
    }
    all_verified = True
