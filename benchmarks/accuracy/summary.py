"""How what chooses itself fares against what a user would otherwise take, row by row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from benchmarks.accuracy.cells import Cell
from benchmarks.accuracy.intervals import difference, interval
from benchmarks.accuracy.references import REFERENCES, TRUE
from benchmarks.accuracy.rows import Row
from nlcli.console import markdown_table

CHOOSES = "head:auto"
BEFORE = "sklearn-noisy"
SHORT = {
    TRUE: "true labels",
    "sklearn-noisy": "noisy",
    "sklearn-both": "both",
    "sklearn-clean": "verified alone",
    "neighbours-50": "50 neighbours",
    "regression": "careful regression",
}

Table = dict[tuple[str, str], list[Cell]]


def against_references(table: Table, order: dict[str, Row], metric: str) -> str:
    """A table of ``head:auto`` and the references by ``metric``; empty where it was not measured.

    *Less the best* is the difference to the reference with the greatest mean, with the 95 % interval of the paired
    difference. *Gap closed* is what it gains of what true labels would bring over noisy ones.
    """
    chosen = [row for row in order if metric in _first(table.get((row, CHOOSES), []))]
    methods = [name for name in (TRUE, *REFERENCES) if any((row, name) in table for row in chosen)]
    lines = []
    for row in chosen:
        own = table[row, CHOOSES]
        means = {name: _mean(table[row, name], metric) for name in methods if (row, name) in table}
        rivals = {name: mean for name, mean in means.items() if name != TRUE}
        best = max(rivals, key=lambda name: rivals[name], default=None)
        mean = _mean(own, metric)
        ends = interval(own, metric)
        half = f" ± {(ends[1] - ends[0]) / 2:.3f}" if ends is not None else ""
        lead = best is None or mean >= rivals[best]
        line = [row, "held back" if order[row].world.held_back else "tuned on", str(len(own))]
        for name in methods:
            text = f"{means[name]:.3f}" if name in means else ""
            line.append(f"**{text}**" if name == best and not lead else text)
        line += [f"**{mean:.3f}**{half}" if lead else f"{mean:.3f}{half}"]
        line += ["" if best is None else _less(own, table[row, best], metric)]
        line += [_kept(own)]
        line += [
            f"{(mean - means[BEFORE]) / (means[TRUE] - means[BEFORE]):.2f}" if {TRUE, BEFORE} <= set(means) else ""
        ]
        lines.append(line)
    if not lines:
        return ""
    header = ["row", "defaults", "seeds", *(SHORT.get(name, name) for name in methods)]
    return markdown_table([*header, "`auto`", "less the best", "kept", "gap closed"], lines)


def _less(own: Sequence[Cell], other: Sequence[Cell], metric: str) -> str:
    gap, ends = difference(list(own), list(other), metric)
    return f"{gap:+.3f}" + (f" ({ends[0]:+.3f} to {ends[1]:+.3f})" if ends is not None else "")


def _kept(cells: Sequence[Cell]) -> str:
    counts = Counter(cell.note for cell in cells if cell.note).most_common()
    return counts[0][0] if len(counts) == 1 else ", ".join(f"{name} {count}" for name, count in counts)


def _first(cells: Sequence[Cell]) -> dict[str, float]:
    return cells[0].metrics if cells else {}


def _mean(cells: Sequence[Cell], metric: str) -> float:
    return float(np.mean([cell.metrics[metric] for cell in cells]))
