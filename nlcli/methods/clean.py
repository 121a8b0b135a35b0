"""A linear classifier on the clean set alone: rows 1 and 2 of Xiao 2015, "Clean" of Lee 2018 and Hu 2019."""

from __future__ import annotations

from typing import ClassVar

from nlcli.methods.base.contract import Batch, SolvableConfig, Tensor
from nlcli.methods.base.linear import SolvedLinearMethod
from nlcli.methods.base.paper_settings import XIAO_PLAIN
from nlcli.methods.citations import XIAO_2015


class CleanConfig(SolvableConfig):
    """Settings of a classifier on verified labels."""


class Clean(SolvedLinearMethod):
    """One linear layer on features, from new weights, trained on the verified labels of the clean set."""

    name = "clean"
    Config = CleanConfig
    phase = ("clean", "clean")
    presets: ClassVar = {"clothing1m": XIAO_PLAIN}
    citation = XIAO_2015
    config: CleanConfig

    def losses(self, phase: str, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"loss": self.verified_loss(features, batch)}
