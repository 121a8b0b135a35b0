"""Fine-tuning backbone and last layer on the clean set: Backbone (Noisy-FT-W)."""

from __future__ import annotations

from typing import ClassVar

from nlcli.methods.base.paper_settings import HU_FINETUNING
from nlcli.methods.base.whole_network import WholeNetworkConfig, WholeNetworkMethod
from nlcli.methods.citations import HU_2018


class FinetuneWholeConfig(WholeNetworkConfig):
    """Settings of fine-tuning the whole network."""


class FinetuneWhole(WholeNetworkMethod):
    """The last layer and the backbone, from their trained weights, on the verified labels of the clean set."""

    name = "finetune-whole"
    Config = FinetuneWholeConfig
    presets: ClassVar = HU_FINETUNING
    citation = HU_2018
    config: FinetuneWholeConfig
