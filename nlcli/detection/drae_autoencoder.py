"""The autoencoder of DRAE, and its split of reconstruction errors into two groups (see ``detectors/drae.py``)."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from nlcli.networks.graph import as_graph
from nlcli.seeds import stream
from nlcli.training.loop.optimizers import Adam

Tensor = Any


# --- equations -------------------------------------------------------------------------------


def best_split(errors: Tensor) -> tuple[Tensor, Tensor]:
    """The threshold that separates errors into the two groups with the least spread within them.

    Spread is the sum of squared deviations from a group's mean. Sorted errors are cut between every two
    neighbours: exact, in O(n log n) (Otsu 1979, without a histogram).

    Args:
        errors: (n,) floats, n at least 2.

    Returns:
        The threshold, halfway between the groups; and the spread within over the total one, in
        [0, 1]: 0 for two values, 1 where all errors are equal. Its gradient takes the groups as given.
    """
    ordered = ops.sort(ops.cast(ops.stop_gradient(errors), "float64"))
    ordered = ordered - ordered[0]  # sums of squares lose digits to a large mean
    count = ops.cast(ops.arange(1, ops.shape(ordered)[0]), "float64")
    total, every = ops.sum(ordered), ops.cast(ops.shape(ordered)[0], "float64")
    below = ops.cumsum(ordered)[:-1]
    # The spread within is that of all errors less count * (group mean - mean)^2, summed over both groups.
    between = ops.square(below - count * total / every) * every / (count * (every - count))
    cut = ops.argmax(between)
    threshold = ops.cast((ordered[cut] + ordered[cut + 1]) / 2.0, errors.dtype) + ops.min(ops.stop_gradient(errors))
    return threshold, spread_ratio(errors, ops.cast(errors <= threshold, errors.dtype))


def spread_ratio(errors: Tensor, below: Tensor) -> Tensor:
    """Spread of errors within the two groups over their total spread; 1 where there is none.

    Args:
        errors: (n,).
        below: (n,) 1 in one group, 0 in the other.
    """

    def spread(member: Tensor) -> Tensor:
        mean = ops.sum(errors * member) / ops.maximum(ops.sum(member), 1.0)
        return ops.sum(ops.square(errors - mean) * member)

    total = spread(ops.ones_like(below))
    some = total > 1e-12 * ops.sum(ops.square(errors))  # more than rounding
    return ops.where(some, (spread(below) + spread(1.0 - below)) / ops.where(some, total, 1.0), 1.0)


# --- the network -----------------------------------------------------------------------------


class Autoencoder:
    """``D -> hidden, tanh -> D, linear``, used for one class after the other.

    Args:
        num_features: D.
        steps, learning_rate: Of the training of a class.
        discrimination: lambda, at the end of it.
    """

    def __init__(
        self, num_features: int, *, hidden: int, steps: int, learning_rate: float, discrimination: float
    ) -> None:
        self._steps, self._learning_rate, self._discrimination = steps, learning_rate, discrimination
        wide, narrow = (num_features,), (hidden,)
        shapes = {"into": wide + narrow, "bias": narrow, "out": narrow + wide, "mean": wide}
        self._weights = {name: keras.Variable(np.zeros(shape, np.float32), name=name) for name, shape in shapes.items()}
        self._adam = Adam(list(self._weights.values()))
        like = tf.TensorSpec((None, num_features), tf.float32)
        self._train = as_graph(self._many).get_concrete_function(like)  # one graph for all classes
        self._errors = as_graph(self._reconstruction_errors).get_concrete_function(like)

    def assign(self, state: dict[str, np.ndarray]) -> None:
        """Take up a class's weights."""
        for name, variable in self._weights.items():
            variable.assign(state[name])

    def errors(self, features: np.ndarray) -> np.ndarray:
        """(n,) mean squared reconstruction errors of (n, D) float32."""
        errors: np.ndarray = self._errors(tf.constant(features)).numpy()
        return errors

    def fit(self, features: np.ndarray, seed: int, c: int) -> dict[str, np.ndarray]:
        """Weights, threshold and spread ratio of class ``c``, whose images have ``features`` (n, D)."""
        rng = stream(seed, "drae", c)
        for name, variable in self._weights.items():
            limit = np.sqrt(6 / sum(variable.shape)) if name in ("into", "out") else 0.0  # Glorot's
            variable.assign(rng.uniform(-limit, limit, variable.shape).astype(np.float32))
        for moment in self._adam.state:
            moment.assign(np.zeros(moment.shape, np.float32))
        self._train(tf.constant(features))
        threshold, ratio = best_split(tf.constant(self.errors(features)))
        state = {name: variable.numpy() for name, variable in self._weights.items()}
        return state | {"threshold": np.asarray(threshold), "ratio": np.asarray(ratio)}

    def _reconstruction_errors(self, features: Tensor) -> Tensor:
        w = {name: variable.value for name, variable in self._weights.items()}
        given_back = ops.tanh(features @ w["into"] + w["bias"]) @ w["out"] + w["mean"]
        return ops.mean(ops.square(features - given_back), axis=-1)

    def _many(self, features: Tensor) -> Tensor:
        rates = tf.constant([self._learning_rate], tf.float32)

        def body(k: Tensor) -> tuple[Tensor]:
            variables = [variable.value for variable in self._weights.values()]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(variables)
                errors = self._reconstruction_errors(features)
                _, ratio = best_split(errors)
                # From 0 to lambda: at first errors say how large an image's deviation is, not yet what it is.
                share = tf.cast(k, tf.float32) / self._steps
                loss = ops.mean(errors) + share * self._discrimination * ratio
            self._adam.apply(tape.gradient(loss, variables), rates, k)
            return (k + 1,)

        return tf.while_loop(lambda k: k < self._steps, body, (tf.constant(0),))[0]
