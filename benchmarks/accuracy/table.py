"""The cells as tables and a plot, and how the head and the detector that choose themselves fare against references."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path

import numpy as np

from benchmarks.accuracy.cells import Cell
from benchmarks.accuracy.references import REFERENCES, TRUE
from benchmarks.accuracy.rows import SHARES, WORLDS, Row
from nlcli.console import markdown_table
from nlcli.metrics.intervals import difference_interval, metric_interval, share_support
from nlcli.stages.files import atomic_path, write_csv

ORDER = {Row(world, share).name: Row(world, share) for world in WORLDS for share in SHARES}
SHOWN = (
    *("top_1", "AP_all", "mAP", "AUC", "average_error", "AUC_given", "AUC_missing", "label_error"),
    *("precision_wrong", "recall_wrong", "precision_missing", "recall_missing"),
)
OF_CLASSIFIERS = ("top_1", "AP_all", "mAP")
SMALLER_IS_BETTER = ("average_error", "label_error")

Table = dict[tuple[str, str], list[Cell]]


def write_tables(cells: list[Cell], folder: Path) -> str:
    """``accuracy.csv``, ``accuracy.md`` and ``accuracy.png`` in ``folder``; the text of the second."""
    table: Table = defaultdict(list)
    for cell in cells:
        if cell.metrics:
            table[cell.row, cell.method].append(cell)
    _write_csv(table, folder / "accuracy.csv")
    parts = [_metric_table(table, metric) for metric in SHOWN]
    text = "\n".join(part for part in parts if part)
    with atomic_path(folder / "accuracy.md") as temporary:
        Path(temporary).write_text(text, encoding="utf-8")
    if any(metric in cell.metrics for cell in cells for metric in OF_CLASSIFIERS):
        _plot(table, folder / "accuracy.png")
    return text


def interval(cells: list[Cell], metric: str) -> tuple[float, float] | None:
    """Over images and seeds; where each seed has test images of its own, over seeds, which have both."""
    values = np.array([cell.metrics[metric] for cell in cells])
    outcomes = [cell.outcome for cell in cells]
    if metric == "top_1" and _same_images(cells):
        return metric_interval(values, _resampled(outcomes), share_support(len(outcomes[0])))
    if len(values) < 2:
        return None
    half = _t(len(values) - 1) * float(values.std(ddof=1)) / math.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)


def difference(own: list[Cell], other: list[Cell], metric: str) -> tuple[float, tuple[float, float] | None]:
    """``own`` less ``other``, of the seeds that both have, and its interval."""
    pairs = _pairs(own, other)
    mine, theirs = ([pair[k].metrics[metric] for pair in pairs] for k in (0, 1))
    gap = np.array(mine) - np.array(theirs)
    if metric == "top_1" and _same_images(own):
        first, second = ([pair[k].outcome for pair in pairs] for k in (0, 1))
        support = share_support(len(first[0]))
        return float(gap.mean()), difference_interval(mine, _resampled(first), theirs, _resampled(second), support)
    if len(gap) < 2:
        return float(gap.mean()), None
    half = _t(len(gap) - 1) * float(gap.std(ddof=1)) / math.sqrt(len(gap))
    return float(gap.mean()), (float(gap.mean() - half), float(gap.mean() + half))


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
        line = [row, "held back" if ORDER[row].world.held_back else "tuned on"]
        values = {
            method: float(np.mean([cell.metrics[metric] for cell in table[row, method]]))
            for method in methods
            if (row, method) in table and metric in table[row, method][0].metrics
        }
        rivals = [value for method, value in values.items() if method != TRUE and not math.isnan(value)]
        best = (min if metric in SMALLER_IS_BETTER else max)(rivals, default=math.nan)
        for method in methods:
            if method not in values:
                line.append("")
                continue
            ends = interval(table[row, method], metric)
            text = f"{values[method]:.3f}" + (f" ± {(ends[1] - ends[0]) / 2:.3f}" if ends is not None else "")
            line.append(f"**{text}**" if values[method] == best and method != TRUE else text)
        lines.append(line)
    title = {"top_1": "Top-1 of test", "AP_all": "AP_all of test", "mAP": "mAP of test"}.get(metric, metric)
    return f"## {title}\n\n{markdown_table(['row', 'defaults', *methods], lines)}\n"


def _ordered(methods: set[str]) -> list[str]:
    known = [TRUE, *REFERENCES]
    return [name for name in known if name in methods] + sorted(methods - set(known))


def _write_csv(table: Table, path: Path) -> None:
    header = ["row", "held_back", "method", "metric", "seeds", "mean", "low", "high", "cpu_seconds"]
    lines = []
    for (row, method), cells in sorted(table.items(), key=lambda item: (list(ORDER).index(item[0][0]), item[0][1])):
        for metric in cells[0].metrics:
            ends = interval(cells, metric) or ("", "")
            mean = float(np.mean([cell.metrics[metric] for cell in cells]))
            seconds = float(np.mean([cell.seconds for cell in cells]))
            held_back = ORDER[row].world.held_back
            lines.append([row, held_back, method, metric, len(cells), round(mean, 5), *ends, round(seconds, 2)])
    write_csv(path, header, lines)


PLOTTED = ("regression", "cleanlab", "neighbours-50", "head:residual", "head:posterior", "head:auto", TRUE)
BEFORE = "sklearn-noisy"


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
