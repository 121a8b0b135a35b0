"""Validation metrics over the steps of a training, from the ``metrics.jsonl`` of runs.

A training tells each metric alone. How much it would move with other images is taken from the evaluation of the trained
model: a metric v is taken to have the variance v (1 - v) / n, as a share has, where n is proportional to the number of
images and the factor is that of the evaluation's bootstrap. So seeds have in common at every step what they have in
common there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from nlcli.evaluation.tested_model import selection
from nlcli.metrics.arrays import Floats, Ints
from nlcli.metrics.intervals import FEWEST_SEEDS, Support, metric_interval, seeds_interval, widest
from nlcli.metrics.names import LEARNING
from nlcli.training.loop.history import read_history
from nlcli.training.result import read_result


@dataclass(frozen=True)
class Varying:
    """A metric of the trained model where it was evaluated, and how it varies over images.

    Attributes:
        images: That were evaluated.
        replicates: ``(B,)`` of the bootstrap.
    """

    value: float
    images: int
    replicates: Floats
    support: Support

    def at(self, value: float, images: int) -> tuple[Floats, Support]:
        """Replicates ``(B,)`` and support of ``value``, the metric at another step, on so many images."""
        own, other = self.value * (1 - self.value), value * (1 - value)
        scale = (other / own if own > 0 and other > 0 else 1.0) * self.images / images
        count = self.support.count if not self.images else round(self.support.count * images / self.images)
        return value + (self.replicates - self.value) * math.sqrt(scale), replace(self.support, count=count)


@dataclass(frozen=True)
class LearningCurve:
    """Metrics on the validation split while a model was trained.

    Attributes:
        steps: ``(K,)`` int64, steps of all phases so far; a phase's first evaluation stands where the
            phase before it ended.
        phases: Of every point.
        metrics: By name ``(K,)`` float64; NaN where an evaluation has none.
        chosen: Position of the evaluation whose weights were kept; None where it is not recorded.
        images: By metric, validation images that it rests on; empty where they are not recorded.
        varies: By metric, how it varies over images; empty without a bootstrap.
        of_training: False of a solved head, whose points are the strengths of regularisation that were tried.
    """

    steps: Ints
    phases: tuple[str, ...]
    metrics: dict[str, Floats]
    chosen: int | None
    images: dict[str, int] = field(default_factory=dict)
    varies: dict[str, Varying] = field(default_factory=dict)
    of_training: bool = True


SeedCurve = tuple[int, LearningCurve]
"""A seed of a model, and its curve."""


def read_learning_curve(run: Path) -> LearningCurve | None:
    """The curve of a run or backbone directory; None where it was never validated.

    Raises:
        NlcliError: a line of the file is not one of its kind.
    """
    history = read_history(run)
    if history is None:
        return None
    steps, before, last = [], 0, ("", 0)
    for line in history:
        if line.phase != last[0]:
            before += last[1]
        last = (line.phase, line.step)
        if line.validation:
            steps.append(before + line.step)
    lines = [line for line in history if line.validation]
    if not lines:
        return None
    names = [name for name in LEARNING if any(name in line.validation for line in lines)]
    metrics = {name: np.array([line.validation.get(name, np.nan) for line in lines], np.float64) for name in names}
    kept = selection(run)
    # A network that is trained whole has one phase, and its result names none.
    chosen = next((i for i, e in enumerate(lines) if e.step == kept.step and kept.phase in (None, e.phase)), None)
    images = _images(run, names)
    return LearningCurve(
        steps=np.array(steps, np.int64),
        phases=tuple(line.phase for line in lines),
        metrics=metrics,
        chosen=chosen,
        images=images,
        of_training=not any("l2" in line.train for line in lines),
    )


def _images(run: Path, names: Sequence[str]) -> dict[str, int]:
    result = read_result(run)
    told = {} if result is None else result.validation
    every = int(told.get("images", 0))
    known = int(told.get("images_of_known_class", every))
    return {name: count for name in names if (count := known if name.startswith("top_") else every)}


def over_seeds(curves: Sequence[LearningCurve], name: str) -> tuple[Ints, Floats]:
    """Steps ``(K,)`` that every curve has an evaluation at, and the metric there, ``(S, K)``.

    The later of two evaluations at one step (the end of a phase and the beginning of the next) counts.
    """
    series = [dict(zip(c.steps.tolist(), c.metrics[name].tolist(), strict=True)) for c in curves if name in c.metrics]
    if not series:
        return np.empty(0, np.int64), np.empty((0, 0))
    shared = sorted(set.intersection(*(set(values) for values in series)))
    return np.array(shared, np.int64), np.array([[values[step] for step in shared] for values in series])


def band(curves: Sequence[LearningCurve], name: str) -> tuple[Floats, Floats] | None:
    """Lower and upper ends ``(K,)`` of what to show around the mean of the curves, at the steps of ``over_seeds``.

    An interval over images, and over seeds where there are several, made as ``compare`` makes one. Where nothing tells
    how the metric varies over images, ``seeds_band``; None of one seed then.
    """
    own = [curve for curve in curves if name in curve.metrics]
    values = over_seeds(own, name)[1]
    if not has_images(own, name):
        return seeds_band(values) if len(values) > 1 else None
    low, high = np.full(values.shape[1], math.nan), np.full(values.shape[1], math.nan)
    for k, at_step in enumerate(values.T):
        told = [curve.varies[name].at(float(v), curve.images[name]) for curve, v in zip(own, at_step, strict=True)]
        ends = metric_interval(at_step, np.stack([drawn for drawn, _ in told]), widest(support for _, support in told))
        if ends is not None:
            low[k], high[k] = ends
    return low, high


def has_images(curves: Sequence[LearningCurve], name: str) -> bool:
    """Whether it is known of all curves that have the metric how it varies over images."""
    own = [curve for curve in curves if name in curve.metrics]
    return bool(own) and all(name in curve.varies and name in curve.images for curve in own)


def seeds_band(values: Floats) -> tuple[Floats, Floats]:
    """Lower and upper ends ``(K,)`` of what to show around the mean of ``(S, K)``, of two seeds or more.

    An interval of the mean over seeds; of two seeds, which have none, the one and the other.
    """
    if len(values) < FEWEST_SEEDS:
        return values.min(axis=0), values.max(axis=0)
    low, high = seeds_interval(values)
    return np.maximum(low, 0.0), np.minimum(high, 1.0)
