"""Many steps in one compiled call."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf

from nlcli.errors import NlcliError
from nlcli.methods.base.contract import Batch, Phase, Tensor
from nlcli.networks.graph import as_graph
from nlcli.training.loop.contract import Block, Settings, Trainable
from nlcli.training.loop.optimizers import Optimizer

SCALE_STEPS: Final = 2000
"""Steps without overflow until the loss scale is doubled."""


class StepFunction:
    """Many steps in one compiled call.

    Args:
        clean: V rows in a batch.

    Attributes:
        names: what ``losses`` returned, in its order; known after the first call.
        scaling: the loss scale and the steps since it was changed; empty without loss scaling.
        averages: of the optimizer's variables, in their order, over ``Phase.average`` steps; empty without averaging.
    """

    def __init__(self, model: Trainable, phase: Phase, optimizer: Optimizer, clean: int, settings: Settings) -> None:
        self.model, self.phase, self.optimizer, self.clean = model, phase, optimizer, clean
        self.strategy, self.augment = settings.strategy, settings.augment
        self.replicas = settings.strategy.num_replicas_in_sync if settings.strategy else 1
        if settings.xla and self.replicas > 1:
            raise NlcliError("XLA cannot compile a step that several devices share; leave it out, or use one device")
        self.names: list[str] = []
        self.scaling: list[keras.Variable] = []
        if settings.loss_scale is not None:
            self.scaling = [
                keras.Variable(np.float32(value), trainable=False, name=name)
                for name, value in (("loss_scale", settings.loss_scale), ("steps_since", 0.0))
            ]
        self.averages: list[keras.Variable] = []
        if phase.average:
            begun = [np.array(keras.ops.convert_to_numpy(v)) for v in optimizer.variables]
            self.averages = [keras.Variable(value, trainable=False, name="average") for value in begun]
        self._update = as_graph(self._step, jit_compile=True) if settings.xla else self._step
        self._block: Any = None

    def __call__(self, block: Block, rates: np.ndarray, first: int) -> np.ndarray:
        """Run the block, whose first step is number ``first``, at ``rates`` (K, groups).

        Returns:
            (K, number of losses) float32.
        """
        if self.replicas > 1 and (self.clean % self.replicas or block.rows.shape[1] % self.replicas):
            raise NlcliError(
                f"batches of {block.rows.shape[1]} rows, {self.clean} of them clean, cannot be shared equally "
                f"by {self.replicas} devices; choose a batch size that they divide"
            )
        count, size = block.rows.shape
        draws = np.empty((count, size, 0), np.float32) if block.draws is None else block.draws
        weights = np.ones((count, size - self.clean), np.float32) if block.weights is None else block.weights
        with self._place(block.table.dtype):
            gathered = [tf.convert_to_tensor(a) for a in (block.table, block.rows, draws)]
        labels = (block.noisy, block.verified, block.mask, weights, rates)
        tensors = [*gathered, *(tf.convert_to_tensor(a) for a in labels)]
        if self._block is None:  # one graph for blocks of any length and tables of any size
            specs = [tf.TensorSpec((None, *t.shape[1:]), t.dtype) for t in tensors]
            self._block = as_graph(self._many).get_concrete_function(*specs, tf.TensorSpec((), tf.int32))
        losses: np.ndarray = self._block(*tensors, tf.constant(first, tf.int32)).numpy()
        return losses

    def _place(self, dtype: Any) -> Any:
        """Where rows are gathered: on the host for bytes and for several devices, else where the step runs.

        Rows of a table that lay on one GPU would be copied to the others with all of the table, and
        bytes have no kernel there.
        """
        on_host = self.replicas > 1 or tf.as_dtype(dtype) == tf.uint8
        return tf.device("CPU:0") if on_host else nullcontext()

    def _many(
        self,
        table: Tensor,
        rows: Tensor,
        draws: Tensor,
        noisy: Tensor,
        verified: Tensor,
        mask: Tensor,
        weights: Tensor,
        rates: Tensor,
        first: Tensor,
    ) -> Tensor:
        count = tf.shape(rows)[0]
        losses = tf.TensorArray(tf.float32, count, element_shape=(None,))

        def body(k: Tensor, losses: Any) -> tuple[Tensor, Any]:
            # Not ``rows[k]``, which is five operations each: of a linear head's step they would be a third.
            with self._place(table.dtype):  # so that gathering does not wait for the step before
                gathered = (table, tf.gather(rows, k), tf.gather(draws, k))
            labels = (tf.gather(part, k) for part in (noisy, verified, mask, weights, rates))
            arguments = (*gathered, *labels, first + k)
            if self.strategy is None:
                values = self._one(*arguments)
            else:
                values = self.strategy.run(self._one, arguments)
                values = self.strategy.reduce(tf.distribute.ReduceOp.MEAN, values, axis=None)
            return k + 1, losses.write(k, values)

        _, losses = tf.while_loop(lambda k, _: k < count, body, (0, losses))
        return losses.stack()

    def _one(
        self,
        table: Tensor,
        rows: Tensor,
        draws: Tensor,
        noisy: Tensor,
        verified: Tensor,
        mask: Tensor,
        weights: Tensor,
        rates: Tensor,
        done: Tensor,
    ) -> Tensor:
        if self.replicas > 1:
            rows, draws, noisy, verified, mask, weights = self._share(rows, draws, noisy, verified, mask, weights)
        with self._place(table.dtype):
            inputs = tf.gather(table, rows)
            if self.augment is not None:
                inputs = self.augment(inputs, draws)
        return self._update(inputs, noisy, verified, mask, weights, rates, done)

    def _step(
        self,
        inputs: Tensor,
        noisy: Tensor,
        verified: Tensor,
        mask: Tensor,
        weights: Tensor,
        rates: Tensor,
        done: Tensor,
    ) -> Tensor:
        """One update: all that XLA compiles."""
        if inputs.dtype.is_floating:
            inputs = tf.cast(inputs, tf.float32)
        labels = (tf.cast(part, tf.float32) for part in (noisy, verified, mask))
        batch = Batch(self.clean // self.replicas, *labels, weights=weights)
        variables = [v.value for v in self.optimizer.variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            parts = self.model.losses(self.phase.name, inputs, batch)
            if self.phase.weight_decay:
                squares = sum(tf.nn.l2_loss(v) for v in variables if v.shape.rank > 1)
                parts = parts | {"loss": parts["loss"] + self.phase.weight_decay * squares}
            target = parts["loss"] * self.scaling[0].value if self.scaling else parts["loss"]
        gradients = tape.gradient(target, variables)
        self.names = list(parts)
        if self.replicas > 1:
            replica = tf.distribute.get_replica_context()
            gradients = replica.all_reduce(tf.distribute.ReduceOp.MEAN, gradients)
        if self.scaling:
            self._apply_scaled(gradients, rates, done)
        else:
            self.optimizer.apply(gradients, rates, done)
        self._average(done)
        return tf.stack([tf.cast(value, tf.float32) for value in parts.values()])

    def _average(self, done: Tensor) -> None:
        """Move the averages: of the first steps they are the mean, from then on exponential ones."""
        if self.averages:
            share = 1.0 / tf.cast(tf.minimum(done + 1, self.phase.average), tf.float32)
            for variable, average in zip(self.optimizer.variables, self.averages, strict=True):
                average.assign(average + (variable - average) * share)

    def _apply_scaled(self, gradients: Sequence[Tensor | None], rates: Tensor, done: Tensor) -> None:
        scale, since = self.scaling
        gradients = [g if g is None else g / scale.value for g in gradients]
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(g)) for g in gradients if g is not None])

        def apply() -> Tensor:
            self.optimizer.apply(gradients, rates, done)
            return tf.constant(0)

        tf.cond(finite, apply, lambda: tf.constant(0))
        grown = since.value + 1.0 >= SCALE_STEPS
        larger = tf.where(grown, scale.value * 2.0, scale.value)
        scale.assign(tf.where(finite, larger, tf.maximum(scale.value * 0.5, 1.0)))
        since.assign(tf.where(finite & ~grown, since.value + 1.0, 0.0))

    def _share(
        self, rows: Tensor, draws: Tensor, noisy: Tensor, verified: Tensor, mask: Tensor, weights: Tensor
    ) -> tuple[Tensor, ...]:
        """This replica's part of a batch: every n-th row of V and of T."""
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        every = slice(replica, None, self.replicas)
        if self.phase.noisy_labels == "all":
            noisy = tf.concat([noisy[: self.clean][every], noisy[self.clean :][every]], axis=0)
        else:
            noisy = noisy[every]
        rows, draws = (tf.concat([a[: self.clean][every], a[self.clean :][every]], axis=0) for a in (rows, draws))
        return rows, draws, noisy, verified[every], mask[every], weights[every]
