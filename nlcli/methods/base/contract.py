"""What passes between a method and the training loop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from nlcli.data.labels import Task
from nlcli.methods.base.search_range import Choice, Range

OptimizerName = Literal["adam", "rmsprop", "sgd"]


@dataclass(frozen=True)
class Schedule:
    """A learning rate over steps: ``initial * factor ** (step / every)``, in stairs.

    Args:
        every: length of a stair, in ``unit``; 0 means the rate is constant.
        unit: ``steps``, or ``epochs`` of the pool that gives most of a batch.
    """

    initial: float
    factor: float = 1.0
    every: float = 0.0
    unit: Literal["steps", "epochs"] = "steps"

    def scaled(self, factor: float) -> Schedule:
        """The schedule of a training ``factor`` times as long: stairs in steps are stretched, epochs are not."""
        return replace(self, every=self.every * factor) if self.unit == "steps" else self

    def at(self, steps: np.ndarray, epoch_steps: float) -> np.ndarray:
        """float32 rates at ``steps`` (0-based), where an epoch is ``epoch_steps`` steps."""
        if not self.every:
            return np.full(len(steps), self.initial, np.float32)
        stair = self.every * (epoch_steps if self.unit == "epochs" else 1.0)
        # The quotient of equal floats is exact, so a stair begins on its own step.
        return (self.initial * self.factor ** np.floor(steps / stair)).astype(np.float32)


Tensor = Any
Activation = Literal["sigmoid", "tanh", "relu", "linear"]
Rows = Literal["noisy", "clean", "mixed"]
CleanRows = Literal["any", "named", "pairs"]


class MethodConfig(BaseModel):
    """Settings every method has; a method's own config adds to them and sets its defaults.

    The defaults are for small data (thousands of images); papers' settings are presets.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(4000, ge=1, description="Training steps.")
    batch_size: int = Field(32, ge=2, description="Rows in a step.")
    optimizer: OptimizerName = Field("adam", description="adam, rmsprop or sgd (momentum 0.9).")
    learning_rate: Annotated[float, Range(1e-4, 1e-1)] = Field(1e-3, gt=0, description="Initial learning rate.")
    decay: float = Field(1.0, gt=0, le=1, description="Factor on the rate every decay_epochs.")
    decay_epochs: float = Field(2.0, gt=0, description="Epochs between two decays.")
    decay_steps: int = Field(0, ge=0, description="Steps between two decays instead (0: decay_epochs).")
    weight_decay: Annotated[float, Range(1e-6, 1e-2)] = Field(
        0.0, ge=0, description="L2 on kernels: half of it times their squares, an image."
    )
    average: int | None = Field(
        None,
        ge=0,
        description="Steps over which weights are averaged, at most a tenth of all, which then are validated and kept; "
        "0: the weights as they are. Where it is not given 300, and 0 with a preset or on images.",
    )
    selection: Literal["auto", "metric", "cost"] = Field(
        "auto",
        description="What chooses the step: top-1 or AP_all (metric), or the log-loss at the best temperature and the "
        "mean of AP_all and mAP (cost); auto: cost, and metric with a preset or on images.",
    )
    feature_scale: Annotated[
        Literal["auto", "none", "length", "unit", "root", "standard"], Choice(("none", "length", "unit", "standard"))
    ] = Field(
        "auto",
        description="Of features: none, all over their mean length, unit length each, the same of their square roots, "
        "or standardised; auto: unit where the classifier is solved, else none.",
    )

    def schedule(self, rate: float) -> Schedule:
        """The schedule that starts at ``rate`` and decays as configured."""
        if self.decay == 1.0:
            return Schedule(rate)
        if self.decay_steps:
            return Schedule(rate, self.decay, self.decay_steps, "steps")
        return Schedule(rate, self.decay, self.decay_epochs, "epochs")


class SolvableConfig(MethodConfig):
    """Settings of a method whose classifier can be solved instead of stepped."""

    solver: Literal["auto", "solved", "steps"] = Field(
        "auto",
        description="Solve to convergence, weight_decay chosen on verified images where it is 0, or take steps; "
        "auto: solve, unless a preset or an option of steps is given, or the inputs are images.",
    )


