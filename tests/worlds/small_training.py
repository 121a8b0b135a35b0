"""A planted multi-label problem in memory, and a source of its blocks, for tests of the loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from nlcli.methods import configure, get_method
from nlcli.methods.base.contract import Batch, Phase, Problem
from nlcli.methods.base.method import Method
from nlcli.metrics.ranking import ap_all, mean_ap
from nlcli.networks.linear_layer import LinearLayer
from nlcli.training.loop.contract import Block
from nlcli.training.loop.pools import clean_rows
from nlcli.training.loop.sampling import BatchSampler, Pool


@dataclass
class Planted:
    """Features that show the true labels, noisy labels that add one class and drop a third of another."""

    features: np.ndarray
    true: np.ndarray
    noisy: np.ndarray
    clean: np.ndarray

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(f"c{i}" for i in range(self.true.shape[1]))


def planted(
    images: int = 600, num_features: int = 24, classes: int = 5, seed: int = 0, single: bool = False
) -> Planted:
    rng = np.random.default_rng(seed)
    if single:
        true = np.eye(classes, dtype=np.uint8)[rng.integers(classes, size=images)]
        wrong = rng.random(images) < 0.3
        noisy = np.where(wrong[:, None], np.roll(true, 1, axis=1), true)
    else:
        true = (rng.random((images, classes)) < 0.3).astype(np.uint8)
        noisy = true.copy()
        noisy[:, 1] |= true[:, 0]
        noisy[:, 2] &= rng.random(images) < 0.67
    features = true @ rng.normal(size=(classes, num_features)) + 0.5 * rng.normal(size=(images, num_features))
    return Planted(features.astype(np.float32), true, noisy, np.arange(images // 5))


def imperfect_detection(data: Planted, kind: str, seed: int = 0) -> np.ndarray:
    """Weights of the noisy labels, as a detector that mistakes about a tenth of them would give: (n,) float32."""
    right = data.true[np.arange(len(data.true)), data.noisy.argmax(1)] > 0
    score = np.clip(np.random.default_rng(seed).normal(np.where(right, 0.7, 0.2), 0.2), -1, 1)
    return (np.maximum(score, 0) if kind == "soft" else score >= 0.45).astype(np.float32)


def source(method: Method, data: Planted, **options: Any) -> ArraySource:
    """Blocks of ``data`` for ``method``, weighted where it needs a detection."""
    if method.needs_detection:
        options["weights"] = imperfect_detection(data, method.config.weights)
    return ArraySource(data, **options)


class ArraySource:
    """Blocks of a planted problem; ``block_steps`` at most at a time, rows of T weighted by ``weights``."""

    def __init__(
        self,
        data: Planted,
        batch_size: int = 32,
        seed: int = 0,
        block_steps: int = 7,
        weights: np.ndarray | None = None,
    ) -> None:
        self.weights = weights
        self.data, self.batch_size, self.seed, self.block_steps = data, batch_size, seed, block_steps

    def clean_rows(self, phase: Phase) -> int:
        return clean_rows(phase, self.batch_size, *self.pools(phase))

    def pools(self, phase: Phase) -> tuple[np.ndarray, np.ndarray]:
        every = np.arange(len(self.data.features))
        return self.data.clean, np.setdiff1d(every, self.data.clean) if phase.rows == "mixed" else every

    def inputs(self) -> Iterator[np.ndarray]:
        yield from np.array_split(self.data.features, 3)

    def steps_in_block(self, phase: Phase) -> int:
        return self.block_steps

    def epoch_steps(self, phase: Phase) -> float:
        return len(self.data.features) / self.batch_size

    def block(self, phase: Phase, first: int, count: int) -> Block:
        clean, (_, other) = self.clean_rows(phase), self.pools(phase)
        sampler = BatchSampler(
            self.batch_size,
            clean,
            Pool(self.data.clean, self.seed, "V") if clean else None,
            Pool(other, self.seed, "T") if clean < self.batch_size else None,
        )
        rows = sampler.rows(first, count).astype(np.int32)
        labelled = rows if phase.noisy_labels == "all" else rows[:, clean:]
        v = self.data.true[rows[:, :clean]]
        weights = None if self.weights is None else self.weights[rows[:, clean:]]
        return Block(self.data.features, rows, self.data.noisy[labelled], v, np.ones_like(v), weights=weights)


def make(name: str, data: Planted, seed: int = 0, single: bool = False, **options: object) -> Method:
    """Method ``name`` for ``data``; where it needs a layer to start from, one that scores at random."""
    problem = Problem(data.features.shape[1], data.classes, "single-label" if single else "multi-label")
    rng = np.random.default_rng(seed)
    layer = LinearLayer(
        0.1 * rng.normal(size=(problem.num_features, problem.num_classes)).astype(np.float32),
        np.zeros(problem.num_classes, np.float32),
    )
    cls, config = get_method(name), configure(name, options)
    if single and cls.uses_pairs(config):
        pairs = np.zeros((problem.num_classes,) * 2, np.int64)
        np.add.at(pairs, (data.true[data.clean].argmax(1), data.noisy[data.clean].argmax(1)), 1)
        problem = replace(problem, pairs=pairs)
    return cls(config, problem, layer if cls.needs_last_layer else None, seed)


def metrics_of(method: Method, data: Planted) -> dict[str, float]:
    """AP_all and mAP of the method's own score on the true labels, and top_1 on single-label data."""
    scores = method.score(tf.constant(data.features), method.offered()[0]).numpy()
    metrics = {"AP_all": float(ap_all(data.true, scores)), "mAP": float(mean_ap(data.true, scores))}
    if method.problem.task == "single-label":
        metrics["top_1"] = float((scores.argmax(1) == data.true.argmax(1)).mean())
    return metrics


def validation(method: Method, data: Planted) -> Callable[[Phase], dict[str, float]]:
    """``metrics_of``, and where a phase is chosen by a loss, its losses on ``data`` as if all of it were V."""

    def evaluate(phase: Phase) -> dict[str, float]:
        metrics = metrics_of(method, data)
        if phase.monitor in (*metrics, "auto"):
            return metrics
        noisy = data.noisy if phase.noisy_labels == "all" else data.noisy[:0]
        labels = (tf.constant(part, tf.float32) for part in (noisy, data.true, np.ones_like(data.true)))
        losses = method.losses(phase.name, tf.constant(data.features), Batch(len(data.true), *labels))
        return metrics | {name: float(value) for name, value in losses.items()}

    return evaluate
