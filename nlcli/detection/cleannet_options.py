"""The options of CleanNet, which its detector and its network read."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from nlcli.detection.base import DetectorConfig
from nlcli.detection.references import Selection
from nlcli.methods.base.contract import Phase, Schedule

MONITOR = "average_error"
_STAIRS = {"sgd": (0.1, 2), "adam": (0.7, 8)}  # by what the rate is multiplied, and in how many parts of the steps
Transform = Literal["log", "l2", "none"]


class CleanNetConfig(DetectorConfig):
    """Options of CleanNet. The defaults are for small data; in brackets what the paper's tables take."""

    steps: int = Field(1000, ge=1, description="Training steps (60000).")
    batch_size: int = Field(128, ge=2, description="Rows in a step, half of them verified (64).")
    optimizer: Literal["adam", "sgd"] = Field(
        "adam",
        description="adam, whose rate falls to 0.7 of itself after every eighth of the steps, or sgd with momentum "
        "0.9, whose rate is divided by 10 at half of them (sgd).",
    )
    learning_rate: float = Field(0.0015, gt=0, description="Initial learning rate (0.01, of sgd).")
    weight_decay: float = Field(1e-4, ge=0, description="L2 on kernels: half of it times their squares is added.")
    dropout: float = Field(0.2, ge=0, lt=1, description="In the reference encoder, during training.")
    references: int = Field(50, ge=1, description="K: K-means centroids of a class.")
    selection: Selection = Field(
        "kmeans", description="References: centroids, or images drawn at random (Lee 2018, section 3.1)."
    )
    transform: Transform = Field("log", description="How features enter: log(1 + x), l2 (of one length), none.")
    margin: float = Field(0.1, ge=-1, lt=1, description="rho, of wrong labels and of self-reinforcement.")
    negative_weight: float = Field(5.0, gt=0, description="omega, weight of wrong labels.")
    reconstruction: float = Field(0.1, ge=0, description="beta, weight of the autoencoder's error.")
    reinforcement: float = Field(0.1, ge=0, description="gamma, weight of unverified images.")
    transfer: Literal["check", "trust"] = Field(
        "check",
        description="Of classes that nobody verified: trust what is learned of others, or check it on verified ones "
        "left out (trust).",
    )


def matching_phase(config: CleanNetConfig) -> Phase:
    """How CleanNet is trained: half of each batch are verified noisy labels."""
    factor, stairs = _STAIRS[config.optimizer]
    rate = Schedule(config.learning_rate, factor, math.ceil(config.steps / stairs), "steps")
    return Phase(
        "matching",
        "mixed",
        config.steps,
        {"head": rate},
        config.optimizer,
        clean_share=0.5,
        clean_rows="pairs",
        noisy_labels="all",
        monitor=MONITOR,
        weight_decay=config.weight_decay,
    )
