"""CleanNet's two encoders and its losses, one pure function an equation (Lee et al. 2018, section 3.1).

The sizes of layers and the values that the paper leaves open are the authors' program's, as the
project's description of the method states them; nothing of that program was used.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

Tensor = Any

HIDDEN, REPRESENTATION, EMBEDDING = 512, 256, 128


# --- equations -------------------------------------------------------------------------------


def attention(representations: Tensor, projected: Tensor, context: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Attention over a class's references, and their weighted sum.

    Args:
        representations: (classes, K, H), ``h_i``.
        projected: (classes, K, U), ``u_i = tanh(W h_i + b)`` (eq. 2).
        context: (U,), the context vector ``u``.
        mask: (classes, K), 1 where there is a reference.

    Returns:
        ``alpha`` (classes, K), summing to 1 (eq. 3), and ``h`` (classes, H) (eq. 4); both are zero for
        a class without references.

    References:
        Lee et al. 2018, eq. (3) and (4).
    """
    match = ops.where(mask > 0, ops.sum(projected * context, axis=-1), -1e30)
    # Less the largest one, so that no exponential overflows; the quotient does not change.
    powers = ops.exp(match - ops.max(match, axis=-1, keepdims=True)) * mask
    alpha = powers / ops.maximum(ops.sum(powers, axis=-1, keepdims=True), 1e-30)
    return alpha, ops.sum(alpha[..., None] * representations, axis=-2)


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """Cosine of vectors along the last axis; 0, with a finite gradient, where one of them is zero."""
    return ops.sum(unit(a) * unit(b), axis=-1)


def unit(x: Tensor) -> Tensor:
    """Vectors along the last axis, divided by their norms; a zero vector stays zero."""
    return x * ops.rsqrt(ops.maximum(ops.sum(ops.square(x), axis=-1, keepdims=True), 1e-12))


def matching_loss(similarity: Tensor, label: Tensor, margin: float, negative_weight: float) -> Tensor:
    """Cosine loss with margin of verified images, one value a row.

    ``1 - cos`` where ``label`` is 1, ``omega max(0, cos - rho)`` where it is 0.

    Args:
        similarity: (rows,) ``cos`` of query and class embedding.
        label: (rows,) 1 relevant, 0 mislabelled.
        margin: ``rho``.
        negative_weight: ``omega``.

    References:
        Lee et al. 2018, eq. (6).
    """
    return label * (1.0 - similarity) + (1.0 - label) * negative_weight * ops.relu(similarity - margin)


def self_reinforcing_loss(similarity: Tensor, margin: float) -> Tensor:
    """Cosine loss of unverified images, one value a row: ``1 - cos`` where ``cos >= rho``, else 0.

    An image that already resembles its class is taken for relevant and drawn closer; which images
    these are is decided anew at every step, without a gradient.

    References:
        Lee et al. 2018, eq. (7) and (8).
    """
    return ops.where(similarity >= margin, 1.0 - similarity, ops.zeros_like(similarity))


def reconstruction_error(features: Tensor, reconstructed: Tensor) -> Tensor:
    """Squared distance, summed over dimensions, one value a row (Lee et al. 2018, eq. 5)."""
    return ops.sum(ops.square(features - reconstructed), axis=-1)


def total_loss(
    matching: Tensor, reconstruction: Tensor, unverified: Tensor, beta: float, gamma: float
) -> dict[str, Tensor]:
    """Mean over a batch of ``L_cos + beta L_r + t gamma L_unsup``, and its three parts.

    Args:
        matching: eq. (6) of the verified rows, which come first.
        reconstruction: eq. (5) of all rows.
        unverified: eq. (7) of the other rows, those with ``t = 1`` (eq. 10).

    References:
        Lee et al. 2018, eq. (9). Each part is a mean over all rows of the batch, those for which it is
        zero by definition among them: so their sum is the mean of eq. (9).
    """
    rows = ops.cast(ops.shape(reconstruction)[0], "float32")
    matched, other = ops.sum(matching) / rows, ops.sum(unverified) / rows
    error = ops.mean(reconstruction)
    return {"loss": matched + beta * error + gamma * other, "L_cos": matched, "L_r": error, "L_unsup": other}


