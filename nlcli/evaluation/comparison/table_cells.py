"""A paper's table, and its text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from nlcli.metrics.names import DOWN, LOWER_IS_BETTER, heading

ANY = "any"
"""Column of what has no column of its own, such as a model without clean labels: it stands beside every column."""
NUMBERED = ("clean_fraction", "held_out")
"""What columns go by that are numbers: they are sorted, and drawn along an axis."""


@dataclass
class Cell:
    """One figure of one row in one column, in percent.

    Attributes:
        measured: Mean over seeds; None where nothing was measured.
        spread: Standard deviation over seeds; None for fewer than two.
        seeds: How many.
        published: The paper's; None where it has none.
    """

    measured: float | None = None
    spread: float | None = None
    seeds: int = 0
    published: float | None = None


@dataclass
class PaperTable:
    """Rows in order; ``rows[name][column][figure]`` is a cell, ``by`` what the columns go by."""

    source: str
    about: str
    by: str
    figures: tuple[str, ...]
    columns: tuple[str, ...]
    rows: dict[str, dict[str, dict[str, Cell]]]
    deviations: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """JSON values."""
        rows = [
            {
                "name": name,
                "cells": {column: {f: vars(cell) for f, cell in cells.items()} for column, cells in columns.items()},
            }
            for name, columns in self.rows.items()
        ]
        return {
            "source": self.source,
            "about": self.about,
            "by": self.by,
            "figures": list(self.figures),
            "lower_is_better": [name for name in self.figures if name in LOWER_IS_BETTER],
            "columns": list(self.columns),
            "rows": rows,
            "deviations": self.deviations,
        }


# --- for people ------------------------------------------------------------------------------


def table_cells(found: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a table: ``measured ± spread (published)``; what an only column is, is a note."""
    several = len(found["columns"]) > 1
    heads = [
        f"{heading(figure)} {column_name(found['by'], column) if several else ''}".rstrip()
        for figure in found["figures"]
        for column in found["columns"]
    ]
    rows = []
    for row in found["rows"]:
        cells = [row["name"]]
        for figure in found["figures"]:
            for column in found["columns"]:
                entry = row["cells"].get(column, {}).get(figure) or row["cells"].get(ANY, {}).get(figure) or {}
                cells.append(_shown(entry))
        rows.append(cells)
    return ["", *heads], rows


def column_name(by: str, column: str) -> str:
    """A column for people, by what the columns go by; empty for the only one."""
    if column == ANY:
        return ""
    if by == "clean_fraction":
        return f"{100 * float(column):g} %"
    return f"{column} held out" if by == "held_out" else column


def _shown(cell: dict[str, Any]) -> str:
    if not cell:
        return "-"
    measured = "-" if cell["measured"] is None else f"{cell['measured']:.2f}"
    spread = "" if cell["spread"] is None else f" ± {cell['spread']:.2f}"
    published = "" if cell["published"] is None else f" ({cell['published']:.2f})"
    return f"{measured}{spread}{published}"


def _title(found: dict[str, Any]) -> str:
    return f"{found['source']}: {found['about']}" if found["source"] else "measured"


def _notes(found: dict[str, Any]) -> list[str]:
    cells = [cell for row in found["rows"] for column in row["cells"].values() for cell in column.values()]
    seeds = {cell["seeds"] for cell in cells} - {0}
    counted = f"{min(seeds)} to {max(seeds)} seeds" if len(seeds) > 1 else f"{max(seeds, default=0)} seed(s)"
    told = f"percent; mean ± standard deviation over {counted}"
    if any(cell["published"] is not None for cell in cells):
        told += "; in brackets the published figure"
    if found["lower_is_better"]:
        told += f"; {DOWN}: lower is better"
    if len(found["columns"]) == 1 and (name := column_name(found["by"], found["columns"][0])):
        told += f"; {name} of the clean set" if found["by"] == "clean_fraction" else f"; {name}"
    return [told, *(f"deviation: {text}" for text in found["deviations"])]
