"""Intervals over images and seeds of what was measured, and of paired differences."""

from __future__ import annotations

import math

import numpy as np

from benchmarks.accuracy.cells import Cell
from benchmarks.accuracy.rows import SHARES, WORLDS, Row
from nlcli.metrics.intervals import difference_interval, metric_interval, share_support

ORDER = {Row(world, share).name: Row(world, share) for world in WORLDS for share in SHARES}


def interval(cells: list[Cell], metric: str) -> tuple[float, float] | None:
    """Over images and seeds; where each seed has test images of its own, over seeds, which have both."""
    values = np.array([cell.metrics[metric] for cell in cells])
    outcomes = [cell.outcome for cell in cells]
    if metric == "top_1" and _same_images(cells):
        return metric_interval(values, _resampled(outcomes), share_support(len(outcomes[0])))
    return _over_seeds(values)


def half_of(cells: list[Cell], metric: str) -> str:
    """Half of the interval, as it stands behind a mean; empty where there is none."""
    ends = interval(cells, metric)
    return "" if ends is None else f" ± {(ends[1] - ends[0]) / 2:.3f}"


def difference(own: list[Cell], other: list[Cell], metric: str) -> tuple[float, tuple[float, float] | None]:
    """``own`` less ``other``, of the seeds that both have, and its interval."""
    pairs = _pairs(own, other)
    mine, theirs = ([pair[k].metrics[metric] for pair in pairs] for k in (0, 1))
    gap = np.array(mine) - np.array(theirs)
    if metric == "top_1" and _same_images(own):
        first, second = ([pair[k].outcome for pair in pairs] for k in (0, 1))
        support = share_support(len(first[0]))
        return float(gap.mean()), difference_interval(mine, _resampled(first), theirs, _resampled(second), support)
    return float(gap.mean()), _over_seeds(gap)


def _over_seeds(values: np.ndarray) -> tuple[float, float] | None:
    """Of the mean of (S,) values; None of one."""
    if len(values) < 2:
        return None
    half = _t(len(values) - 1) * float(values.std(ddof=1)) / math.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)


def _pairs(own: list[Cell], other: list[Cell]) -> list[tuple[Cell, Cell]]:
    of_seed = {cell.seed: cell for cell in other}
    return [(cell, of_seed[cell.seed]) for cell in own if cell.seed in of_seed]


def _same_images(cells: list[Cell]) -> bool:
    return ORDER[cells[0].row].world.images in ("digits", "scenes")


def _resampled(outcomes: list[np.ndarray]) -> np.ndarray:
    """(S, B) shares of the same 1,000 resamples of the images."""
    count = len(outcomes[0])
    weights = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=1000)
    return np.stack([weights @ outcome / count for outcome in outcomes])


def _t(freedom: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.975))
