"""CleanNet as the training loop wants it, and its validation while it is trained (see ``detectors/cleannet.py``)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
from keras import ops

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
from nlcli.detection.threshold import best_threshold
from nlcli.errors import NlcliError
from nlcli.methods.base.contract import Batch, Phase, Problem, Schedule
from nlcli.methods.base.method import Method
from nlcli.methods.citations import LEE_2018
from nlcli.networks.linear_layer import LinearLayer
from nlcli.runtime import one_blas_thread
from nlcli.seeds import stream
from nlcli.training.loop.feature_source import RowFeatures
from nlcli.training.loop.pools import StoredRows

if TYPE_CHECKING:
    from nlcli.detection.base import Data
    from nlcli.detection.cleannet_options import CleanNetConfig, Transform
    from nlcli.detection.references import References
    from nlcli.methods.base.contract import Tensor

MONITOR = "average_error"
_CLASSES = 32  # whose references are encoded at a time outside training
_STAIRS = {"sgd": (0.1, 2), "adam": (0.7, 8)}  # by what the rate is multiplied, and in how many parts of the steps
_NARROWER = 0.9  # of features, that a basis has to be to be worth it


class MatchingNetwork(Method):
    """The two encoders and what they are trained by.

    Its score is a cosine in [-1, 1] for every class, and not a probability as other methods have it.
    The references are constants of the graph and not among ``weights``: at 1,000 classes they are
    400 MiB, which no checkpoint needs to repeat.

    Args:
        references: Of the problem's classes.
        seed: Of initial weights and dropout.
        basis: Of ``reference_basis``, in which references then enter their encoder; None: as they are.
    """

    name = "cleannet"
    citation = LEE_2018
    tasks = ("single-label",)
    scores = ("similarity",)
    config: Any

    def __init__(
        self,
        config: CleanNetConfig,
        problem: Problem,
        references: References,
        seed: int = 0,
        basis: np.ndarray | None = None,
    ) -> None:
        self.raw, self.basis = references, basis
        super().__init__(config, problem, None, seed)  # type: ignore[arg-type]

    def build(self, init: LinearLayer | None) -> None:
        settings, width = self.config, self.problem.num_features
        self.references = transformed(tf.constant(self.raw.vectors), settings.transform)
        self.mask = tf.constant(self.raw.mask)
        drops = int(stream(self.seed, "dropout", "reference").integers(2**31))
        initial = self.glorot
        if self.basis is not None:
            self.references = ops.matmul(self.references, self.basis)
            initial = self._initial_in_basis
        self.of_references = self.add(
            "reference",
            ReferenceEncoder(initial, settings.dropout, drops, name="reference"),
            self.references.shape[-1],
        )
        self.of_query = self.add("query", QueryEncoder(self.glorot, width, name="query"), width)
        self._encode = tf.function(
            lambda first, stop: self.of_references(self.references[first:stop], self.mask[first:stop], training=False)
        )

    def _initial_in_basis(self, name: str) -> Any:
        """As ``glorot``; what meets references begins as it would without a basis, seen in it."""
        drawn = self.glorot(name)
        if name != "reference/first":
            return drawn
        assert self.basis is not None
        basis = self.basis

        def projected(shape: tuple[int, ...], dtype: Any = None) -> Tensor:
            return ops.matmul(basis.T, drawn((len(basis), shape[1]), dtype=dtype))

        return projected

    def phases(self) -> tuple[Phase, ...]:
        settings = self.config
        factor, stairs = _STAIRS[settings.optimizer]
        rate = Schedule(settings.learning_rate, factor, math.ceil(settings.steps / stairs), "steps")
        return (
            Phase(
                "matching",
                "mixed",
                settings.steps,
                {"head": rate},
                settings.optimizer,
                clean_share=0.5,
                clean_rows="pairs",
                noisy_labels="all",
                monitor=MONITOR,
                weight_decay=settings.weight_decay,
            ),
        )

    def losses(self, phase: str, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        settings = self.config
        features = transformed(features, settings.transform)
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

    def query(self, features: Tensor) -> Tensor:
        """Query embeddings (rows, 128) of features as they are stored, (rows, D)."""
        return self.of_query(transformed(features, self.config.transform))

    def score(self, features: Tensor, name: str) -> Tensor:
        """(rows, C) cosines to every class."""
        embeddings = self.of_references(self.references, self.mask, training=False)
        return ops.matmul(unit(self.query(features)), ops.transpose(unit(embeddings)))

    def class_embeddings(self) -> np.ndarray:
        """(C, 128) float32 embeddings of all classes, some at a time."""
        starts = range(0, self.problem.num_classes, _CLASSES)
        return np.concatenate([self._encode(tf.constant(i), tf.constant(i + _CLASSES)).numpy() for i in starts])

    def attention(self) -> np.ndarray:
        """(C, K) float32 attention that each class's references get (eq. 3)."""
        starts = range(0, self.problem.num_classes, _CLASSES)
        parts = [(self.references[i : i + _CLASSES], self.mask[i : i + _CLASSES]) for i in starts]
        return np.concatenate([self.of_references.attend(*part, training=False)[0].numpy() for part in parts])

    def similarities(self) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        """A function from features (n, D) and noisy classes (n,) to cosines (n,) float32, by today's weights."""
        embeddings = tf.constant(self.class_embeddings())

        def similarity(features: Tensor, noisy: Tensor) -> Tensor:
            return cosine(self.query(tf.cast(features, tf.float32)), tf.gather(embeddings, noisy))

        compiled = tf.function(similarity, reduce_retracing=True)
        return lambda features, noisy: compiled(tf.constant(features), tf.constant(noisy)).numpy()


