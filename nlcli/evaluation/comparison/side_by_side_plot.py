"""Figure of a comparison: models over the clean fraction, or beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nlcli.drawing import COLORS, MARKERS, new_figure, save_figure
from nlcli.evaluation.comparison.side_by_side_table import figure_names
from nlcli.metrics.names import LOWER_IS_BETTER, heading


def comparison_plot(found: dict[str, Any], path: Path) -> None:
    """Draw every figure of a comparison with its interval.

    Where a model was trained at several clean fractions, the figures stand over the fraction, as in
    Hu et al. 2018, figure 5; otherwise one line a model.

    Args:
        found: What ``Comparison.as_json`` returns.
        path: File to write, PNG or SVG.
    """
    rows = found["rows"]
    names = figure_names(found)
    fractions = {(row["label"], row["clean_fraction"]) for row in rows if row["clean_images"] is not None}
    labels = [label for label, _ in fractions]
    if len(labels) > len(set(labels)):
        figure = _over_fractions(rows, names)
    else:
        figure = _beside(rows, names)
    if found["resamples"]:
        told = f"bars: {100 * found['level']:g} % bootstrap interval over {found['images']:,} images"
        figure.supxlabel(told, fontsize=8, color="0.4")
    save_figure(figure, path)


def _over_fractions(rows: list[dict[str, Any]], names: list[str]) -> Any:
    figure = new_figure(4.6 * len(names) + 2.2, 3.9)
    labels = list(dict.fromkeys(row["label"] for row in rows))
    ticks = sorted({row["clean_fraction"] for row in rows if row["clean_images"] is not None})
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    for axes, name in zip(panels, names, strict=True):
        for i, label in enumerate(labels):
            color, marker = COLORS[i % len(COLORS)], MARKERS[i % len(MARKERS)]
            own = [row for row in rows if row["label"] == label and row[name]["value"] is not None]
            flat = [row for row in own if row["clean_images"] is None]
            steep = sorted((r for r in own if r["clean_images"] is not None), key=lambda r: r["clean_fraction"])
            if flat:  # a model without clean labels is the same at every fraction
                axes.axhline(flat[0][name]["value"], color=color, linestyle="--", linewidth=1.2, label=label)
                if flat[0][name]["interval"]:
                    axes.axhspan(*flat[0][name]["interval"], color=color, alpha=0.08, linewidth=0)
            if steep:
                # Intervals side by side, not on top of each other.
                shift = 1 + 0.025 * (i - (len(labels) - 1) / 2)
                x = np.array([100 * row["clean_fraction"] for row in steep]) * shift
                y = np.array([row[name]["value"] for row in steep])
                axes.errorbar(
                    x,
                    y,
                    yerr=_errors([row[name] for row in steep]),
                    color=color,
                    marker=marker,
                    markersize=5,
                    linewidth=1.4,
                    elinewidth=0.9,
                    capsize=2,
                    label=label if not flat else None,
                )
        axes.set_xscale("log")
        axes.set_xticks([100 * tick for tick in ticks], [f"{100 * tick:g}" for tick in ticks])
        axes.set_xticks([], minor=True)
        axes.set_xlabel("clean images (% of the clean set)")
        _finish(axes, name)
        axes.grid(axis="y", color="0.92", linewidth=0.6)
    panels[-1].legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.02, 1))
    return figure


def _beside(rows: list[dict[str, Any]], names: list[str]) -> Any:
    figure = new_figure(3.6 * len(names) + 2.4, 1.2 + 0.34 * len(rows))
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    at = np.arange(len(rows))
    labels = [row["label"] + _percent(row) for row in rows]
    for axes, name in zip(panels, names, strict=True):
        for y, row in zip(at, rows, strict=True):
            f = row[name]
            if f["value"] is None:
                continue
            axes.errorbar(
                [f["value"]],
                [y],
                xerr=_errors([f]),
                color=COLORS[0],
                marker="o",
                markersize=5,
                linewidth=0,
                elinewidth=2,
                capsize=0,
            )
            axes.annotate(
                f"{f['value']:.3f}",
                (f["value"], y),
                xytext=(0, 5),
                textcoords="offset points",
                ha="center",
                fontsize=7,
                color="0.3",
            )
        if rows[0][name]["value"] is not None:
            axes.axvline(rows[0][name]["value"], color="0.6", linewidth=0.8, linestyle="--")
        axes.set_ylim(len(rows) - 0.4, -0.7)
        _finish(axes, name)
        axes.grid(axis="x", color="0.92", linewidth=0.6)
    panels[0].set_yticks(at, labels, fontsize=9)
    return figure


def _percent(row: dict[str, Any]) -> str:
    return "" if row["clean_images"] is None else f", {100 * row['clean_fraction']:g} % clean"


def _errors(figures: list[dict[str, Any]]) -> np.ndarray | None:
    if any(f["interval"] is None or None in f["interval"] for f in figures):
        return None
    # The percentile interval need not hold the value itself: no negative lengths.
    low = [max(0.0, f["value"] - f["interval"][0]) for f in figures]
    high = [max(0.0, f["interval"][1] - f["value"]) for f in figures]
    return np.array([low, high])


def _finish(axes: Any, name: str) -> None:
    axes.set_title(heading(name) + (" (lower is better)" if name in LOWER_IS_BETTER else ""), fontsize=10, loc="left")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
