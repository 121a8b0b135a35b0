"""CleanNet: is an image like the references of the class it is labelled as (Lee et al. 2018, section 3)?

The network runs in ``nlcli.training.train`` on cached features, as heads do. Where the paper leaves a
choice open or is at odds with it, the project's description of the method (methods.md) is followed:
references are K-means centroids, features enter as log(1 + x), the autoencoder's last layer is
linear, omega is 5.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import tensorflow as tf
from keras import ops
from pydantic import Field

from nlcli.detection.base import READ_ROWS, Data, Detector, DetectorConfig
from nlcli.detection.detectors.cleannet_network import (
    QueryEncoder,
    ReferenceEncoder,
    cosine,
    matching_loss,
    reconstruction_error,
    self_reinforcing_loss,
    total_loss,
    unit,
)
from nlcli.detection.detectors.noisy_training import train_on_noisy_labels
from nlcli.detection.detectors.references import References, class_references
from nlcli.detection.threshold import best_threshold
from nlcli.errors import NlcliError
from nlcli.methods.base.contract import Batch, Phase, Problem, Schedule
from nlcli.methods.base.method import Method
from nlcli.methods.citations import LEE_2018
from nlcli.networks.linear_layer import LinearLayer
from nlcli.runtime import memory_available
from nlcli.seeds import stream
from nlcli.stages.files import atomic_path
from nlcli.training.loop.feature_source import RowFeatures
from nlcli.training.loop.pools import StoredRows

if TYPE_CHECKING:
    from nlcli.methods.base.contract import Tensor

Transform = Literal["log", "l2", "none"]
MONITOR = "average_error"
_CLASSES = 32  # whose references are encoded at a time outside training


class CleanNetConfig(DetectorConfig):
    """Options of CleanNet. The defaults are for small data; in brackets what the paper's tables take."""

    steps: int = Field(3000, ge=1, description="Training steps; the rate is divided by 10 at half of them (60000).")
    batch_size: int = Field(64, ge=2, description="Rows in a step, half of them verified.")
    learning_rate: float = Field(0.01, gt=0, description="Of SGD with momentum 0.9.")
    weight_decay: float = Field(1e-4, ge=0, description="L2 on kernels: half of it times their squares is added.")
    dropout: float = Field(0.2, ge=0, lt=1, description="In the reference encoder, during training.")
    references: int = Field(50, ge=1, description="K: K-means centroids of a class.")
    transform: Transform = Field("log", description="How features enter: log(1 + x), l2 (of one length), none.")
    margin: float = Field(0.1, ge=-1, lt=1, description="rho, of wrong labels and of self-reinforcement.")
    negative_weight: float = Field(5.0, gt=0, description="omega, weight of wrong labels.")
    reconstruction: float = Field(0.1, ge=0, description="beta, weight of the autoencoder's error.")
    reinforcement: float = Field(0.1, ge=0, description="gamma, weight of unverified images.")


# --- the method ------------------------------------------------------------------------------


