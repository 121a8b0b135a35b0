"""Plot of a paper's table: what was measured filled, what was published hollow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nlcli.drawing import COLORS, MARKERS, new_figure, save_figure
from nlcli.evaluation.comparison.table_cells import ANY, NUMBERED, Cell, PaperTable, TableRow, column_name
from nlcli.metrics.arrays import Floats
from nlcli.metrics.formats import percent
from nlcli.metrics.intervals import LEVEL
from nlcli.metrics.names import plot_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def table_plot(table: PaperTable, path: Path) -> None:
    """Draw a table: over what its columns go by where they are numbers, else a panel a column, a line a row.

    Args:
        path: File to write, PNG or SVG.
    """
    columns = [column for column in table.columns if column != ANY]
    numbered = len(columns) > 1 and table.by in NUMBERED
    figure = _over_numbers(table, columns) if numbered else _beside(table)
    told = f"percent; filled: measured, bars: {_bars_told(table)}"
    if any(cell.published is not None for cell in table.every_cell):
        told += "; hollow and dotted: published"
    figure.supxlabel(told, fontsize=8, color="0.4")
    save_figure(figure, path)


def _bar(cell: Cell) -> Floats:
    """(2,) how far the bar of a measured cell reaches down and up: its interval, or the spread where it has none."""
    low, high = cell.interval or (None, None)
    if cell.measured is None or low is None or high is None:
        return np.full(2, cell.spread or 0.0)
    return np.maximum([cell.measured - low, high - cell.measured], 0.0)


def _bars_told(table: PaperTable) -> str:
    cells = [cell for cell in table.every_cell if cell.measured is not None]
    told = []
    if any(cell.interval is not None for cell in cells):
        seeds = " and seeds" if any(cell.spread is not None for cell in cells) else ""
        told.append(f"{percent(LEVEL)} interval over images{seeds}")
    if any(cell.interval is None and cell.spread is not None for cell in cells) or not told:
        told.append("standard deviation over seeds")
    return ", or ".join(told)


def _over_numbers(table: PaperTable, columns: Sequence[str]) -> Figure:
    figure = new_figure(4.8 * len(table.metrics) + 2.6, 4.4)
    panels = figure.subplots(1, len(table.metrics), squeeze=False)[0]
    fractions = table.by == "clean_fraction"
    places = [100 * float(column) if fractions else float(column) for column in columns]
    for axes, metric in zip(panels, table.metrics, strict=True):
        for i, row in enumerate(table.rows):
            cells = {
                x: row.cells[c][metric] for x, c in zip(places, columns, strict=True) if metric in row.cells.get(c, {})
            }
            # Bars of rows side by side, not on top of each other.
            aside = i - (len(table.rows) - 1) / 2
            shifted = {(x * (1 + 0.012 * aside) if fractions else x + 0.15 * aside): cell for x, cell in cells.items()}
            _line(axes, row, row.cells.get(ANY, {}).get(metric), shifted, i)
        if fractions:
            axes.set_xscale("log")
        axes.set_xticks(places, [f"{x:g}" for x in places])
        axes.minorticks_off()
        axes.set_xlabel("verified training images (%)" if fractions else "classes held out")
        axes.set_title(plot_title(metric), loc="left")
        axes.grid(alpha=0.25, linewidth=0.6)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize=8)
    return figure


def _line(axes: Axes, row: TableRow, flat: Cell | None, cells: dict[float, Cell], i: int) -> None:
    """One row: ``flat`` is the same in every column, ``cells`` stand at their places."""
    color, marker = COLORS[i % len(COLORS)], MARKERS[i % len(MARKERS)]
    if flat is not None and flat.measured is not None:
        axes.axhline(flat.measured, color=color, linestyle="--", linewidth=1.3, label=row.name)
    if flat is not None and flat.published is not None:
        axes.axhline(flat.published, color=color, linestyle=":", linewidth=0.9)
    measured = {x: cell.measured for x, cell in cells.items() if cell.measured is not None}
    if measured:
        axes.errorbar(
            list(measured),
            list(measured.values()),
            np.stack([_bar(cells[x]) for x in measured], axis=1),
            color=color,
            marker=marker,
            markersize=5,
            linewidth=1.4,
            capsize=2.5,
            label=row.name,
        )
    published = {x: cell.published for x, cell in cells.items() if cell.published is not None}
    if published:
        axes.plot(
            list(published),
            list(published.values()),
            color=color,
            marker=marker,
            markersize=6,
            markerfacecolor="none",
            linestyle=":",
            linewidth=0.9,
            label=None if measured else f"{row.name} (published)",
        )


def _beside(table: PaperTable) -> Figure:
    panels = [(metric, column) for metric in table.metrics for column in table.columns]
    names = [row.name for row in table.rows]
    figure = new_figure(max(4.2, 3.4 * len(panels)) + 2.0, 0.36 * len(names) + 1.4)
    drawn = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axes, (metric, column) in zip(drawn, panels, strict=True):
        for place, row in enumerate(table.rows):
            cell = row.cell(column, metric)
            if cell is None:
                continue
            if cell.measured is not None:
                axes.errorbar(cell.measured, place, xerr=_bar(cell)[:, None], color=COLORS[0], marker="o", capsize=2.5)
            if cell.published is not None:
                axes.plot(cell.published, place, "s", color=COLORS[1], markerfacecolor="none")
        axes.set_title(f"{plot_title(metric)}\n{column_name(table.by, column)}".rstrip(), loc="left", fontsize=10)
        axes.grid(axis="x", alpha=0.25, linewidth=0.6)
    drawn[0].set_yticks(range(len(names)), names)
    drawn[0].set_ylim(len(names) - 0.5, -0.5)
    return figure
