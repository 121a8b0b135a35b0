"""Validation metrics over the steps of a training, from the ``metrics.jsonl`` of runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nlcli.errors import NlcliError
from nlcli.evaluation.tested_model import selection
from nlcli.metrics.arrays import Floats, Ints
from nlcli.metrics.names import LEARNING

FILE = "metrics.jsonl"


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
    where = run / FILE
    if not where.is_file():
        return None
    lines = []
    for number, text in enumerate(where.read_text(encoding="utf-8").splitlines(), 1):
        try:
            line = json.loads(text)
            lines.append((str(line["phase"]), int(line["step"]), dict(line["validation"])))
        except (ValueError, KeyError, TypeError) as error:
            told = f"{where}, line {number}: not a line of training metrics; train the model again"
            raise NlcliError(told) from error
    steps, before, last = [], 0, ("", 0)
    for phase, step, validation in lines:
        if phase != last[0]:
            before += last[1]
        last = (phase, step)
        if validation:
            steps.append(before + step)
    lines = [line for line in lines if line[2]]
    if not lines:
        return None
    names = [name for name in LEARNING if any(name in line[2] for line in lines)]
    metrics = {name: np.array([line[2].get(name, np.nan) for line in lines], np.float64) for name in names}
    kept = selection(run)
    chosen = next((i for i, line in enumerate(lines) if line[:2] == (kept.phase, kept.step)), None)
    return LearningCurve(np.array(steps, np.int64), tuple(line[0] for line in lines), metrics, chosen)


def over_seeds(curves: Sequence[LearningCurve], name: str) -> tuple[Ints, Floats]:
    """Steps ``(K,)`` that every curve has an evaluation at, and the metric there, ``(S, K)``.

    The later of two evaluations at one step (the end of a phase and the beginning of the next) counts.
    """
    series = [dict(zip(c.steps.tolist(), c.metrics[name].tolist(), strict=True)) for c in curves if name in c.metrics]
    if not series:
        return np.empty(0, np.int64), np.empty((0, 0))
    shared = sorted(set.intersection(*(set(values) for values in series)))
    return np.array(shared, np.int64), np.array([[values[step] for step in shared] for values in series])
