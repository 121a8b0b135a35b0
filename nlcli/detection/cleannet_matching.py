"""CleanNet's losses as TensorFlow steps them on a GPU; elsewhere ``cleannet_arrays`` takes its steps."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from nlcli.detection.cleannet_arrays import ArrayMatching
from nlcli.detection.cleannet_network import (
    QueryEncoder,
    ReferenceEncoder,
    cosine,
    matching_loss,
    reconstruction_error,
    self_reinforcing_loss,
    total_loss,
    unit,
)
from nlcli.detection.cleannet_options import Transform, matching_phase
from nlcli.methods.base.contract import Batch, Phase, Tensor
from nlcli.methods.base.method import Method
from nlcli.methods.citations import LEE_2018
from nlcli.networks.linear_layer import LinearLayer
from nlcli.seeds import stream


class MatchingNetwork(Method):
    """The two encoders and what they are trained by, from the weights of the same network in NumPy.

    Its score is a cosine in [-1, 1] for every class, and not a probability as other methods have it.

    Args:
        network: What it begins as.
    """

    name = "cleannet"
    citation = LEE_2018
    tasks = ("single-label",)
    scores = ("similarity",)
    config: Any

    def __init__(self, network: ArrayMatching) -> None:
        self.network = network
        super().__init__(network.config, network.problem, None, network.seed)  # type: ignore[arg-type]

    def build(self, init: LinearLayer | None) -> None:
        network, width = self.network, self.problem.num_features
        self.references, self.mask = tf.constant(network.references), tf.constant(network.mask)
        drops = int(stream(self.seed, "dropout", "reference").integers(2**31))
        self.of_references = self.add(
            "reference",
            ReferenceEncoder(_nothing_yet, self.config.dropout, drops, name="reference"),
            self.references.shape[-1],
        )
        self.of_query = self.add("query", QueryEncoder(_nothing_yet, width, name="query"), width)
        held = self.weights()
        for name, variable in network.weights().items():
            held[name].assign(variable.value)

    def give_back(self) -> ArrayMatching:
        """``network``, with the weights of now."""
        held = self.weights()
        for name, variable in self.network.weights().items():
            variable.assign(np.asarray(held[name].numpy()))
        return self.network

    def phases(self) -> tuple[Phase, ...]:
        return (matching_phase(self.config),)

    def losses(self, phase: str, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        settings = self.config
        features = entered(features, settings.transform)
        query = self.of_query(features)
        # Of many classes a batch holds few: only their references are encoded, each class once.
        seen = ops.max(batch.noisy, axis=0)
        which = ops.nonzero(seen)[0]
        embeddings = self.of_references(
            ops.take(self.references, which, axis=0), ops.take(self.mask, which, axis=0), training=True
        )
        place = ops.cast(ops.cumsum(seen), "int32") - 1
        own = ops.take(place, ops.argmax(batch.noisy, axis=-1))
        similarity = cosine(query, ops.take(embeddings, own, axis=0))
        label = ops.sum(batch.verified * batch.of_clean(batch.noisy), axis=-1)
        return total_loss(
            matching_loss(batch.of_clean(similarity), label, settings.margin, settings.negative_weight),
            reconstruction_error(features, self.of_query.reconstruct(query)),
            self_reinforcing_loss(batch.of_noisy(similarity), settings.margin),
            settings.reconstruction,
            settings.reinforcement,
        )

    def score(self, features: Tensor, name: str) -> Tensor:
        """(rows, C) cosines to every class."""
        embeddings = self.of_references(self.references, self.mask, training=False)
        query = self.of_query(entered(features, self.config.transform))
        return ops.matmul(unit(query), ops.transpose(unit(embeddings)))


def _nothing_yet(name: str) -> Any:
    return keras.initializers.Zeros()


def entered(features: Tensor, how: Transform) -> Tensor:
    """``cleannet_arrays.transformed`` of tensors."""
    if how == "log":
        return ops.log1p(features)
    return unit(features) * float(features.shape[-1]) ** 0.5 if how == "l2" else features
