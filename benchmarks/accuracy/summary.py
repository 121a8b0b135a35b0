"""How what chooses itself fares against what a user would otherwise take, row by row."""

from __future__ import annotations

from collections import Counter

from benchmarks.accuracy.cells import Cell, Table, means
from benchmarks.accuracy.intervals import ORDER, difference, half_of
from benchmarks.accuracy.references import REFERENCES, TRUE
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


def against_references(table: Table, metric: str) -> str:
    """A table of ``head:auto`` and the references by ``metric``; empty where it was not measured.

    *Less the best* is the difference to the reference with the greatest mean, with the 95 % interval of the paired
    difference. *Gap closed* is what it gains of what true labels would bring over noisy ones.
    """
    every = {row: means(table, row, (CHOOSES, TRUE, *REFERENCES), metric) for row in ORDER}
    measured = {row: found for row, found in every.items() if CHOOSES in found}
    methods = [name for name in (TRUE, *REFERENCES) if any(name in found for found in measured.values())]
    lines = []
    for row, found in measured.items():
        own, mean = table[row, CHOOSES], found.pop(CHOOSES)
        rivals = {name: value for name, value in found.items() if name != TRUE}
        best = max(rivals, key=lambda name: rivals[name], default=None)
        lead = best is None or mean >= rivals[best]
        line = [row, ORDER[row].world.defaults, str(len(own))]
        for name in methods:
            text = f"{found[name]:.3f}" if name in found else ""
            line.append(f"**{text}**" if name == best and not lead else text)
        line.append((f"**{mean:.3f}**" if lead else f"{mean:.3f}") + half_of(own, metric))
        line.append("" if best is None else _less(own, table[row, best], metric))
        line.append(_kept(own))
        closed = (mean - found[BEFORE]) / (found[TRUE] - found[BEFORE]) if {TRUE, BEFORE} <= set(found) else None
        line.append("" if closed is None else f"{closed:.2f}")
        lines.append(line)
    if not lines:
        return ""
    header = ["row", "defaults", "seeds", *(SHORT.get(name, name) for name in methods)]
    return markdown_table([*header, "`auto`", "less the best", "kept", "gap closed"], lines)


def _less(own: list[Cell], other: list[Cell], metric: str) -> str:
    gap, ends = difference(own, other, metric)
    return f"{gap:+.3f}" + (f" ({ends[0]:+.3f} to {ends[1]:+.3f})" if ends is not None else "")


def _kept(cells: list[Cell]) -> str:
    counts = Counter(cell.note for cell in cells if cell.note).most_common()
    return counts[0][0] if len(counts) == 1 else ", ".join(f"{name} {count}" for name, count in counts)
