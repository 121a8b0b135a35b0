"""Arithmetic below float32 in training."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from nlcli.networks.training_copy import Precision

LOSS_SCALE = 2.0**15
"""First factor on the loss in float16; see ``Settings.loss_scale``."""


def training_precision(setting: str) -> Precision:
    """What ``--mixed-precision`` means on this machine."""
    from nlcli.networks.backbone import resolve_precision

    return cast("Precision", "float32" if setting == "none" else resolve_precision(setting))


def loss_scale(precision: Precision) -> float | None:
    """The first loss scale of a training in ``precision``; None where it needs none."""
    return LOSS_SCALE if precision == "float16" else None