def reference_basis(references: References, transform: Transform) -> np.ndarray | None:
    """An orthonormal basis of what the references span, (D, C K) float32; None where that is no narrower than D.

    A step's largest product is that of all references with the first layer. They never change, so that only what
    this layer does to their span has an effect, or a gradient; momentum and weight decay are the same in any
    orthonormal basis. By SGD a network in the basis is therefore the same as one without, but for rounding. Adam
    scales steps by coordinate, so it takes another way there; its rate was measured in the basis.
    """
    classes, count, width = references.vectors.shape
    if classes * count > _NARROWER * width:
        return None
    entered = transformed(tf.constant(references.vectors), transform).numpy().reshape(-1, width)
    with one_blas_thread():
        basis, _ = np.linalg.qr(entered.T.astype(np.float64))
    return np.asarray(basis, np.float32)


def transformed(features: Tensor, how: Transform) -> Tensor:
    """Features (..., D) as they enter the network.

    ``l2`` brings them to length sqrt(D): at length 1 they are so small that one rate cannot fit them
    and the others.
    """
    if how == "log":
        return ops.log1p(features)
    return unit(features) * math.sqrt(features.shape[-1]) if how == "l2" else features


class Validation:
    """Average error rate of verified validation images at their best threshold.

    Args:
        budget: Bytes that their features may take in memory; they are read each time where they take more.

    Attributes:
        possible: Whether there is one.
    """

    def __init__(self, network: MatchingNetwork, data: Data, budget: int) -> None:
        positions = data.validation.verified
        self._network, images = network, data.validation
        self._noisy, self._label = images.noisy[positions], images.label[positions]
        rows = StoredRows(images.rows[positions], images.stored[positions], 0)
        self._features = RowFeatures(data.store, data.table, rows, budget)
        self.possible = bool(len(positions))
        self._query = tf.function(lambda features: network.query(tf.cast(features, tf.float32)), reduce_retracing=True)

    def __call__(self, phase: Phase) -> Mapping[str, float]:
        own = tf.constant(self._network.class_embeddings())
        score = np.empty(len(self._noisy), np.float32)
        for first, features in self._features.parts():
            part = slice(first, first + len(features))
            score[part] = cosine(self._query(tf.constant(features)), tf.gather(own, self._noisy[part])).numpy()
        if not np.isfinite(score).all():
            raise NlcliError("cleannet's scores are not finite; lower its learning rate")
        threshold, error = best_threshold(score, self._label, self._noisy)
        return {MONITOR: error, "threshold": threshold}
