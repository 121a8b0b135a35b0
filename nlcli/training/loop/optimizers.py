"""Adam, RMSProp and momentum SGD over Keras variables, one kernel a variable where there is one.

Keras 3's optimizers are a dozen small operations a variable. On the TensorFlow backend these call
the fused training kernels, which read and write each weight and moment once; elsewhere they are
written in ``keras.ops``. Both give the updates of ``keras.optimizers`` at the same settings.

The number of updates done so far and the learning rates are arguments, not state: a schedule is a
function of the step alone and a resumed run needs the moments only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from nlcli.methods.base.contract import Tensor


class Optimizer(ABC):
    """Updates of one list of variables.

    Args:
        variables: trainable Keras variables.
        groups: for each variable the index of its learning rate.
        fused: use TensorFlow's training kernels; by default on the TensorFlow backend.
    """

    moments: int
    scratch = 0  # slots a fused kernel insists on, whose content has no influence

    def __init__(
        self,
        variables: Sequence[keras.Variable],
        groups: Sequence[int] | None = None,
        *,
        fused: bool | None = None,
    ) -> None:
        self.variables = list(variables)
        self.groups = list(groups) if groups is not None else [0] * len(self.variables)
        self.fused = keras.backend.backend() == "tensorflow" if fused is None else fused
        self.slots = [
            [
                keras.Variable(np.zeros(v.shape, "float32"), trainable=False, name=f"moment_{i}")
                for i in range(self.moments + (self.scratch if self.fused else 0))
            ]
            for v in self.variables
        ]

    @property
    def state(self) -> list[keras.Variable]:
        """The moments, in an order that depends on the variables alone."""
        return [slot for slots in self.slots for slot in slots[: self.moments]]

    def apply(self, gradients: Sequence[Tensor | None], rates: Tensor, done: Tensor) -> None:
        """One update.

        Args:
            gradients: one for each variable; None leaves the variable and its moments alone.
            rates: (groups,) float32 learning rates.
            done: updates made before this one, an integer scalar.
        """
        context = self._context(ops.cast(done, "float32") + 1.0)
        for variable, slots, group, gradient in zip(self.variables, self.slots, self.groups, gradients, strict=True):
            if gradient is not None:
                update = self._fused if self.fused else self._plain
                update(variable, slots, gradient, rates[group], context)

    def _context(self, count: Tensor) -> Any:
        """What all variables share in update number ``count`` (1 is the first)."""
        return count

    @abstractmethod
    def _fused(self, variable: Any, slots: Any, gradient: Tensor, rate: Tensor, context: Any) -> None: ...

    @abstractmethod
    def _plain(self, variable: Any, slots: Any, gradient: Tensor, rate: Tensor, context: Any) -> None: ...


class Adam(Optimizer):
    """Kingma and Ba 2015, with the step size of their section 2."""

    moments = 2
    beta_1, beta_2, epsilon = 0.9, 0.999, 1e-7

    def _context(self, count: Tensor) -> tuple[Tensor, Tensor]:
        return ops.power(self.beta_1, count), ops.power(self.beta_2, count)

    def _fused(self, variable: Any, slots: Any, gradient: Tensor, rate: Tensor, context: Any) -> None:
        import tensorflow as tf

        tf.raw_ops.ResourceApplyAdam(
            var=variable.value.handle,
            m=slots[0].value.handle,
            v=slots[1].value.handle,
            beta1_power=context[0],
            beta2_power=context[1],
            lr=rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )

    def _plain(self, variable: Any, slots: Any, gradient: Tensor, rate: Tensor, context: Any) -> None:
        mean, square = slots[:2]
        mean.assign(mean + (gradient - mean) * (1.0 - self.beta_1))
        square.assign(square + (ops.square(gradient) - square) * (1.0 - self.beta_2))
        rate = rate * ops.sqrt(1.0 - context[1]) / (1.0 - context[0])
        variable.assign(variable - rate * mean / (ops.sqrt(square) + self.epsilon))


class RMSProp(Optimizer):
    """Tieleman and Hinton 2012; the moving average of squares starts at zero, as in Keras."""

    moments = 1
    scratch = 1  # momentum
    rho, epsilon = 0.9, 1e-7

    def _fused(self, variable: Any, slots: Any, gradient: Tensor, rate: Tensor, context: Any) -> None:
        import tensorflow as tf

        tf.raw_ops.ResourceApplyRMSProp(
            var=variable.value.handle,
            ms=slots[0].value.handle,
            mom=slots[1].value.handle,
            lr=rate,
            rho=self.rho,
            momentum=0.0,
            epsilon=self.epsilon,
            grad=gradient,
        )

    def _plain(self, variable: Any, slots: Any, gradient: Tensor, rate: Tensor, context: Any) -> None:
        square = slots[0]
        square.assign(self.rho * square + (1.0 - self.rho) * ops.square(gradient))
        variable.assign(variable - rate * gradient / ops.sqrt(square + self.epsilon))


class SGD(Optimizer):
    """Gradient descent with momentum 0.9."""

    moments = 1
    momentum = 0.9

    def _fused(self, variable: Any, slots: Any, gradient: Tensor, rate: Tensor, context: Any) -> None:
        import tensorflow as tf

        tf.raw_ops.ResourceApplyKerasMomentum(
            var=variable.value.handle,
            accum=slots[0].value.handle,
            lr=rate,
            grad=gradient,
            momentum=self.momentum,
        )

    def _plain(self, variable: Any, slots: Any, gradient: Tensor, rate: Tensor, context: Any) -> None:
        velocity = slots[0]
        velocity.assign(self.momentum * velocity - rate * gradient)
        variable.assign(variable + velocity)


OPTIMIZERS: dict[str, type[Optimizer]] = {"adam": Adam, "rmsprop": RMSProp, "sgd": SGD}
