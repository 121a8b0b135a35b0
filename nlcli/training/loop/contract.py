"""What the loop is given and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from nlcli.methods.base.contract import Batch, Phase
from nlcli.training.loop.history import Evaluation

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


class Trainable(Protocol):
    """What is trained: a method on features, or a network with a method on top."""

    def groups(self) -> Mapping[str, Sequence[keras.Variable]]:
        """Trainable variables by learning-rate group."""

    def weights(self) -> Mapping[str, keras.Variable]:
        """Everything that steps change and a checkpoint must hold, statistics of layers included."""

    def begin(self, phase: str, inputs: Callable[[], Iterator[Any]]) -> None:
        """Called before the first step of a phase; what it changes must be among ``weights``.

        ``inputs`` gives those of T in parts, see ``Source.inputs``.
        """

    def losses(self, phase: str, inputs: Any, batch: Batch) -> dict[str, Any]:
        """Scalars of one batch with the key ``loss``. Floating inputs come as float32."""


@dataclass(frozen=True)
class Block:
    """K steps' worth of data, B rows a step.

    Args:
        table: (n, ...) array or tensor that inputs are gathered from.
        rows: (K, B) int32 into ``table``, V rows first in each batch.
        noisy: (K, rows with noisy labels, C) uint8.
        verified, mask: (K, V rows, C) uint8.
        draws: (K, B, n) float32 in [0, 1), random numbers of each row for ``Settings.augment``.
        weights: (K, T rows) float32 factors on the losses of the rows of T; ones when None.
    """

    table: Any
    rows: np.ndarray
    noisy: np.ndarray
    verified: np.ndarray
    mask: np.ndarray
    draws: np.ndarray | None = None
    weights: np.ndarray | None = None


class Source(Protocol):
    """Where blocks come from. ``block`` is called from another thread than the one that trains."""

    def clean_rows(self, phase: Phase) -> int:
        """V rows in a batch."""

    def inputs(self) -> Iterator[Any]:
        """Inputs of the images with noisy labels, in parts and in an order that is always the same."""

    def steps_in_block(self, phase: Phase) -> int:
        """The most steps that a block should have."""

    def epoch_steps(self, phase: Phase) -> float:
        """Steps in an epoch, for learning-rate schedules."""

    def block(self, phase: Phase, first: int, count: int) -> Block:
        """The block of steps ``first`` to ``first + count - 1`` of the phase."""


@dataclass(frozen=True)
class Settings:
    """How the loop runs.

    Args:
        eval_every: steps between validations.
        patience: validations without a better one before a phase ends; 0 means never.
        checkpoint_seconds: least time between two checkpoints; None: ``pace.CHECKPOINT_SECONDS``.
            Resuming gives the same result from any of them.
        xla: compile the step with XLA.
        strategy: several devices: each takes an equal share of every batch, gradients are averaged.
            Variables must have been made in its scope.
        loss_scale: first factor on the loss before and off the gradients after the backward pass,
            for float16. A step whose gradients overflow is left out and halves the factor; it
            doubles after 2,000 steps without (Micikevicius et al. 2018, section 3.2).
        augment: (gathered rows of a batch, their ``draws``) to what the model gets; a part of the
            graph, computed on the host.
        tensor_float_32: on a GPU that has it, compute float32 convolutions in TensorFloat-32.
        title: shown beside the progress bar.
    """

    eval_every: int
    patience: int = 0
    checkpoint_seconds: float | None = None
    xla: bool = False
    strategy: tf.distribute.Strategy | None = None
    loss_scale: float | None = None
    augment: Callable[[Any, Any], Any] | None = None
    tensor_float_32: bool = False
    title: str = "training"


@dataclass
class Outcome:
    """What came of a training; the model holds the chosen weights.

    Args:
        history: one entry an evaluation.
        phase, step: of the chosen weights.
        selected_by: the metric that chose them, or None where nothing could be validated and the
            last weights were kept.
        value: of that metric.
        steps: taken in all phases.
        stopped: ``patience`` or ``steps``.
        steps_per_second: of the steps this process took, validations left out.
    """

    history: list[Evaluation]
    phase: str
    step: int
    selected_by: str | None
    value: float | None
    steps: int
    stopped: str
    steps_per_second: float

    @classmethod
    def untrained(cls, phase: str) -> Outcome:
        """Of a model that is kept as it begins its first ``phase``."""
        return cls([Evaluation(phase=phase, step=0)], phase, 0, None, None, 0, "steps", 0.0)

    def summary(self, name: str, metrics: Mapping[str, float]) -> str:
        """A line for people on the training of ``name``; ``metrics`` are those that it shows."""
        shown = ", ".join(f"{metric} {value:.4f}" for metric, value in metrics.items())
        last = "last step kept" if self.steps else "kept as it begins"
        kept = f"best step {self.step:,} of {self.steps:,}" if self.selected_by else last
        return f"{name}: {kept}; validation {shown or 'has no verified labels'}"

    def metrics(self) -> dict[str, float]:
        """Metrics of the chosen weights on validation; empty where nothing was validated."""
        chosen = (line for line in self.history if (line.phase, line.step) == (self.phase, self.step))
        return next((dict(line.validation) for line in chosen), {})
