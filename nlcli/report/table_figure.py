"""Figure of a paper's table: measured figures filled, published ones hollow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nlcli.report.comparison_figure import COLORS, MARKERS
from nlcli.report.evaluation_figures import new_figure, save_figure

ANY = "any"


def table_figure(found: dict[str, Any], path: Path) -> None:
    """Draw a table: over the clean fraction where it has several, else one line a row.

    Args:
        found: What ``PaperTable.as_json`` returns.
        path: File to write, PNG or SVG.
    """
    columns = [column for column in found["columns"] if column != ANY]
    save_figure(_over_fractions(found, columns) if len(columns) > 1 else _beside(found), path)


def _over_fractions(found: dict[str, Any], columns: list[str]) -> Any:
    figure = new_figure(4.8 * len(found["figures"]) + 2.6, 4.4)
    panels = figure.subplots(1, len(found["figures"]), squeeze=False)[0]
    places = [100 * float(column) for column in columns]
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
                    [x for x, _ in measured], [cell["measured"] for _, cell in measured], spreads, color=color,
                    marker=marker, markersize=5, linewidth=1.4, capsize=2.5, label=row["name"],
                )
            told = [(x, cell["published"]) for x, cell in own if cell["published"] is not None]
            if told:
                label = None if measured else f"{row['name']} (published)"
                axes.plot(
                    [x for x, _ in told], [y for _, y in told], color=color, marker=marker, markersize=6,
                    markerfacecolor="none", linestyle=":", linewidth=0.9, label=label,
                )
        axes.set_xscale("log")
        axes.set_xticks(places, [f"{x:g}" for x in places])
        axes.minorticks_off()
        axes.set_xlabel("verified training images (%)")
        axes.set_title(name, loc="left")
        axes.grid(alpha=0.25, linewidth=0.6)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize=8)
    figure.supxlabel(_caption(found), fontsize=8, color="0.4")
    return figure


def _beside(found: dict[str, Any]) -> Any:
    column = found["columns"][0]
    figure = new_figure(4.2 * len(found["figures"]) + 2.0, 0.36 * len(found["rows"]) + 1.4)
    panels = figure.subplots(1, len(found["figures"]), squeeze=False, sharey=True)[0]
    names = [row["name"] for row in found["rows"]]
    for axes, name in zip(panels, found["figures"], strict=True):
        for place, row in enumerate(found["rows"]):
            cell = row["cells"].get(column, {}).get(name) or row["cells"].get(ANY, {}).get(name)
            if cell is None:
                continue
            if cell["measured"] is not None:
                axes.errorbar(cell["measured"], place, xerr=cell["spread"], color=COLORS[0], marker="o", capsize=2.5)
            if cell["published"] is not None:
                axes.plot(cell["published"], place, "s", color=COLORS[1], markerfacecolor="none")
        axes.set_title(name, loc="left")
        axes.grid(axis="x", alpha=0.25, linewidth=0.6)
    panels[0].set_yticks(range(len(names)), names)
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    figure.supxlabel(_caption(found), fontsize=8, color="0.4")
    return figure


def _caption(found: dict[str, Any]) -> str:
    told = "percent; filled: measured, bars: standard deviation over seeds"
    if any(c["published"] is not None for row in found["rows"] for f in row["cells"].values() for c in f.values()):
        told += "; hollow and dotted: published"
    return told
