"""Figure of a paper's table: measured figures filled, published ones hollow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nlcli.drawing import COLORS, MARKERS, new_figure, save_figure
from nlcli.evaluation.comparison.table_cells import ANY, NUMBERED, column_name
from nlcli.metrics.names import LOWER_IS_BETTER, heading


def table_plot(found: dict[str, Any], path: Path) -> None:
    """Draw a table: over what its columns go by where they are numbers, else a panel a column, a line a row.

    Args:
        found: What ``PaperTable.as_json`` returns.
        path: File to write, PNG or SVG.
    """
    columns = [column for column in found["columns"] if column != ANY]
    numbered = len(columns) > 1 and found["by"] in NUMBERED
    save_figure(_over_numbers(found, columns) if numbered else _beside(found), path)


def _over_numbers(found: dict[str, Any], columns: list[str]) -> Any:
    figure = new_figure(4.8 * len(found["figures"]) + 2.6, 4.4)
    panels = figure.subplots(1, len(found["figures"]), squeeze=False)[0]
    fractions = found["by"] == "clean_fraction"
    places = [100 * float(column) if fractions else float(column) for column in columns]
    for axes, name in zip(panels, found["figures"], strict=True):
        for i, row in enumerate(found["rows"]):
            color, marker = COLORS[i % len(COLORS)], MARKERS[i % len(MARKERS)]
            cells = row["cells"]
            flat = cells.get(ANY, {}).get(name)
            if flat is not None:
                if flat["measured"] is not None:
                    axes.axhline(flat["measured"], color=color, linestyle="--", linewidth=1.3, label=row["name"])
                if flat["published"] is not None:
                    axes.axhline(flat["published"], color=color, linestyle=":", linewidth=0.9)
            own = [(x, cells[c][name]) for x, c in zip(places, columns, strict=True) if name in cells.get(c, {})]
            measured = [(x, cell) for x, cell in own if cell["measured"] is not None]
            if measured:
                spreads = [cell["spread"] or 0.0 for _, cell in measured]
                axes.errorbar(
                    [x for x, _ in measured],
                    [cell["measured"] for _, cell in measured],
                    spreads,
                    color=color,
                    marker=marker,
                    markersize=5,
                    linewidth=1.4,
                    capsize=2.5,
                    label=row["name"],
                )
            told = [(x, cell["published"]) for x, cell in own if cell["published"] is not None]
            if told:
                label = None if measured else f"{row['name']} (published)"
                axes.plot(
                    [x for x, _ in told],
                    [y for _, y in told],
                    color=color,
                    marker=marker,
                    markersize=6,
                    markerfacecolor="none",
                    linestyle=":",
                    linewidth=0.9,
                    label=label,
                )
        if fractions:
            axes.set_xscale("log")
        axes.set_xticks(places, [f"{x:g}" for x in places])
        axes.minorticks_off()
        axes.set_xlabel("verified training images (%)" if fractions else "classes held out")
        axes.set_title(_title(name), loc="left")
        axes.grid(alpha=0.25, linewidth=0.6)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize=8)
    figure.supxlabel(_caption(found), fontsize=8, color="0.4")
    return figure


def _beside(found: dict[str, Any]) -> Any:
    panels = [(name, column) for name in found["figures"] for column in found["columns"]]
    names = [row["name"] for row in found["rows"]]
    figure = new_figure(max(4.2, 3.4 * len(panels)) + 2.0, 0.36 * len(names) + 1.4)
    drawn = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axes, (name, column) in zip(drawn, panels, strict=True):
        for place, row in enumerate(found["rows"]):
            cell = row["cells"].get(column, {}).get(name) or row["cells"].get(ANY, {}).get(name)
            if cell is None:
                continue
            if cell["measured"] is not None:
                axes.errorbar(cell["measured"], place, xerr=cell["spread"], color=COLORS[0], marker="o", capsize=2.5)
            if cell["published"] is not None:
                axes.plot(cell["published"], place, "s", color=COLORS[1], markerfacecolor="none")
        axes.set_title(f"{_title(name)}\n{column_name(found['by'], column)}".rstrip(), loc="left", fontsize=10)
        axes.grid(axis="x", alpha=0.25, linewidth=0.6)
    drawn[0].set_yticks(range(len(names)), names)
    drawn[0].set_ylim(len(names) - 0.5, -0.5)
    figure.supxlabel(_caption(found), fontsize=8, color="0.4")
    return figure


def _title(figure: str) -> str:
    return heading(figure) + (" (lower is better)" if figure in LOWER_IS_BETTER else "")


def _caption(found: dict[str, Any]) -> str:
    told = "percent; filled: measured, bars: standard deviation over seeds"
    if any(c["published"] is not None for row in found["rows"] for f in row["cells"].values() for c in f.values()):
        told += "; hollow and dotted: published"
    return told
