"""Precision over recall of models, over all entries and by category (Veit et al. 2017, figure 6)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from nlcli.evaluation.comparison.breakdown_record import ALL
from nlcli.evaluation.comparison.class_cuts import Model
from nlcli.evaluation.comparison.evaluation_sets import Evaluations
from nlcli.metrics.arrays import Array, Floats, Ints, Scores
from nlcli.metrics.curves import precision_recall_curve
from nlcli.metrics.ranking import average_precision
from nlcli.stages.files import number

RECALL = np.linspace(0.005, 1.0, 200)
"""Where curves of several seeds are averaged."""


def pooled_curves(
    together: Evaluations, models: Sequence[Model], by_category: dict[str, Ints]
) -> dict[str, list[Floats]]:
    """By category the precision of every model at ``RECALL``, mean over its seeds; empty without positives."""
    curves: dict[str, list[Floats]] = {}
    for model in models:
        own: dict[str, list[Floats]] = {}
        for i in model.members:
            for name, labels, scores in _entries(together, i, by_category):
                curve = precision_recall_curve(labels, scores)
                if len(curve.recall):
                    own.setdefault(name, []).append(curve.precision_at(RECALL))
        for name, precisions in own.items():
            curves.setdefault(name, []).append(np.mean(precisions, axis=0))
    return curves


def pooled_precision(
    together: Evaluations, models: Sequence[Model], by_category: dict[str, Ints]
) -> dict[str, tuple[float | None, ...]]:
    """By category the AP over its entries together, of every model, mean over its seeds."""
    pooled: dict[str, list[float | None]] = {}
    for model in models:
        own: dict[str, list[float]] = {}
        for i in model.members:
            for name, labels, scores in _entries(together, i, by_category):
                own.setdefault(name, []).append(average_precision(labels, scores))
        for name, values in own.items():
            pooled.setdefault(name, []).append(number(np.mean(values)))
    return {name: tuple(values) for name, values in pooled.items()}


def _entries(together: Evaluations, i: int, by_category: dict[str, Ints]) -> Iterator[tuple[str, Array, Scores]]:
    """Labels and scores of evaluation ``i``: all entries, then those of each category."""
    scored = together.members[i].scored
    yield ALL, *scored.together()
    for name, columns in by_category.items():
        yield name, *scored.of_classes(columns)
