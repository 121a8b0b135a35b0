"""A backbone as something that is trained: a copy in the precision of training, and its losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from nlcli.backbones import scale_pixels
from nlcli.folding import head_layers
from nlcli.images import Scaling
from nlcli.labels import Task
from nlcli.losses import classification_loss
from nlcli.methods.base import Batch
from nlcli.sampling import stream

Precision = Literal["float32", "bfloat16", "float16"]
Part = Literal["all", "last"]


class FusedBatchNorm(layers.BatchNormalization):
    """BatchNorm of images by TensorFlow's one kernel, where Keras 3 has a dozen operations.

    Forward and backward pass agree with Keras's up to rounding. Below float32 it takes and gives low
    precision and computes statistics in float32, where Keras's copies the whole image to float32.

    With ``fixed_statistics`` it normalises by the running statistics in training, too, and keeps them.
    """

    fixed_statistics = False

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Images (b, h, w, c) to the same shape."""
        x = tf.cast(inputs, self.compute_dtype)
        channels = (self.moving_mean.shape[0],)
        gamma = self.gamma.value if self.scale else tf.ones(channels)
        beta = self.beta.value if self.center else tf.zeros(channels)
        if not training or self.fixed_statistics:
            y, _, _ = tf.compat.v1.nn.fused_batch_norm(
                x, gamma, beta, self.moving_mean.value, self.moving_variance.value,
                epsilon=self.epsilon, is_training=False,
            )
            return y
        y, mean, variance = tf.compat.v1.nn.fused_batch_norm(x, gamma, beta, epsilon=self.epsilon, is_training=True)
        # The kernel gives the unbiased variance; Keras keeps the one that normalised the batch.
        count = tf.cast(tf.size(x) // channels[0], tf.float32)
        variance = variance * (tf.maximum(count - 1.0, 1.0) / count)
        self.moving_mean.assign(self.moving_mean * self.momentum + mean * (1.0 - self.momentum))
        self.moving_variance.assign(self.moving_variance * self.momentum + variance * (1.0 - self.momentum))
        return y


def is_folded(model: keras.Model) -> bool:
    """Whether the network's BatchNorm was folded into its convolutions, by whoever made the weights.

    Its statistics are then 0 and 1 everywhere, as in a new network, but its shifts are not 0.
    """
    norms = [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
    unused = all(
        not layer.moving_mean.numpy().any() and (layer.moving_variance.numpy() == 1).all() for layer in norms
    )
    return unused and any(layer.center and layer.beta.numpy().any() for layer in norms)


def training_copy(
    model: keras.Model, precision: Precision = "float32", *, steps: int, synchronized: bool = False, seed: int = 0
) -> keras.Model:
    """A copy of a functional ``model`` to train; ``model.set_weights(copy.get_weights())`` brings its weights back.

    Args:
        model: Scaled images (b, S, S, 3) float32 to any structure of outputs.
        precision: Below float32 convolutions compute in it while weights, statistics, global pooling
            and what follows it stay in float32.
        steps: How long it will be trained. BatchNorm's running statistics average over at most a
            twentieth of that: MobileNetV2's own momentum, 0.999, would leave those of ImageNet in a
            network that a few hundred steps have changed.
        synchronized: Normalise by the statistics of the batches of all devices together.
        seed: Of dropout.

    A network whose BatchNorm is folded keeps its statistics fixed: normalising by those of a batch
    would change every activation at once.
    """
    fixed = is_folded(model)
    in_float32 = head_layers(model)
    slowest = 1.0 - min(0.5, 20.0 / steps)

    def copy(layer: layers.Layer) -> layers.Layer:
        if not isinstance(layer, layers.Layer):  # an operation without weights, such as ops.add
            return layer
        config = layer.get_config()
        low = precision != "float32" and id(layer) not in in_float32
        config["dtype"] = f"mixed_{precision}" if low else "float32"
        made: type[layers.Layer] = layer.__class__
        if isinstance(layer, layers.BatchNormalization):
            config["momentum"] = min(layer.momentum, slowest)
            config["synchronized"] = synchronized
            images = len(layer.input.shape) == 4 and layer.axis in (-1, 3) and not layer.renorm
            if images and (fixed or not synchronized):
                made = FusedBatchNorm
        if isinstance(layer, layers.Dropout):
            config["seed"] = int(stream(seed, "dropout", layer.name).integers(2**31))
        twin = made.from_config(config)
        if isinstance(twin, FusedBatchNorm):
            twin.fixed_statistics = fixed
        return twin

    copied = keras.models.clone_model(model, clone_function=copy)
    copied.set_weights(model.get_weights())
    return copied


class Network:
    """A network with a last layer ``logits``, as the training loop wants it.

    Args:
        model: Scaled images to ``{"features", "logits"}``.
        scaling: Of the uint8 pixels that it is given.
        task: Sigmoids with binary cross-entropy (multi-label), or softmax (single-label).
        part: ``last`` trains the last layer alone. The rest then runs as in inference: BatchNorm by
            its running statistics, which stay as they are, and no dropout.
    """

    def __init__(self, model: keras.Model, scaling: Scaling, task: Task, part: Part) -> None:
        self.model, self.scaling, self.task, self.part = model, scaling, task, part
        self._probabilities: Any = None

    def groups(self) -> Mapping[str, Sequence[keras.Variable]]:
        """One group, ``network``: what is trained."""
        trained = self.model if self.part == "all" else self.model.get_layer("logits")
        return {"network": trained.trainable_variables}

    def weights(self) -> Mapping[str, keras.Variable]:
        """Everything that training changes, with BatchNorm's statistics and the state of dropout."""
        trained = self.model if self.part == "all" else self.model.get_layer("logits")
        # By number: Keras numbers unnamed layers through the process, so that paths differ between two.
        return {f"{i:04d}/{v.name}": v for i, v in enumerate(trained.variables)}

    def begin(self, phase: str, inputs: Any) -> None:
        """Nothing: a phase begins with the weights as they are."""
        return

    def losses(self, phase: str, inputs: Any, batch: Batch) -> dict[str, Any]:
        """``loss`` of uint8 images (b, S, S, 3): on verified labels where the batch is of V, else on noisy ones."""
        logits = self._logits(inputs, training=self.part == "all")
        if batch.clean:
            return {"loss": classification_loss(self.task, logits, batch.verified, batch.mask)}
        return {"loss": classification_loss(self.task, logits, batch.noisy)}

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """(b, C) float32 of uint8 images (b, S, S, 3), in inference."""
        if self._probabilities is None:  # one graph for batches of any size
            images_like = tf.TensorSpec((None, *self.model.input.shape[1:]), tf.uint8)
            self._probabilities = tf.function(self._score).get_concrete_function(images_like)
        return self._probabilities(tf.convert_to_tensor(images)).numpy()

    def _score(self, images: Any) -> Any:
        logits = self._logits(images, training=False)
        return tf.nn.sigmoid(logits) if self.task == "multi-label" else tf.nn.softmax(logits)

    def _logits(self, images: Any, training: bool) -> Any:
        outputs = self.model(scale_pixels(images, self.scaling), training=training)
        return tf.cast(outputs["logits"], tf.float32)