class CleanNet(Method):
    """The network as the training loop wants it.

    Its score is a cosine in [-1, 1] for every class, and not a probability as other methods have it.
    The references are constants of the graph and not among ``weights``: at 1,000 classes they are
    400 MiB, which no checkpoint needs to repeat.

    Args:
        references: Of the problem's classes.
        seed: Of initial weights and dropout.
    """

    name = "cleannet"
    citation = LEE_2018
    tasks = ("single-label",)
    scores = ("similarity",)
    config: Any

    def __init__(self, config: CleanNetConfig, problem: Problem, references: References, seed: int = 0) -> None:
        self.raw = references
        super().__init__(config, problem, None, seed)  # type: ignore[arg-type]

    def build(self, init: LinearLayer | None) -> None:
        settings, width = self.config, self.problem.num_features
        self.references = transformed(tf.constant(self.raw.vectors), settings.transform)
        self.mask = tf.constant(self.raw.mask)
        drops = int(stream(self.seed, "dropout", "reference").integers(2**31))
        self.of_references = self.add(
            "reference", ReferenceEncoder(self.glorot, settings.dropout, drops, name="reference"), width
        )
        self.of_query = self.add("query", QueryEncoder(self.glorot, width, name="query"), width)
        self._encode = tf.function(
            lambda first, stop: self.of_references(self.references[first:stop], self.mask[first:stop], training=False)
        )

    def phases(self) -> tuple[Phase, ...]:
        settings = self.config
        rate = Schedule(settings.learning_rate, 0.1, math.ceil(settings.steps / 2), "steps")
        return (
            Phase(
                "matching",
                "mixed",
                settings.steps,
                {"head": rate},
                "sgd",
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


def transformed(features: Tensor, how: Transform) -> Tensor:
    """Features (..., D) as they enter the network.

    ``l2`` brings them to length sqrt(D): at length 1 they are so small that one rate cannot fit them
    and the others.
    """
    if how == "log":
        return ops.log1p(features)
    return unit(features) * math.sqrt(features.shape[-1]) if how == "l2" else features


# --- the detector ----------------------------------------------------------------------------


class CleanNetDetector(Detector):
    """Cosine of query and class embedding; what it learns of verified classes holds for the others."""

    name = "cleannet"
    title = "CleanNet"
    citation = LEE_2018
    Config = CleanNetConfig
    uses_verification = True
    soft = True
    config: CleanNetConfig

    def fit(self, data: Data, seed: int, work: Path) -> None:
        settings = self.config
        if not len(data.train.verified):
            raise NlcliError("cleannet learns from verified noisy labels, and no training image has one; verify some")
        references = class_references(data, settings.references, seed, work, self._check)
        problem = Problem(data.num_features, data.classes, "single-label")
        network = CleanNet(settings, problem, references, seed)
        (phase,) = network.phases()
        if len(data.train.verified) == len(data.train):  # nothing is left that is not verified
            phase = replace(phase, rows="clean")
        validation = _Validation(network, data, memory_available() // 8)
        outcome = train_on_noisy_labels(
            network,
            phase,
            data,
            data.table,
            validation if validation.possible else None,
            seed,
            work,
            "training cleannet",
        )
        self.notes |= {
            "best_step": outcome.step,
            "steps": outcome.steps,
            "validation": outcome.figures(),
            "classes_without_images": [data.classes[c] for c in np.flatnonzero(references.counts == 0)],
        }
        self._use(network)

    def score(self, features: np.ndarray, noisy: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        self._check(features)
        found = [
            self._similarity(tf.constant(features[i : i + READ_ROWS]), tf.constant(noisy[i : i + READ_ROWS])).numpy()
            for i in range(0, len(features), READ_ROWS)
        ]
        return np.concatenate(found) if found else np.empty(0, np.float32)

    def _use(self, network: CleanNet) -> None:
        self.network = network
        # Unverified images at or above the margin are taken for relevant in training (eq. 8).
        self.natural_threshold = self.config.margin
        self._similarity = _compiled_similarity(network, tf.constant(network.class_embeddings()))

    def _check(self, features: np.ndarray) -> None:
        if self.config.transform == "log" and len(features) and features.min() < 0:
            raise NlcliError(
                "cleannet takes log(1 + x) of features, and these reach below zero; pass --set transform=l2"
            )

    # --- kept ---

    def save(self, path: Path | str) -> None:
        """Write what it has learned, references and options, as one NumPy archive."""
        network = self.network
        arrays: dict[str, Any] = {f"weights/{name}": v.numpy() for name, v in network.weights().items()}
        record = {
            "options": self.config.model_dump(mode="json"),
            "classes": list(network.problem.classes),
            "num_features": network.problem.num_features,
        }
        path = Path(path)
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez(
                file,
                record=np.asarray(json.dumps(record)),
                vectors=network.raw.vectors,
                counts=network.raw.counts,
                **arrays,
            )

    @classmethod
    def load(cls, path: Path | str) -> CleanNetDetector:
        """What ``save`` wrote, ready to score.

        Raises:
            NlcliError: the file cannot be read, or is not one of CleanNet.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                record = json.loads(str(arrays["record"]))
                config = CleanNetConfig(**record["options"])
                problem = Problem(int(record["num_features"]), tuple(record["classes"]), "single-label")
                references = References(arrays["vectors"], arrays["counts"])
                shape = (problem.num_classes, config.references, problem.num_features)
                if references.vectors.shape != shape or references.counts.shape != shape[:1]:
                    raise ValueError(f"references have shape {references.vectors.shape}, expected {shape}")
                network = CleanNet(config, problem, references)
                for name, variable in network.weights().items():
                    variable.assign(arrays[f"weights/{name}"])
        except Exception as error:  # damaged archives raise many kinds
            raise NlcliError(f"{path} is not a saved CleanNet ({error}); save it again") from error
        detector = cls(config)
        detector._use(network)
        return detector


def _compiled_similarity(network: CleanNet, embeddings: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    @tf.function(reduce_retracing=True)
    def similarity(features: Tensor, noisy: Tensor) -> Tensor:
        return cosine(network.query(tf.cast(features, tf.float32)), tf.gather(embeddings, noisy))

    return similarity


class _Validation:
    """Average error rate of verified validation images at their best threshold.

    Args:
        budget: Bytes that their features may take in memory; they are read each time where they take more.

    Attributes:
        possible: Whether there is one.
    """

    def __init__(self, network: CleanNet, data: Data, budget: int) -> None:
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
