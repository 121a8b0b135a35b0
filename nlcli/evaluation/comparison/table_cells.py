"""``table.json``: a paper's table, what was measured beside what was published; and its text."""

from __future__ import annotations

from typing import ClassVar

from nlcli.evaluation.metrics_file import Ends, Part
from nlcli.metrics.formats import percent, value_text
from nlcli.metrics.intervals import LEVEL
from nlcli.metrics.names import DOWN, heading
from nlcli.stages.records import Record

ANY = "any"
"""Column of what has no column of its own, such as a model without clean labels: it stands beside every column."""
NUMBERED = ("clean_fraction", "held_out")
"""What columns go by that are numbers: they are sorted, and drawn along an axis."""


class Cell(Part):
    """One metric of one row in one column, in percent.

    Attributes:
        measured: Mean over seeds; None where nothing was measured.
        spread: Standard deviation over seeds; None for fewer than two.
        seeds: How many.
        interval: Of ``measured``, over images, and over seeds where there are several; None without a bootstrap, or
            where there is none for ``no_interval``.
        published: The paper's; None where it has none.
        no_interval: Why there is none although there was a bootstrap.
    """

    measured: float | None = None
    spread: float | None = None
    seeds: int = 0
    interval: Ends | None = None
    published: float | None = None
    no_interval: str | None = None

    @property
    def difference(self) -> float | None:
        """Measured less published, in percentage points; None where either is missing."""
        return None if self.measured is None or self.published is None else self.measured - self.published

    @property
    def told(self) -> str:
        """``measured ± spread [low, high] (published)``."""
        published = "" if self.published is None else f" ({self.published:.2f})"
        return value_text(self.measured, self.spread, self.interval, style=".2f") + published


class TableRow(Part):
    """A row; ``cells[column][metric]`` is one of its cells."""

    name: str
    cells: dict[str, dict[str, Cell]]

    def cell(self, column: str, metric: str) -> Cell | None:
        """That of ``column``, or of every column alike; None where it has none."""
        own = self.cells.get(column, {}).get(metric)
        return self.cells.get(ANY, {}).get(metric) if own is None else own


class PaperTable(Record):
    """A table.

    Attributes:
        source, about: Of the published table; empty where only what was measured is shown.
        by: What the columns go by.
        metrics: In the order in which they are shown.
        lower_is_better: Those of the metrics.
        deviations: What differs from the paper.
        rests_on: How many clean images rows were fitted on, and whether the test images suffice to rank them.
    """

    FORMAT: ClassVar[int] = 1
    made_by: ClassVar[str] = "table --row NAME=EVALUATION ... --output DIRECTORY"

    source: str
    about: str
    by: str
    metrics: tuple[str, ...]
    lower_is_better: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]
    deviations: tuple[str, ...]
    rests_on: tuple[str, ...] = ()

    @property
    def every_cell(self) -> list[Cell]:
        """All cells that there are."""
        return [cell for row in self.rows for column in row.cells.values() for cell in column.values()]

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.source}: {self.about}" if self.source else "measured"


def table_text(table: PaperTable) -> tuple[list[str], list[list[str]], list[str]]:
    """Header, rows and notes for people; what an only column is, is a note."""
    several = len(table.columns) > 1
    places = [(metric, column) for metric in table.metrics for column in table.columns]
    heads = [
        f"{heading(metric)} {column_name(table.by, column) if several else ''}".rstrip() for metric, column in places
    ]
    rows = []
    for row in table.rows:
        cells = [row.cell(column, metric) for metric, column in places]
        rows.append([row.name, *("-" if cell is None else cell.told for cell in cells)])
    return ["", *heads], rows, _notes(table)


def column_name(by: str, column: str) -> str:
    """A column for people, by what the columns go by; empty for the only one."""
    if column == ANY:
        return ""
    if by == "clean_fraction":
        return percent(float(column))
    return f"{column} held out" if by == "held_out" else column


def _notes(table: PaperTable) -> list[str]:
    seeds = {cell.seeds for cell in table.every_cell} - {0}
    counted = f"{min(seeds)} to {max(seeds)} seeds" if len(seeds) > 1 else f"{max(seeds, default=0)} seed(s)"
    told = f"percent; mean ± standard deviation over {counted}"
    if any(cell.published is not None for cell in table.every_cell):
        told += "; in brackets the published figure"
    if any(cell.interval is not None for cell in table.every_cell):
        told += f"; [low, high]: {percent(LEVEL)} interval over images, and over seeds where there are several"
    if table.lower_is_better:
        told += f"; {DOWN}: lower is better"
    if len(table.columns) == 1 and (name := column_name(table.by, table.columns[0])):
        told += f"; {name} of the clean set" if table.by == "clean_fraction" else f"; {name}"
    return [told, *table.rests_on, *_without_interval(table), *(f"deviation: {text}" for text in table.deviations)]


def _without_interval(table: PaperTable) -> list[str]:
    """Why cells have no interval, each reason once with its rows; what intervals of one seed are of."""
    reasons: dict[str, dict[str, None]] = {}
    for row in table.rows:
        for cell in (cell for column in row.cells.values() for cell in column.values()):
            if cell.no_interval is not None:
                reasons.setdefault(cell.no_interval, {})[row.name] = None
    notes = [f"no interval of {', '.join(rows)}: {reason}" for reason, rows in reasons.items()]
    if any(cell.seeds == 1 and cell.interval is not None for cell in table.every_cell):
        notes.insert(0, "of one seed the interval is of that trained model; another seed may lie outside it")
    return notes