@dataclass(frozen=True)
class Problem:
    """What a method is built for.

    Attributes:
        num_features: D.
        classes: C names.
        task: Whether an image has several classes or one.
        pairs: (C, C) int64, how many verified images of each true class (row) have each noisy class
            (column): of the run's clean set and of validation. For methods that ask for them by
            ``uses_pairs``; None otherwise and in a head that is loaded, where whatever came of them
            is among the weights.
        two_trunks: Features are those of two networks, D/2 each: see ``Method.own_trunk``.
    """

    num_features: int
    classes: tuple[str, ...]
    task: Task = "multi-label"
    pairs: np.ndarray | None = None
    two_trunks: bool = False

    @property
    def num_classes(self) -> int:
        """C."""
        return len(self.classes)


@dataclass(frozen=True)
class Phase:
    """One stretch of training; a method has one or more, run in order.

    Args:
        name: handed to ``Method.losses``.
        rows: pool of a batch: T (``noisy``), V (``clean``), or V rows followed by T rows (``mixed``).
        steps: its length.
        rates: learning-rate schedule of each variable group; groups left out are not trained.
        clean_share: part of a mixed batch that comes from V; None: in proportion to V and T, in whole
            rows and at least one.
        clean_rows: which images of the clean set are V: ``any``; ``named``, those whose class is known
            (all of them, but on single-label data not those known only not to be of their noisy
            class); or ``pairs``, those with a noisy label that was itself verified.
        noisy_labels: of which rows the losses read noisy labels: those of T, or of V too.
        monitor: the metric that chooses this phase's best step: ``auto`` (``top_1`` on single-label
            data, else ``AP_all``), ``top_1``, ``AP_all`` or ``mAP`` (higher is better), or the name of
            one of the phase's losses, taken on the verified validation rows as if they were V (lower
            is better).
        patience: validations without a better one before the phase ends; None: as the run is set.
        weight_decay: half of it times the squares of all trained kernels is added to the loss as it is returned.
        trunk_factor: factor on the learning rate of a backbone that is trained along. 0: the phase leaves it as it is,
            as in inference, because something is held fixed behind it.
        average: steps that the trained weights are averaged over, exponentially; it is the average that is validated
            and kept. 0: the weights themselves.
    """

    name: str
    rows: Rows
    steps: int
    rates: Mapping[str, Schedule]
    optimizer: OptimizerName = "adam"
    clean_share: float | None = 0.1
    clean_rows: CleanRows = "any"
    noisy_labels: Literal["T", "all"] = "T"
    monitor: str = "auto"
    patience: int | None = None
    weight_decay: float = 0.0
    trunk_factor: float = 1.0
    average: int = 0

    def scaled(self, factor: float) -> Phase:
        """The phase in ``factor`` times the steps, its learning rates stretched likewise."""
        rates = {group: schedule.scaled(factor) for group, schedule in self.rates.items()}
        return replace(self, steps=max(1, round(factor * self.steps)), rates=rates)


@dataclass(frozen=True)
class Batch:
    """Labels of a batch, whose first ``clean`` rows are from V.

    Args:
        clean: number of V rows (a Python integer: it is part of the graph).
        noisy: (rows with noisy labels, C) float32. The rows are those of T, or all of them in a
            phase with ``noisy_labels="all"``.
        verified, mask: (clean, C) float32, ``v`` and ``m``.
        weights: (T rows,) float32, factors on the losses of the rows of T: ones where a run has no
            others. Training always gives them; a batch made by hand for losses without them need not.
    """

    clean: int
    noisy: Tensor
    verified: Tensor
    mask: Tensor
    weights: Tensor = field(default=None, kw_only=True)

    def of_clean(self, rows: Tensor) -> Tensor:
        """The rows of V of anything that has one row for each row of the batch."""
        return rows[: self.clean]

    def of_noisy(self, rows: Tensor) -> Tensor:
        """The rows of T."""
        return rows[self.clean :]
