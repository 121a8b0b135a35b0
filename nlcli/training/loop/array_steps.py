"""Steps of a network in NumPy, whose gradients are its own: what ``steps`` and ``optimizers`` are where TensorFlow is.

Weights and moments are updated in place, in parts that stay in a processor's cache: one pass over memory a step.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from nlcli.methods.base.array_layers import ArrayVariable
from nlcli.methods.base.contract import Batch, Phase
from nlcli.runtime import one_blas_thread

if TYPE_CHECKING:
    from nlcli.training.loop.contract import Block

_PART = 1 << 15  # weights at a time


class ArrayTrainable(Protocol):
    """What gives its gradients itself.

    Attributes:
        arrays: True.
    """

    arrays: bool

    def groups(self) -> Mapping[str, Sequence[ArrayVariable]]:
        """Trainable variables by learning-rate group."""

    def weights(self) -> Mapping[str, ArrayVariable]:
        """Everything that steps change and a checkpoint must hold."""

    def begin(self, phase: str, inputs: Callable[[], Iterator[Any]]) -> None:
        """As a ``Trainable`` has it."""

    def gradients(
        self, phase: str, inputs: np.ndarray, batch: Batch, step: int
    ) -> tuple[Mapping[str, float], Sequence[np.ndarray]]:
        """Losses by name, ``loss`` among them, and its gradients in the order of ``groups``; steps write over them."""


# --- optimizers ------------------------------------------------------------------------------


class ArrayOptimizer(ABC):
    """Updates of one list of variables, those of the class of the same name in ``optimizers`` but for rounding.

    Args:
        variables: Whose arrays are contiguous float32.
        groups: For each variable the index of its learning rate.

    Attributes:
        state: The moments, in an order that depends on the variables alone.
    """

    moments: int

    def __init__(self, variables: Sequence[ArrayVariable], groups: Sequence[int]) -> None:
        self.variables, self.groups = list(variables), list(groups)
        self.slots = [
            [ArrayVariable(f"moment_{i}", np.zeros(v.shape, np.float32)) for i in range(self.moments)]
            for v in self.variables
        ]
        self._scratch = np.empty(_PART, np.float32)

    @property
    def state(self) -> list[ArrayVariable]:
        """See above."""
        return [slot for slots in self.slots for slot in slots]

    def apply(self, gradients: Sequence[np.ndarray], rates: np.ndarray, done: int, decay: float) -> None:
        """One update.

        Args:
            gradients: One for each variable; they are written over.
            rates: (groups,) learning rates.
            done: Updates made before this one.
            decay: Times a kernel that is added to its gradient.
        """
        for variable, slots, group, gradient in zip(self.variables, self.slots, self.groups, gradients, strict=True):
            flat = [array.reshape(-1) for array in (variable.value, gradient, *(slot.value for slot in slots))]
            factor = np.float32(decay if len(variable.shape) > 1 else 0.0)
            for first in range(0, len(flat[0]), _PART):
                weights, slope, *moments = (array[first : first + _PART] for array in flat)
                scratch = self._scratch[: len(weights)]
                if factor:
                    np.multiply(weights, factor, out=scratch)
                    slope += scratch
                self._update(weights, slope, moments, scratch, float(rates[group]), done + 1)

    @abstractmethod
    def _update(
        self,
        weights: np.ndarray,
        slope: np.ndarray,
        moments: Sequence[np.ndarray],
        scratch: np.ndarray,
        rate: float,
        count: int,
    ) -> None:
        """Update number ``count`` of a part of a variable."""


class ArrayAdam(ArrayOptimizer):
    """Kingma and Ba 2015, with the step size of their section 2.

    Its moments are kept without the factors ``1 - beta``, which enter the step size and epsilon instead.
    """

    moments = 2
    beta_1, beta_2, epsilon = 0.9, 0.999, 1e-7

    def _update(
        self,
        weights: np.ndarray,
        slope: np.ndarray,
        moments: Sequence[np.ndarray],
        scratch: np.ndarray,
        rate: float,
        count: int,
    ) -> None:
        mean, square = moments
        root = (1.0 - self.beta_2) ** 0.5
        size = rate * (1.0 - self.beta_2**count) ** 0.5 / (1.0 - self.beta_1**count) * (1.0 - self.beta_1) / root
        mean *= np.float32(self.beta_1)
        mean += slope
        slope *= slope
        square *= np.float32(self.beta_2)
        square += slope
        np.sqrt(square, out=scratch)
        scratch += np.float32(self.epsilon / root)
        np.divide(mean, scratch, out=scratch)
        scratch *= np.float32(size)
        weights -= scratch


class ArraySGD(ArrayOptimizer):
    """Gradient descent with momentum 0.9."""

    moments = 1
    momentum = 0.9

    def _update(
        self,
        weights: np.ndarray,
        slope: np.ndarray,
        moments: Sequence[np.ndarray],
        scratch: np.ndarray,
        rate: float,
        count: int,
    ) -> None:
        (velocity,) = moments
        velocity *= np.float32(self.momentum)
        slope *= np.float32(rate)
        velocity -= slope
        weights += velocity


ARRAY_OPTIMIZERS: dict[str, type[ArrayOptimizer]] = {"adam": ArrayAdam, "sgd": ArraySGD}


# --- steps -------------------------------------------------------------------------------------


class ArraySteps:
    """Many steps in one call; see ``StepFunction``, which has the same attributes.

    Args:
        clean: V rows in a batch.
    """

    def __init__(self, model: ArrayTrainable, phase: Phase, optimizer: ArrayOptimizer, clean: int) -> None:
        self.model, self.phase, self.optimizer, self.clean = model, phase, optimizer, clean
        self.names: list[str] = []
        self.scaling: list[ArrayVariable] = []
        self.averages: list[ArrayVariable] = []
        if phase.average:
            self.averages = [ArrayVariable("average", v.value.copy()) for v in optimizer.variables]

    def __call__(self, block: Block, rates: np.ndarray, first: int) -> np.ndarray:
        """Run the block, whose first step is number ``first``, at ``rates`` (K, groups).

        Returns:
            (K, number of losses) float32.
        """
        with one_blas_thread():
            losses = [self._step(block, k, rates[k], first + k) for k in range(len(block.rows))]
        return np.array(losses, np.float32)

    def _step(self, block: Block, k: int, rates: np.ndarray, step: int) -> list[float]:
        inputs = np.asarray(block.table[block.rows[k]], np.float32)
        labels = (np.asarray(part[k], np.float32) for part in (block.noisy, block.verified, block.mask))
        weights = None if block.weights is None else block.weights[k]
        parts, gradients = self.model.gradients(
            self.phase.name, inputs, Batch(self.clean, *labels, weights=weights), step
        )
        losses, decay = dict(parts), self.phase.weight_decay
        if decay:
            kernels = (v.value.reshape(-1) for v in self.optimizer.variables if len(v.shape) > 1)
            losses["loss"] += decay * 0.5 * sum(float(kernel @ kernel) for kernel in kernels)
        self.names = list(losses)
        self.optimizer.apply(gradients, rates, step, decay)
        self._average(step)
        return list(losses.values())

    def _average(self, done: int) -> None:
        """As a ``StepFunction`` moves them."""
        share = np.float32(1.0 / min(done + 1, self.phase.average or 1))
        for average, variable in zip(self.averages, self.optimizer.variables, strict=False):  # or none at all
            away = variable.value - average.value
            away *= share
            average.value += away
