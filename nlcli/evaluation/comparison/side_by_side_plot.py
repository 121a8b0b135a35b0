"""Plot of a comparison: models over the clean fraction, or beside each other."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from nlcli.drawing import COLORS, MARKERS, new_figure, plain_axes, save_figure
from nlcli.evaluation.comparison.model_rows import Comparison, OverSeeds, Row
from nlcli.metrics.formats import percent
from nlcli.metrics.names import plot_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LABEL = 46  # characters in a line


def comparison_plot(comparison: Comparison, path: Path) -> None:
    """Draw every metric of a comparison with its interval.

    Where a model was trained at several clean fractions, the metrics stand over the fraction, as in
    Hu et al. 2018, figure 5; otherwise one line a model.

    Args:
        path: File to write, PNG or SVG.
    """
    rows = comparison.rows
    fractions = {(row.label, row.clean_fraction) for row in rows if row.clean_images is not None}
    labels = [label for label, _ in fractions]
    if len(labels) > len(set(labels)):
        figure = _over_fractions(rows, comparison.names)
    else:
        figure = _beside(rows, comparison.names)
    if comparison.resamples:
        told = f"bars: {percent(comparison.level)} interval over {comparison.images:,} images"
        figure.supxlabel(told, fontsize=8, color="0.4")
    save_figure(figure, path)


def _over_fractions(rows: Sequence[Row], names: Sequence[str]) -> Figure:
    figure = new_figure(4.6 * len(names) + 2.2, 3.9)
    labels = list(dict.fromkeys(row.label for row in rows))
    ticks = sorted({_share(row) for row in rows if row.clean_images is not None})
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    for axes, name in zip(panels, names, strict=True):
        for i, label in enumerate(labels):
            own = [row for row in rows if row.label == label and row.metrics[name].value is not None]
            # Intervals side by side, not on top of each other.
            _line(axes, i, label, own, name, 1 + 0.025 * (i - (len(labels) - 1) / 2))
        axes.set_xscale("log")
        axes.set_xticks([100 * tick for tick in ticks], [f"{100 * tick:g}" for tick in ticks])
        axes.set_xticks([], minor=True)
        axes.set_xlabel("clean images (% of the clean set)")
        _finish(axes, name, "y")
    handles, told = panels[-1].get_legend_handles_labels()
    told = ["\n".join(textwrap.wrap(label, _LABEL, max_lines=4, placeholder=" ...")) for label in told]
    panels[-1].legend(handles, told, frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.02, 1))
    return figure


def _line(axes: Axes, i: int, label: str, own: Sequence[Row], name: str, shift: float) -> None:
    """One model over the clean fraction; without clean labels it is the same at every fraction."""
    color, marker = COLORS[i % len(COLORS)], MARKERS[i % len(MARKERS)]
    flat = [row.metrics[name] for row in own if row.clean_images is None]
    steep = sorted((row for row in own if row.clean_images is not None), key=_share)
    if flat:
        axes.axhline(_number(flat[0].value), color=color, linestyle="--", linewidth=1.2, label=label)
        if flat[0].interval is not None:
            low, high = map(_number, flat[0].interval)
            axes.axhspan(low, high, color=color, alpha=0.08, linewidth=0)
    if steep:
        axes.errorbar(
            np.array([100 * _share(row) for row in steep]) * shift,
            np.array([row.metrics[name].value for row in steep]),
            yerr=_errors([row.metrics[name] for row in steep]),
            color=color,
            marker=marker,
            markersize=5,
            linewidth=1.4,
            elinewidth=0.9,
            capsize=2,
            label=label if not flat else None,
        )


def _share(row: Row) -> float:
    return _number(row.clean_fraction)


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _beside(rows: Sequence[Row], names: Sequence[str]) -> Figure:
    labels = [row.label + (row.percent_told if row.clean_images is not None else "") for row in rows]
    told = [textwrap.wrap(label, _LABEL, max_lines=5, placeholder=" ...") for label in labels]
    lines = max(len(own) for own in told)
    side = 0.085 * max(len(line) for own in told for line in own)  # inches
    figure = new_figure(3.3 * len(names) + max(2.4, side + 0.3), 1.2 + max(0.34, 0.16 * lines + 0.12) * len(rows))
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    at = np.arange(len(rows))
    for axes, name in zip(panels, names, strict=True):
        for y, row in zip(at, rows, strict=True):
            metric = row.metrics[name]
            if metric.value is None:
                continue
            axes.errorbar(
                [metric.value],
                [y],
                xerr=_errors([metric]),
                color=COLORS[0],
                marker="o",
                markersize=5,
                linewidth=0,
                elinewidth=2,
                capsize=0,
            )
            axes.annotate(
                f"{metric.value:.3f}",
                (metric.value, y),
                xytext=(0, 5),
                textcoords="offset points",
                ha="center",
                fontsize=7,
                color="0.3",
                bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none"},  # over the dashed line
            )
        first = rows[0].metrics[name].value
        if first is not None:
            axes.axvline(first, color="0.6", linewidth=0.8, linestyle="--")
        axes.set_ylim(len(rows) - 0.4, -0.7)
        _finish(axes, name, "x")
    panels[0].set_yticks(at, ["\n".join(own) for own in told], fontsize=9)
    return figure


def _errors(metrics: Sequence[OverSeeds]) -> NDArray[np.float64] | None:
    """Lengths of the bars below and above, ``(2, n)``; NaN where one is not known, None where none is."""
    lengths = []
    for metric in metrics:
        low, high = metric.interval or (None, None)
        if metric.value is None or low is None or high is None:
            lengths.append((math.nan, math.nan))
            continue
        # The interval of a difference need not hold the difference itself: no negative lengths.
        lengths.append((max(0.0, metric.value - low), max(0.0, high - metric.value)))
    errors = np.array(lengths).T
    return None if np.isnan(errors).all() else errors


def _finish(axes: Axes, name: str, grid: Literal["x", "y"]) -> None:
    axes.set_title(plot_title(name), fontsize=10, loc="left")
    plain_axes(axes, grid)
