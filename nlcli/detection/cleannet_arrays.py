"""CleanNet's two encoders in NumPy: its weights, what they score, and a step's losses with their gradients.

On processors these are a few matrix products, in which a BLAS is twice as fast as TensorFlow's kernels, and TensorFlow
need not be imported. ``cleannet_matching`` has the same losses for GPUs. Equations are those of Lee et al. 2018,
section 3.1, as ``cleannet_network`` writes them; gradients are derived by hand.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from nlcli.detection.cleannet_options import MONITOR
from nlcli.detection.threshold import best_threshold
from nlcli.errors import NlcliError
from nlcli.methods.base.array_layers import ArrayVariable
from nlcli.methods.base.contract import Batch, Phase, Problem
from nlcli.runtime import one_blas_thread
from nlcli.seeds import stream
from nlcli.training.loop.feature_source import RowFeatures
from nlcli.training.loop.pools import StoredRows

if TYPE_CHECKING:
    from nlcli.detection.base import Data
    from nlcli.detection.cleannet_options import CleanNetConfig, Transform
    from nlcli.detection.references import References

HIDDEN, REPRESENTATION, EMBEDDING = 512, 256, 128
_CLASSES = 32  # whose references are encoded at a time outside training
_GROUP = 100  # rows of references, at least, in one product of the first layer
_NARROWER = 0.9  # of features, that a basis has to be to be worth it
_LEAST = np.float32(1e-12)  # of squared lengths


class ArrayMatching:
    """The two encoders.

    The references are not among ``weights``: at 1,000 classes they are 400 MiB, which no checkpoint needs to repeat.

    Args:
        references: Of the problem's classes.
        seed: Of initial weights and dropout.
        basis: Of ``reference_basis``, in which references then enter their encoder; None: as they are.
    """

    arrays = True

    def __init__(
        self,
        config: CleanNetConfig,
        problem: Problem,
        references: References,
        seed: int = 0,
        basis: np.ndarray | None = None,
    ) -> None:
        self.config, self.problem, self.raw, self.seed, self.basis = config, problem, references, seed, basis
        self.mask = references.mask
        self.references = transformed(references.vectors, config.transform)
        if basis is not None:
            with one_blas_thread():
                self.references = lower_triangle(self.references @ basis)
        self._weights = {name: ArrayVariable(name, value) for name, value in self._initial()}
        self._beside: ThreadPoolExecutor | None = None

    def _initial(self) -> Iterator[tuple[str, np.ndarray]]:
        """Glorot's uniform distribution for kernels, zeros for biases; each from the seed's stream of its name."""

        def glorot(name: str, rows: int, columns: int) -> np.ndarray:
            limit = math.sqrt(6.0 / (rows + columns))
            return stream(self.seed, "init", name).uniform(-limit, limit, (rows, columns)).astype(np.float32)

        width = self.problem.num_features
        sizes = {
            "reference/first": (width, HIDDEN),
            "reference/second": (HIDDEN, REPRESENTATION),
            "reference/attention": (REPRESENTATION, REPRESENTATION),
            "reference/embedding": (REPRESENTATION, EMBEDDING),
            "query/first": (width, REPRESENTATION),
            "query/embedding": (REPRESENTATION, EMBEDDING),
            "query/back": (EMBEDDING, REPRESENTATION),
            "query/output": (REPRESENTATION, width),
        }
        for name, (rows, columns) in sizes.items():
            kernel = glorot(name, rows, columns)
            if name == "reference/first" and self.basis is not None:  # begins as it would without one, seen in it
                with one_blas_thread():
                    kernel = self.basis.T @ kernel
            yield f"{name}/kernel", kernel
            yield f"{name}/bias", np.zeros(columns, np.float32)
        yield "reference/context", glorot("reference/context", REPRESENTATION, 1)[:, 0]

    def itself(self) -> ArrayMatching:
        """This network."""
        return self

    # --- what training needs ---

    def weights(self) -> dict[str, ArrayVariable]:
        """Every weight by name, in a fixed order."""
        return dict(self._weights)

    def groups(self) -> dict[str, list[ArrayVariable]]:
        """All of them, in one group of learning rates."""
        return {"head": list(self._weights.values())}

    def begin(self, phase: str, inputs: object) -> None:
        """Nothing is to be done before the first step."""

    def gradients(
        self, phase: str, features: np.ndarray, batch: Batch, step: int
    ) -> tuple[dict[str, float], list[np.ndarray]]:
        """Losses of a batch by name, and the gradients of ``loss`` in the order of ``groups``.

        Args:
            features: (rows, D) float32, as they are stored.
            step: Its number, which with the seed decides what dropout drops.

        References:
            Lee et al. 2018, eq. (9); what is dropped is drawn as the paper leaves it open.
        """
        if self._beside is None:
            self._beside = ThreadPoolExecutor(1, thread_name_prefix="query")
        settings, rows = self.config, np.float32(len(features))
        entered = transformed(features, settings.transform)
        own = batch.noisy.argmax(axis=1)
        seen = np.unique(own)
        place = np.searchsorted(seen, own)
        # What neither half needs of the other is computed side by side.
        waiting = self._beside.submit(_Query, self._weights, entered, np.float32(settings.reconstruction) / rows)
        reference = _Reference(self, seen, self._dropped(len(seen), step))
        query = waiting.result()

        similarity = _Cosine(query.embedding, reference.embedding[place])
        cosines, clean = similarity.value, batch.clean
        label = (batch.verified * batch.of_clean(batch.noisy)).sum(axis=-1)
        margin, omega = np.float32(settings.margin), np.float32(settings.negative_weight)
        over = np.maximum(cosines[:clean] - margin, 0)
        matched = label * (1 - cosines[:clean]) + (1 - label) * omega * over
        alike = cosines[clean:] >= margin
        other = np.where(alike, 1 - cosines[clean:], np.float32(0))
        slope = np.concatenate(
            [(1 - label) * omega * (over > 0) - label, -np.float32(settings.reinforcement) * alike]
        ).astype(np.float32)
        of_query, of_class = similarity.gradients(slope / rows)
        waiting_gradients = self._beside.submit(query.gradients, of_query)
        member = np.zeros((len(seen), len(own)), np.float32)
        member[place, np.arange(len(own))] = 1
        found = reference.gradients(member @ of_class) | waiting_gradients.result()
        parts = {"L_cos": float(matched.sum() / rows), "L_r": query.error, "L_unsup": float(other.sum() / rows)}
        whole = parts["L_cos"] + settings.reconstruction * parts["L_r"] + settings.reinforcement * parts["L_unsup"]
        return {"loss": whole} | parts, [found[name] for name in self._weights]

    def _dropped(self, classes: int, step: int) -> np.ndarray | None:
        """(classes K, 512) float32 factors on the units of the first layer: 0, or what keeps their mean."""
        below = round(self.config.dropout * 65536)
        if not below:
            return None
        draws = stream(self.seed, "dropout", step).integers(
            65536, size=(classes * self.raw.vectors.shape[1], HIDDEN), dtype=np.uint16
        )
        return np.multiply(draws >= below, np.float32(65536 / (65536 - below)), dtype=np.float32)

    # --- what it scores ---

    def query(self, features: np.ndarray) -> np.ndarray:
        """Query embeddings (rows, 128) of features as they are stored, (rows, D)."""
        entered = transformed(np.asarray(features, np.float32), self.config.transform)
        return _tanh(_tanh(entered, self._weights, "query/first"), self._weights, "query/embedding")

    def class_embeddings(self) -> np.ndarray:
        """(C, 128) float32 embeddings of all classes, some at a time."""
        parts = [_Reference(self, classes, None).embedding for classes in self._some_classes()]
        return np.concatenate(parts)

    def attention(self) -> np.ndarray:
        """(C, K) float32 attention that each class's references get (eq. 3)."""
        return np.concatenate([_Reference(self, classes, None).alpha for classes in self._some_classes()])

    def _some_classes(self) -> Iterator[np.ndarray]:
        classes = np.arange(self.problem.num_classes)
        yield from (classes[i : i + _CLASSES] for i in range(0, len(classes), _CLASSES))

    def similarities(self) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        """A function from features (n, D) and noisy classes (n,) to cosines (n,) float32, by today's weights."""
        with one_blas_thread():
            embeddings = unit(self.class_embeddings())

        def similarity(features: np.ndarray, noisy: np.ndarray) -> np.ndarray:
            with one_blas_thread():
                found: np.ndarray = np.einsum("ij,ij->i", unit(self.query(features)), embeddings[noisy])
            return found

        return similarity

    def score(self, features: np.ndarray) -> np.ndarray:
        """(rows, C) cosines to every class."""
        with one_blas_thread():
            cosines: np.ndarray = unit(self.query(features)) @ unit(self.class_embeddings()).T
        return cosines


