"""The whole network trained on the verified labels of all training images: Backbone (GT)."""

from __future__ import annotations

from typing import ClassVar

from nlcli.methods.base.whole_network import WholeNetworkConfig, WholeNetworkMethod
from nlcli.methods.citations import HU_2018


class GroundTruthConfig(WholeNetworkConfig):
    """Settings of training on all verified labels."""


class GroundTruth(WholeNetworkMethod):
    """``finetune-whole`` with every verified training image: what perfect labels would give."""

    name = "ground-truth"
    Config = GroundTruthConfig
    # Section 4.2 of Hu 2018 and of Hu 2019: the settings of the backbone itself.
    presets: ClassVar = {
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
    citation = HU_2018
    config: GroundTruthConfig
