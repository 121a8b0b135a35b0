"""Validation metrics over the steps of a training, from the ``metrics.jsonl`` of runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nlcli.evaluation.tested_model import selection
from nlcli.metrics.arrays import Floats, Ints
from nlcli.metrics.intervals import FEWEST_SEEDS, seeds_interval
from nlcli.metrics.names import LEARNING
from nlcli.training.loop.history import read_history


@dataclass(frozen=True)
class LearningCurve:
    """Metrics on the validation split while a model was trained.

    Attributes:
        steps: ``(K,)`` int64, steps of all phases so far; a phase's first evaluation stands where the
            phase before it ended.
        phases: Of every point.
        metrics: By name ``(K,)`` float64; NaN where an evaluation has none.
        chosen: Position of the evaluation whose weights were kept; None where it is not recorded.
    """

    steps: Ints
    phases: tuple[str, ...]
    metrics: dict[str, Floats]
    chosen: int | None


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
    return LearningCurve(np.array(steps, np.int64), tuple(line.phase for line in lines), metrics, chosen)


def over_seeds(curves: Sequence[LearningCurve], name: str) -> tuple[Ints, Floats]:
    """Steps ``(K,)`` that every curve has an evaluation at, and the metric there, ``(S, K)``.

    The later of two evaluations at one step (the end of a phase and the beginning of the next) counts.
    """
    series = [dict(zip(c.steps.tolist(), c.metrics[name].tolist(), strict=True)) for c in curves if name in c.metrics]
    if not series:
        return np.empty(0, np.int64), np.empty((0, 0))
    shared = sorted(set.intersection(*(set(values) for values in series)))
    return np.array(shared, np.int64), np.array([[values[step] for step in shared] for values in series])


def seeds_band(values: Floats) -> tuple[Floats, Floats]:
    """Lower and upper ends ``(K,)`` of what to show around the mean of ``(S, K)``, of two seeds or more.

    An interval of the mean over seeds; of two seeds, which have none, the one and the other.
    """
    if len(values) < FEWEST_SEEDS:
        return values.min(axis=0), values.max(axis=0)
    low, high = seeds_interval(values)
    return np.maximum(low, 0.0), np.minimum(high, 1.0)