# --- equations and their gradients -------------------------------------------------------------


def unit(x: np.ndarray) -> np.ndarray:
    """Vectors along the last axis, divided by their norms; a zero vector stays zero."""
    divided: np.ndarray = x / np.sqrt(np.maximum(np.einsum("...i,...i->...", x, x), _LEAST))[..., None]
    return divided


def transformed(features: np.ndarray, how: Transform) -> np.ndarray:
    """Features (..., D) float32 as they enter the network.

    ``l2`` brings them to length sqrt(D): at length 1 they are so small that one rate cannot fit them
    and the others.
    """
    if how == "log":
        features = np.log1p(features)
    elif how == "l2":
        features = unit(features) * np.float32(math.sqrt(features.shape[-1]))
    return features


def _tanh(x: np.ndarray, weights: Mapping[str, ArrayVariable], name: str) -> np.ndarray:
    out: np.ndarray = x @ weights[f"{name}/kernel"].value
    out += weights[f"{name}/bias"].value
    np.tanh(out, out=out)
    return out


def _before_tanh(gradient: np.ndarray, value: np.ndarray) -> np.ndarray:
    """The gradient of what ``value`` is tanh of; ``gradient`` is written over."""
    slope = value * value
    np.subtract(1, slope, out=slope)
    gradient *= slope
    return gradient


