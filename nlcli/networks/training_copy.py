"""A copy of a network to train."""

from __future__ import annotations

from typing import Any, Literal

import keras
import tensorflow as tf
from keras import layers

from nlcli.networks.batchnorm_folding import head_layers
from nlcli.seeds import stream

Precision = Literal["float32", "bfloat16", "float16"]


class FusedBatchNorm(layers.BatchNormalization):  # type: ignore[misc, unused-ignore]  # Keras has no types
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
        if training and self.fixed_statistics:
            # By hand: the kernel's gradient for fixed statistics has no deterministic form on a GPU.
            factor = gamma * tf.math.rsqrt(self.moving_variance.value + self.epsilon)
            shift = beta - self.moving_mean.value * factor
            return x * tf.cast(factor, x.dtype) + tf.cast(shift, x.dtype)
        if not training:
            y, _, _ = tf.compat.v1.nn.fused_batch_norm(
                x,
                gamma,
                beta,
                self.moving_mean.value,
                self.moving_variance.value,
                epsilon=self.epsilon,
                is_training=False,
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
    unused = all(not layer.moving_mean.numpy().any() and (layer.moving_variance.numpy() == 1).all() for layer in norms)
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