# --- encoders --------------------------------------------------------------------------------


class ReferenceEncoder(keras.layers.Layer):  # type: ignore[misc, unused-ignore]  # Keras has no types
    """A class's references to its embedding: two tanh layers, attention, one tanh layer (figure 2).

    Args:
        initializer: of a name to the initial weights' distribution.
        dropout: share of the first layer's units that training drops.
        seed: of dropout. What is dropped depends on it and on how many steps have been taken, which is
            a weight of this layer, so that a resumed run drops the same.
    """

    def __init__(self, initializer: Any, dropout: float, seed: int, *, name: str) -> None:
        super().__init__(name=name)
        self.dropout = dropout

        def dense(units: int, layer: str) -> keras.layers.Dense:
            return keras.layers.Dense(
                units, activation="tanh", kernel_initializer=initializer(f"{name}/{layer}"), name=layer
            )

        self.first, self.second = dense(HIDDEN, "first"), dense(REPRESENTATION, "second")
        self.attended, self.embedding = dense(REPRESENTATION, "attention"), dense(EMBEDDING, "embedding")
        self.context_initializer = initializer(f"{name}/context")
        self.draws = keras.random.SeedGenerator(seed, name="dropout")

    def build(self, input_shape: tuple[int | None, int]) -> None:
        self.first.build(input_shape)
        self.second.build((None, HIDDEN))
        self.attended.build((None, REPRESENTATION))
        self.embedding.build((None, REPRESENTATION))
        self.context = self.add_weight(name="context", shape=(REPRESENTATION,), initializer=self._context)
        super().build(input_shape)

    def _context(self, shape: Any, dtype: Any = None) -> Tensor:
        return ops.reshape(self.context_initializer((*shape, 1), dtype=dtype), shape)

    def attend(self, references: Tensor, mask: Tensor, training: bool) -> tuple[Tensor, Tensor]:
        """``alpha`` (classes, K) and ``h`` (classes, 256) of references (classes, K, D)."""
        hidden = self.first(references)
        if training and self.dropout:
            hidden = keras.random.dropout(hidden, self.dropout, seed=self.draws)
        representations = self.second(hidden)
        return attention(representations, self.attended(representations), self.context, mask)

    def call(self, references: Tensor, mask: Tensor, training: bool = False) -> Tensor:
        """Class embeddings (classes, 128)."""
        return self.embedding(self.attend(references, mask, training)[1])


class QueryEncoder(keras.layers.Layer):  # type: ignore[misc, unused-ignore]  # Keras has no types
    """An autoencoder of features, D -> 256 -> 128 -> 256 -> D, whose middle is the query embedding.

    All layers are tanh but the last, which is linear: features reach beyond 1.
    """

    def __init__(self, initializer: Any, num_features: int, *, name: str) -> None:
        super().__init__(name=name)
        self.sizes = {"first": REPRESENTATION, "embedding": EMBEDDING, "back": REPRESENTATION, "output": num_features}
        self.dense = [
            keras.layers.Dense(
                units,
                activation=None if layer == "output" else "tanh",
                kernel_initializer=initializer(f"{name}/{layer}"),
                name=layer,
            )
            for layer, units in self.sizes.items()
        ]

    def build(self, input_shape: tuple[int | None, int]) -> None:
        units = input_shape[-1]
        for layer in self.dense:
            layer.build((None, units))
            units = layer.units
        super().build(input_shape)

    def call(self, features: Tensor) -> Tensor:
        """Query embeddings (rows, 128) of features (rows, D)."""
        return self.dense[1](self.dense[0](features))

    def reconstruct(self, embedding: Tensor) -> Tensor:
        """Features (rows, D) back from query embeddings (rows, 128)."""
        return self.dense[3](self.dense[2](embedding))
