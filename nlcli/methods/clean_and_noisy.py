"""A linear classifier on clean and noisy labels alike: rows 3 and 4 of Xiao 2015."""

from __future__ import annotations

from typing import ClassVar

from nlcli.methods.base.contract import Batch, SolvableConfig, Tensor
from nlcli.methods.base.linear import SolvedLinearMethod
from nlcli.methods.base.paper_settings import XIAO_PLAIN
from nlcli.methods.citations import XIAO_2015


class CleanAndNoisyConfig(SolvableConfig):
    """Settings of a classifier on verified and noisy labels."""


class CleanAndNoisy(SolvedLinearMethod):
    """One linear layer on features, from new weights: the noisy labels are treated as ground truth.

    A batch holds rows of V and T in the proportion of their numbers, as a draw from both together
    would on average; where V is small, one row.
    """

    name = "clean-and-noisy"
    Config = CleanAndNoisyConfig
    phase = ("mixed", "mixed")
    clean_share = None
    presets: ClassVar = {"clothing1m": XIAO_PLAIN}
    citation = XIAO_2015
    config: CleanAndNoisyConfig

    def losses(self, phase: str, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"loss": self.mixed_loss(features, batch)}
