"""Intervals of the cells of a paper's table: of one seed its evaluation's, of several over seeds and images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from nlcli.errors import NlcliError
from nlcli.evaluation.comparison.evaluation_sets import read_evaluations
from nlcli.evaluation.comparison.model_rows import OverSeeds, metrics_of_seeds
from nlcli.evaluation.metrics_file import ClassifierMetrics, Ends, NoiseMetrics


@dataclass(frozen=True)
class Interval:
    """The interval of a metric.

    Attributes:
        ends: None without a bootstrap, or where there is none.
        lacks: Why there is none although there was a bootstrap.
    """

    ends: Ends | None = None
    lacks: str | None = None

    @property
    def percent(self) -> Ends | None:
        """The ends in percent."""
        low, high = self.ends or (None, None)
        return None if low is None or high is None else (100 * low, 100 * high)


def cell_intervals(
    paths: Sequence[Path], evaluations: Sequence[ClassifierMetrics | NoiseMetrics]
) -> dict[str, Interval]:
    """By name the intervals of one cell's metrics.

    Args:
        paths: Of the evaluations, a seed each.
        evaluations: What their ``metrics.json`` say, in the same order.
    """
    if len(paths) == 1:
        return {name: Interval(told.interval, told.no_interval) for name, told in evaluations[0].metrics.items()}
    if not all(e.bootstrap.resamples for e in evaluations):
        return {}
    names = set.intersection(*(set(e.metrics) for e in evaluations))
    try:
        together = read_evaluations(paths)
    except NlcliError as error:  # seeds that were judged on other images, or by other labels
        return dict.fromkeys(names, Interval(lacks=str(error)))
    if together.left_out:
        return dict.fromkeys(names, Interval(lacks=f"{together.left_out:,} images were not scored with every seed"))
    nothing = np.empty((0, len(together.classes)))  # the classes' replicates are large where there are thousands
    measured = [replace(e.measure(together.resamples, together.seed), per_class=nothing) for e in together.members]
    over = {name: OverSeeds.of(seeds) for name, seeds in metrics_of_seeds(measured).items()}
    return {name: Interval(told.interval, told.no_interval) for name, told in over.items()}
