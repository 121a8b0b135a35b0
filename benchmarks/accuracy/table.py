"""The cells as tables and a plot, and how the head and the detector that choose themselves fare against references."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path

import numpy as np

from benchmarks.accuracy.cells import Cell, Table, mean_of, means
from benchmarks.accuracy.intervals import ORDER, difference, half_of, interval
from benchmarks.accuracy.references import REFERENCES, TRUE
from benchmarks.accuracy.summary import BEFORE, against_references
from nlcli.console import markdown_table
from nlcli.stages.files import atomic_path, write_csv

SHOWN = (
    *("top_1", "AP_all", "mAP", "AUC", "average_error", "AUC_given", "AUC_missing", "label_error"),
    *("precision_wrong", "recall_wrong", "precision_missing", "recall_missing"),
)
TITLES = {"top_1": "top-1 of test", "AP_all": "AP_all of test", "mAP": "mAP of test"}
OF_CLASSIFIERS = tuple(TITLES)
SMALLER_IS_BETTER = ("average_error", "label_error")


def write_tables(cells: list[Cell], folder: Path) -> str:
    """``accuracy.csv``, ``accuracy.md`` and ``accuracy.png`` in ``folder``; the text of the second."""
    table: Table = defaultdict(list)
    for cell in cells:
        if cell.metrics:
            table[cell.row, cell.method].append(cell)
    _write_csv(table, folder / "accuracy.csv")
    parts = [_metric_table(table, metric) for metric in SHOWN]
    for metric in OF_CLASSIFIERS:
        if told := against_references(table, metric):
            parts.append(f"## `auto` beside the references: {TITLES[metric]}\n\n{told}\n")
    text = "\n".join(part for part in parts if part)
    with atomic_path(folder / "accuracy.md") as temporary:
        Path(temporary).write_text(text, encoding="utf-8")
    if any(metric in cell.metrics for cell in cells for metric in OF_CLASSIFIERS):
        _plot(table, folder / "accuracy.png")
    return text


# --- text ------------------------------------------------------------------------------------


def _metric_table(table: Table, metric: str) -> str:
    rows = [
        row for row in ORDER if any(metric in cells[0].metrics for (name, _), cells in table.items() if name == row)
    ]
    methods = _ordered({method for (row, method), cells in table.items() if metric in cells[0].metrics})
    if not rows:
        return ""
    lines = []
    for row in rows:
        line = [row, ORDER[row].world.defaults]
        values = means(table, row, methods, metric)
        rivals = [value for method, value in values.items() if method != TRUE and not math.isnan(value)]
        best = (min if metric in SMALLER_IS_BETTER else max)(rivals, default=math.nan)
        for method in methods:
            if method not in values:
                line.append("")
                continue
            text = f"{values[method]:.3f}" + half_of(table[row, method], metric)
            line.append(f"**{text}**" if values[method] == best and method != TRUE else text)
        lines.append(line)
    return f"## {TITLES.get(metric, metric)}\n\n{markdown_table(['row', 'defaults', *methods], lines)}\n"


def _ordered(methods: set[str]) -> list[str]:
    known = [TRUE, *REFERENCES]
    return [name for name in known if name in methods] + sorted(methods - set(known))


def _write_csv(table: Table, path: Path) -> None:
    header = ["row", "held_back", "method", "metric", "seeds", "mean", "low", "high", "cpu_seconds"]
    lines = []
    for (row, method), cells in sorted(table.items(), key=lambda item: (list(ORDER).index(item[0][0]), item[0][1])):
        for metric in cells[0].metrics:
            ends = interval(cells, metric) or ("", "")
            mean = mean_of(cells, metric)
            seconds = float(np.mean([cell.seconds for cell in cells]))
            held_back = ORDER[row].world.held_back
            lines.append([row, held_back, method, metric, len(cells), round(mean, 5), *ends, round(seconds, 2)])
    write_csv(path, header, lines)


PLOTTED = ("regression", "cleanlab", "neighbours-50", "head:residual", "head:posterior", "head:auto", TRUE)


def _plot(table: Table, path: Path) -> None:
    """What each method gains over logistic regression on the noisy labels, row by row."""
    from nlcli.drawing import new_figure, plain_axes, save_figure

    rows = [row for row in ORDER if (row, BEFORE) in table]
    if not rows:
        return
    figure = new_figure(8, 1.2 + 0.24 * len(rows))
    axes = figure.subplots()
    plain_axes(axes, "x")
    for number, method in enumerate(PLOTTED):
        gains = [_gain(table, row, method) for row in rows]
        places = [place for place, gain in enumerate(gains) if gain is not None]
        marker = "|" if method == TRUE else "o"
        shown = [gain for gain in gains if gain is not None]
        axes.plot(shown, places, marker, label=method, color="0.3" if method == TRUE else f"C{number}", alpha=0.8)
    axes.axvline(0, color="0.6", linewidth=0.8)
    axes.set_yticks(range(len(rows)), rows, fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("top-1 or AP_all of test, less that of logistic regression on the noisy labels")
    figure.legend(loc="outside upper center", ncols=4, fontsize=7)
    save_figure(figure, path)


def _gain(table: Table, row: str, method: str) -> float | None:
    if (row, method) not in table:
        return None
    metric = "AP_all" if "AP_all" in table[row, BEFORE][0].metrics else "top_1"
    if metric not in table[row, method][0].metrics:
        return None
    return difference(table[row, method], table[row, BEFORE], metric)[0]