class _Cosine:
    """Cosines of rows, ``value`` (n,), and their gradients; 0 where one of them is a zero vector."""

    def __init__(self, a: np.ndarray, b: np.ndarray) -> None:
        self._squares = [np.einsum("ij,ij->i", x, x) for x in (a, b)]
        self._lengths = [np.sqrt(np.maximum(s, _LEAST))[:, None] for s in self._squares]
        self._units = [x / length for x, length in zip((a, b), self._lengths, strict=True)]
        self.value: np.ndarray = np.einsum("ij,ij->i", *self._units)

    def gradients(self, slope: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of both sides' vectors, where ``slope`` (n,) is that of the cosines."""
        found = []
        for own, other in ((0, 1), (1, 0)):
            turning = np.where(self._squares[own] > _LEAST, self.value, np.float32(0))
            along = self._units[other] - turning[:, None] * self._units[own]
            found.append(slope[:, None] * along / self._lengths[own])
        return found[0], found[1]


class _Query:
    """An autoencoder of features, D -> 256 -> 128 -> 256 -> D, whose middle is the query embedding.

    All layers are tanh but the last, which is linear: features reach beyond 1.

    Attributes:
        embedding: (rows, 128).
        error: Mean over rows of the squared distance to what is given back (eq. 5).
    """

    def __init__(self, weights: Mapping[str, ArrayVariable], features: np.ndarray, scale: np.float32) -> None:
        self._weights, self._features = weights, features
        self._first = _tanh(features, weights, "query/first")
        self.embedding = _tanh(self._first, weights, "query/embedding")
        self._back = _tanh(self.embedding, weights, "query/back")
        off = self._back @ weights["query/output/kernel"].value
        off += weights["query/output/bias"].value
        off -= features
        self.error = float(np.einsum("ij,ij->i", off, off).mean(dtype=np.float64))
        off *= 2 * scale
        self._off = off

    def gradients(self, of_embedding: np.ndarray) -> dict[str, np.ndarray]:
        """By weight, where ``of_embedding`` (rows, 128) is what the cosine adds."""
        found: dict[str, np.ndarray] = {}
        back = _dense_gradients(found, self._weights, "query/output", self._back, self._off)
        middle = _dense_gradients(found, self._weights, "query/back", self.embedding, _before_tanh(back, self._back))
        middle += of_embedding
        middle = _before_tanh(middle, self.embedding)
        first = _dense_gradients(found, self._weights, "query/embedding", self._first, middle)
        _own_gradients(found, "query/first", self._features, _before_tanh(first, self._first))
        return found


def _own_gradients(found: dict[str, np.ndarray], name: str, inputs: np.ndarray, outputs: np.ndarray) -> None:
    """A layer's own gradients; ``outputs`` is that of what it gives before its activation."""
    found[f"{name}/kernel"] = inputs.T @ outputs
    found[f"{name}/bias"] = outputs.sum(axis=0)


def _dense_gradients(
    found: dict[str, np.ndarray],
    weights: Mapping[str, ArrayVariable],
    name: str,
    inputs: np.ndarray,
    outputs: np.ndarray,
) -> np.ndarray:
    """The same, and the gradient of its inputs."""
    _own_gradients(found, name, inputs, outputs)
    before: np.ndarray = outputs @ weights[f"{name}/kernel"].value.T
    return before


class _Reference:
    """Classes' references to their embeddings: two tanh layers, attention, one tanh layer (figure 2).

    Args:
        classes: (S,) increasing.
        dropped: Factors on the units of the first layer.

    Attributes:
        alpha: (S, K) attention, summing to 1 (eq. 3); zeros for a class without references.
        embedding: (S, 128).
    """

    def __init__(self, network: ArrayMatching, classes: np.ndarray, dropped: np.ndarray | None) -> None:
        weights = self._weights = network._weights
        some = len(classes) < len(network.references)
        references = network.references[classes] if some else network.references
        self._references = references.reshape(-1, references.shape[-1])
        self._shape = count, k = references.shape[:2]
        self._groups = list(_groups(classes, k, references.shape[-1], network.basis is not None))
        self._dropped = dropped

        kernel = weights["reference/first/kernel"].value
        first = np.empty((count * k, HIDDEN), np.float32)
        for rows, stop in self._groups:
            np.matmul(self._references[rows, :stop], kernel[:stop], out=first[rows])
        first += weights["reference/first/bias"].value
        self._first = np.tanh(first, out=first)
        self._kept = self._first if dropped is None else self._first * dropped
        self._second = _tanh(self._kept, weights, "reference/second")
        self._attended = _tanh(self._second, weights, "reference/attention")
        mask = network.mask[classes]
        match = (self._attended @ weights["reference/context"].value).reshape(count, k)
        match = np.where(mask > 0, match, np.float32(-1e30))
        # Less the largest one, so that no exponential overflows; the quotient does not change.
        powers = np.exp(match - match.max(axis=1, keepdims=True)) * mask
        self.alpha: np.ndarray = powers / np.maximum(powers.sum(axis=1, keepdims=True), np.float32(1e-30))
        self._by_class = self._second.reshape(count, k, -1)
        self._summed = np.matmul(self.alpha[:, None, :], self._by_class)[:, 0]
        self.embedding = _tanh(self._summed, weights, "reference/embedding")

    def gradients(self, of_embedding: np.ndarray) -> dict[str, np.ndarray]:
        """By weight, where ``of_embedding`` is (S, 128)."""
        found: dict[str, np.ndarray] = {}
        weights = self._weights
        summed = _dense_gradients(
            found, weights, "reference/embedding", self._summed, _before_tanh(of_embedding, self.embedding)
        )
        # Through the sum to its weights alpha, and through the softmax to what is matched (eq. 3, 4).
        of_alpha = np.matmul(self._by_class, summed[:, :, None])[:, :, 0]
        match = (self.alpha * (of_alpha - (self.alpha * of_alpha).sum(axis=1, keepdims=True))).reshape(-1)
        found["reference/context"] = match @ self._attended
        attended = match[:, None] * weights["reference/context"].value
        attended = _before_tanh(attended, self._attended)
        second = _dense_gradients(found, weights, "reference/attention", self._second, attended)
        second.reshape(self._by_class.shape)[...] += self.alpha[:, :, None] * summed[:, None, :]
        first = _dense_gradients(found, weights, "reference/second", self._kept, _before_tanh(second, self._second))
        if self._dropped is not None:
            first *= self._dropped
        first = _before_tanh(first, self._first)
        found["reference/first/bias"] = first.sum(axis=0)
        kernel = np.zeros_like(weights["reference/first/kernel"].value)
        begin = 0
        for rows, stop in self._groups:
            behind = slice(rows.start, None)  # of rows before these the columns are zeros
            np.matmul(self._references[behind, begin:stop].T, first[behind], out=kernel[begin:stop])
            begin = stop
        found["reference/first/kernel"] = kernel
        return found


def _groups(classes: np.ndarray, k: int, width: int, triangular: bool) -> Iterator[tuple[slice, int]]:
    """Rows of references of a few classes each, and the column behind which they have zeros."""
    if not triangular:
        yield slice(0, len(classes) * k), width
        return
    several = max(1, -(-_GROUP // k))
    for i in range(0, len(classes), several):
        last = min(i + several, len(classes))
        yield slice(i * k, last * k), min(width, (int(classes[last - 1]) + 1) * k)


# --- references in a basis ---------------------------------------------------------------------


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
    entered = transformed(references.vectors, transform).reshape(-1, width)
    with one_blas_thread():
        basis, _ = np.linalg.qr(entered.T.astype(np.float64))
    return np.asarray(basis, np.float32)


def lower_triangle(references: np.ndarray) -> np.ndarray:
    """References (C, K, C K) in their basis without the rounding: number i lies in the span of the first i + 1."""
    classes, count, width = references.shape
    return np.tril(references.reshape(-1, width)).reshape(classes, count, width)


# --- validation --------------------------------------------------------------------------------


class Validation:
    """Average error rate of verified validation images at their best threshold.

    Args:
        network: Asked before each validation: the network with the weights that are to be validated.
        budget: Bytes that their features may take in memory; they are read each time where they take more.

    Attributes:
        possible: Whether there is one.
    """

    def __init__(self, network: Callable[[], ArrayMatching], data: Data, budget: int) -> None:
        positions = data.validation.verified
        self._network, images = network, data.validation
        self._noisy, self._label = images.noisy[positions], images.label[positions]
        rows = StoredRows(images.rows[positions], images.stored[positions], 0)
        self._features = RowFeatures(data.store, data.table, rows, budget)
        self.possible = bool(len(positions))

    def __call__(self, phase: Phase) -> Mapping[str, float]:
        similarity = self._network().similarities()
        score = np.empty(len(self._noisy), np.float32)
        for first, features in self._features.parts():
            part = slice(first, first + len(features))
            score[part] = similarity(features, self._noisy[part])
        if not np.isfinite(score).all():
            raise NlcliError("cleannet's scores are not finite; lower its learning rate")
        threshold, error = best_threshold(score, self._label, self._noisy)
        return {MONITOR: error, "threshold": threshold}
