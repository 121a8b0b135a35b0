"""``config.json`` of a run: what its head is, for whoever loads it, and how it was trained."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field

from nlcli.data.labels import Task
from nlcli.methods.base.contract import Problem
from nlcli.stages.records import ClassText, Record
from nlcli.training.loop.sampling import Order

CONFIG = "config.json"
MOST_FEATURES = 1 << 24
"""A length of feature vectors that no network comes near: what is above it is no run's."""


class RunConfig(Record):
    """Everything needed to build the head again, and to repeat the run.

    Attributes:
        method, method_config, preset: The method with all its settings, and the preset that gave some of them.
        num_features: D.
        classes, task: Of the data set.
        seed, clean_fraction, eval_every, patience: As the run was set.
        dataset_fingerprint, backbone_fingerprint: Of what it was trained on.
        order: Of rows, on features.
        trunk, precision, flip, crop: Of training from images.
        two_trunks: The backbone is two networks side by side; see ``Problem``.
    """

    made_by: ClassVar[str] = "train-head"

    method: str
    method_config: dict[str, Any]
    preset: str | None
    num_features: Annotated[int, Field(ge=1, le=MOST_FEATURES)]
    classes: Annotated[tuple[ClassText, ...], Field(min_length=1)]
    task: Task
    seed: int
    clean_fraction: float
    eval_every: int | None
    patience: int
    dataset_fingerprint: str
    backbone_fingerprint: str
    order: Order | None = None
    trunk: str | None = None
    two_trunks: bool = False
    precision: str | None = None
    flip: str | None = None
    crop: float | None = None

    @classmethod
    def upgraded(cls, value: dict[str, Any]) -> dict[str, Any]:
        """0.1.0 wrote the same without a version."""
        return {"version": 1} | value

    def to_json(self) -> dict[str, Any]:
        """Without what this kind of training does not have."""
        return self.model_dump(mode="json", exclude_unset=True) | {"version": self.FORMAT}

    @property
    def problem(self) -> Problem:
        """What the method was built for, without the pairs that training counted."""
        return Problem(self.num_features, self.classes, self.task, two_trunks=self.two_trunks)
