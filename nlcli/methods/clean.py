"""A linear classifier on the clean set alone: rows 1 and 2 of Xiao 2015, "Clean" of Lee 2018 and Hu 2019."""

from __future__ import annotations

from typing import ClassVar

from nlcli.methods.base.contract import Batch, MethodConfig, Tensor
from nlcli.methods.base.linear import LinearMethod
from nlcli.methods.citations import XIAO_2015

# Section 5.2: rate 0.001, times 0.1 every 50,000 iterations, "until it converges". Momentum 0.9 and
# weight decay 5e-4 are those of the authors' program for their own method, batches of 256 Caffe's for AlexNet.
PLAIN_CLOTHING1M = {
    "optimizer": "sgd",
    "learning_rate": 1e-3,
    "steps": 150_000,
    "decay": 0.1,
    "decay_steps": 50_000,
    "weight_decay": 5e-4,
    "batch_size": 256,
}


class CleanConfig(MethodConfig):
    """Settings of a classifier on verified labels."""


class Clean(LinearMethod):
    """One linear layer on features, from new weights, trained on the verified labels of the clean set."""

    name = "clean"
    Config = CleanConfig
    phase = ("clean", "clean")
    presets: ClassVar = {"clothing1m": PLAIN_CLOTHING1M}
    citation = XIAO_2015
    config: CleanConfig

    def losses(self, phase: str, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"loss": self.verified_loss(features, batch)}
