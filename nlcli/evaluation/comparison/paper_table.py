"""Stage ``table``: what was measured beside what a paper published, cell by cell.

A table has a row for each method or variant and a column for each part of the clean set, or what
else its columns go by: the data set, the split, the number of held-out classes. A cell is the mean
and the spread over seeds, with an interval over images and seeds. Published figures are in
``resources/published_tables.json``, in percent as the papers print them, with the backbone that they
were reached with.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nlcli.console import markdown_table, print_table, say
from nlcli.errors import NlcliError, unknown_name
from nlcli.evaluation.comparison.cell_intervals import Interval, cell_intervals
from nlcli.evaluation.comparison.table_cells import ANY, NUMBERED, Cell, PaperTable, TableRow, table_text
from nlcli.evaluation.config import Table
from nlcli.evaluation.metrics_file import ClassifierMetrics, DetectionMetrics, NoiseMetrics, Part, read_metrics
from nlcli.metrics.intervals import FEWEST_TO_RANK
from nlcli.metrics.names import LOWER_IS_BETTER, TABLED, shown_metrics
from nlcli.stages.files import atomic_path, write_csv
from nlcli.stages.stage import StageRecord, open_stage, read_stage

if TYPE_CHECKING:
    from nlcli.stages.stage import Stage

FILE = "table.json"
By = Literal["clean_fraction", "dataset", "split", "held_out", "none"]
_EVERYTHING = "1"  # column of what was trained on all verified labels
_GROUP = "mAP "  # of one high-level category, such as "mAP vehicles"
_ALIKE: dict[By, str] = {
    "clean_fraction": "the same part of the clean set",
    "dataset": "the same data set",
    "split": "the same split",
    "held_out": "the same number of held-out classes",
    "none": "one column",
}
"""What two evaluations of one cell have in common, by what the columns go by."""


class PublishedRow(Part):
    """``cells[column][metric]`` in percent."""

    name: str
    cells: dict[str, dict[str, float]]


class PublishedTable(Part):
    """A table as a paper prints it."""

    source: str
    about: str
    by: By
    backbone: str
    rows: tuple[PublishedRow, ...]


def published_tables() -> dict[str, Any]:
    """Every published table by name, as JSON values."""
    text = resources.files("nlcli").joinpath("resources", "published_tables.json").read_text(encoding="utf-8")
    tables: dict[str, Any] = json.loads(text)
    return tables


def paper_table(config: Table, *, force: bool = False) -> Path:
    """Write a paper's table as JSON, CSV, Markdown and a plot; the report's directory.

    Raises:
        NlcliError: an unknown published table, a row that it does not have, columns that it does not
            go by, or evaluations that cannot stand in one cell.
    """
    published = _published(config.published)
    by: By = config.by or (published.by if published is not None else "clean_fraction")
    if published is not None:
        if by != published.by:
            raise NlcliError(f"the columns of {config.published} go by {published.by}, not by {by}; leave out --by")
        known = [row.name for row in published.rows]
        for name in config.rows:
            if name not in known:
                raise NlcliError(f"table {config.published}: {unknown_name(name, known, 'row')}")
    records = {name: [read_stage(path, "evaluation") for path in paths] for name, paths in config.rows.items()}
    inputs: dict[str, StageRecord | Path | str | None] = {
        f"{name}/{i}": record for name, row in records.items() for i, record in enumerate(row)
    }
    with open_stage("table", config, inputs, force=force, format=PaperTable.FORMAT) as stage:
        if not stage.up_to_date:
            _write(_table_of(records, published, by, config.deviations), config.published, stage)
    return stage.output


def _published(name: str | None) -> PublishedTable | None:
    if name is None:
        return None
    tables = published_tables()
    if name not in tables:
        raise NlcliError(unknown_name(name, tables, "published table"))
    return PublishedTable.model_validate(tables[name])


# --- cells -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Measured:
    """One evaluation of a row."""

    row: str
    path: Path
    metrics: ClassifierMetrics | NoiseMetrics
    column: str


@dataclass
class _Values:
    """What was measured, in percent, of every seed, and its interval: by row, column and metric."""

    of_cells: dict[tuple[str, str, str], list[float]] = field(default_factory=dict)
    intervals: dict[tuple[str, str, str], Interval] = field(default_factory=dict)

    def metrics(self) -> list[str]:
        """In the order in which they are shown, those of categories behind."""
        names = [metric for _, _, metric in self.of_cells]
        return list(dict.fromkeys([*shown_metrics(set(names)), *names]))

    def cell(self, row: str, column: str, metric: str, published: float | None) -> Cell | None:
        """None where there is nothing to show."""
        values = self.of_cells.get((row, column, metric))
        if values is None:
            return None if published is None else Cell(published=published)
        interval = self.intervals.get((row, column, metric), Interval())
        return Cell(
            measured=float(np.mean(values)),
            spread=float(np.std(values, ddof=1)) if len(values) > 1 else None,
            seeds=len(values),
            interval=interval.percent,
            published=published,
            no_interval=interval.lacks,
        )


def _table_of(
    records: Mapping[str, Sequence[StageRecord]],
    published: PublishedTable | None,
    by: By,
    deviations: Sequence[str],
) -> PaperTable:
    evaluations = _read(records, by, published)
    values = _values(evaluations, by)
    metrics = values.metrics()
    told: dict[str, dict[str, dict[str, float]]] = {}
    if published is not None:
        told = {row.name: row.cells for row in published.rows}
        metrics = list(dict.fromkeys(m for row in published.rows for cells in row.cells.values() for m in cells))
    rows = tuple(_row(name, told.get(name, {}), values, metrics) for name in dict.fromkeys([*told, *records]))
    columns = list(dict.fromkeys(column for row in rows for column in row.cells if column != ANY))
    if by in NUMBERED:
        columns.sort(key=float)
    return PaperTable(
        version=PaperTable.FORMAT,
        source=published.source if published is not None else "",
        about=published.about if published is not None else "",
        by=by,
        metrics=tuple(metrics),
        lower_is_better=tuple(name for name in metrics if name in LOWER_IS_BETTER),
        columns=tuple(columns) or (ANY,),
        rows=rows,
        deviations=(
            *deviations,
            *_deviations(evaluations, list(records), published),
            *_empty_rows(rows, evaluations, metrics),
        ),
        rests_on=tuple(_rests_on(evaluations)),
    )


def _row(name: str, published: dict[str, dict[str, float]], values: _Values, metrics: Sequence[str]) -> TableRow:
    """Published columns first, then those that were only measured."""
    cells: dict[str, dict[str, Cell]] = {}
    places = [(column, metric) for column, own in published.items() for metric in own]
    places += [(column, metric) for row, column, metric in values.of_cells if row == name and metric in metrics]
    for column, metric in dict.fromkeys(places):
        cell = values.cell(name, column, metric, published.get(column, {}).get(metric))
        if cell is not None:
            cells.setdefault(column, {})[metric] = cell
    return TableRow(name=name, cells=cells)


def _read(records: Mapping[str, Sequence[StageRecord]], by: By, published: PublishedTable | None) -> list[_Measured]:
    """The evaluations of all rows with their columns.

    What belongs to no column stands where the paper prints it: h of Hu 2019 alone, which no clean label taught, beside
    what used all of them.
    """
    printed = {} if published is None else {row.name: tuple(row.cells) for row in published.rows}
    evaluations = []
    for name, row in records.items():
        for record in row:
            metrics = read_metrics(record)
            column = _column(metrics, by, record)
            elsewhere = printed.get(name, ()) if column == ANY and ANY not in printed.get(name, ()) else ()
            evaluations += [_Measured(name, record.path, metrics, place) for place in elsewhere or (column,)]
    parts = {e.column for e in evaluations} - {ANY, _EVERYTHING}
    if by != "clean_fraction" or not parts:
        return evaluations
    # A bound trained on all verified labels, among methods that get a part of them.
    bounds = {name for name in records if {e.column for e in evaluations if e.row == name} == {_EVERYTHING}}
    return [_Measured(e.row, e.path, e.metrics, ANY) if e.row in bounds else e for e in evaluations]


def _values(evaluations: Iterable[_Measured], by: By) -> _Values:
    values = _Values()
    seen: dict[tuple[str, str, int | None], Path] = {}
    cells: dict[tuple[str, str], list[_Measured]] = {}
    for e in evaluations:
        place = (e.row, e.column, e.metrics.model.seed)
        if place in seen:
            raise NlcliError(
                f"row '{e.row}': {seen[place]} and {e.path} have {_ALIKE[by]} and the same seed; give them "
                "different rows"
            )
        seen[place] = e.path
        for metric, value in _metrics_of(e.metrics):
            values.of_cells.setdefault((e.row, e.column, metric), []).append(100 * value)
        cells.setdefault((e.row, e.column), []).append(e)
    made: dict[tuple[Path, ...], dict[str, Interval]] = {}  # what has no column of its own stands in several
    for (row, column), members in cells.items():
        paths = tuple(e.path for e in members)
        if paths not in made:
            made[paths] = cell_intervals(paths, [e.metrics for e in members])
        values.intervals |= {(row, column, metric): interval for metric, interval in made[paths].items()}
    return values


def _column(metrics: ClassifierMetrics | NoiseMetrics, by: By, record: StageRecord) -> str:
    """The column of an evaluation; ``any`` where it belongs to none or to all alike."""
    if by == "none":
        return ANY
    if by == "clean_fraction":
        fraction = metrics.model.clean_fraction
        return ANY if fraction is None or metrics.clean_images is None else f"{fraction:g}"
    if by == "held_out":
        # Of a detection itself, or of the one that weighted a classifier's labels.
        if isinstance(metrics, DetectionMetrics):
            return str(len(metrics.held_out.classes))
        weighted = metrics.selection.detection
        return ANY if weighted is None else str(len(weighted.held_out))
    column = metrics.split if by == "split" else metrics.dataset
    if not column:
        raise NlcliError(f"{record.path} does not tell its {by}; evaluate again with --force")
    return column


def _metrics_of(metrics: ClassifierMetrics | NoiseMetrics) -> Iterator[tuple[str, float]]:
    """Name and value of what a table may show."""
    for name in TABLED:
        estimate = metrics.metrics.get(name)
        if estimate is not None and estimate.value is not None:
            yield name, estimate.value
    groups = metrics.mAP_by_group if isinstance(metrics, ClassifierMetrics) else {}
    if len(groups) > 1:  # one group alone says nothing that mAP does not
        for group, value in groups.items():
            if value is not None:
                yield f"{_GROUP}{group}", value


# --- what differs from the paper -------------------------------------------------------------


def _deviations(evaluations: Sequence[_Measured], names: Sequence[str], published: PublishedTable | None) -> list[str]:
    """What can be read off the evaluations: the data, the backbone, shortened training, what is missing."""
    if not evaluations:
        return ["nothing was measured"]
    told = list(dict.fromkeys(_measured_on(e.metrics) for e in evaluations))
    told += list(dict.fromkeys(text for e in evaluations if (text := _left_out_of_mean(e.metrics))))
    scales = {e.metrics.model.scale for e in evaluations} - {1.0}
    if scales:
        told.append(f"training shortened to {', '.join(f'{100 * s:g} %' for s in sorted(scales))} of its steps")
    if published is None:
        return told
    others: dict[str, dict[str, None]] = {}
    for e in evaluations:
        if e.metrics.backbone not in (None, published.backbone):
            others.setdefault(str(e.metrics.backbone), {})[e.row] = None
    for other, rows in others.items():
        where = "" if len(rows) == len(names) else f" ({', '.join(rows)})"
        told.append(f"backbone {other} instead of {published.backbone}{where}")
    measured = {e.row for e in evaluations}
    missing = [row.name for row in published.rows if row.name not in measured]
    if missing:
        told.append(f"not measured: {', '.join(missing)}")
    return told


def _rests_on(evaluations: Sequence[_Measured]) -> list[str]:
    """Clean images by row, all that were fitted on, and whether so few test images rank rows."""
    counts: dict[str, set[int]] = {}
    for e in evaluations:
        counts.setdefault(e.row, set()).add(e.metrics.clean_images or 0)
    told = []
    if any(max(of) for of in counts.values()):
        each = [f"{row} {_from_to(of)}" for row, of in counts.items()]
        told.append(f"clean images fitted on: {', '.join(each)}")
    fewest = min((e.metrics.images for e in evaluations), default=FEWEST_TO_RANK)
    if fewest < FEWEST_TO_RANK and len(counts) > 1:
        told.append(f"measured on {fewest:,} images, and fewer than {FEWEST_TO_RANK} rank no rows")
    return told


def _from_to(counts: set[int]) -> str:
    low, high = min(counts), max(counts)
    if not high:
        return "none"
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _empty_rows(rows: Iterable[TableRow], evaluations: Iterable[_Measured], wanted: Sequence[str]) -> list[str]:
    """A sentence for rows that were evaluated and have not one measured cell."""
    filled = {r.name for r in rows if any(c.measured is not None for cells in r.cells.values() for c in cells.values())}
    empty = [e for e in evaluations if e.row not in filled]
    if not empty:
        return []
    names = ", ".join(dict.fromkeys(e.row for e in empty))
    have = ", ".join(sorted({metric for e in empty for metric, _ in _metrics_of(e.metrics)})) or "none of the kind"
    return [f"nothing to show for {names}: the table is of {', '.join(wanted)}, and the evaluations have {have}"]


def _measured_on(metrics: ClassifierMetrics | NoiseMetrics) -> str:
    judged = isinstance(metrics, NoiseMetrics)
    what = "verified noisy labels" if judged else "images"
    of = f" of {metrics.dataset}" if metrics.dataset else ""
    where = f"split '{metrics.split}'{of} with {metrics.classes} classes"
    told = f"measured on {metrics.images:,} {what} of {where}"
    fitted = isinstance(metrics, NoiseMetrics) and metrics.cross_fitted
    return told + (", each image's threshold chosen without its fold" if fitted else "")


def _left_out_of_mean(metrics: ClassifierMetrics | NoiseMetrics) -> str:
    """How many classes have no AP, where mAP is their mean: Veit 2017, section 4.2, divides by all of them."""
    if isinstance(metrics, NoiseMetrics) or metrics.task != "multi-label":
        return ""
    without, classes = metrics.classes_without_positives.count, metrics.classes
    if not without:
        return ""
    return f"mAP is of the {classes - without:,} of {classes:,} classes that have a positive in split '{metrics.split}'"


# --- files -----------------------------------------------------------------------------------


def _write(table: PaperTable, published: str | None, stage: Stage) -> None:
    from nlcli.evaluation.comparison.table_plot import table_plot

    table.write(stage.work / FILE)
    _write_csv(stage.work / "table.csv", table)
    header, rows, notes = table_text(table)
    with atomic_path(stage.work / "table.md") as temporary:
        told = "".join(f"\n- {note}" for note in notes)
        temporary.write_text(f"{table.title}\n\n{markdown_table(header, rows)}\n{told}\n", encoding="utf-8")
    for suffix in ("png", "svg"):
        table_plot(table, stage.work / f"table.{suffix}")
    stage.finish(
        {
            "table": published or "measured",
            "rows": len(table.rows),
            "cells_measured": sum(cell.measured is not None for cell in table.every_cell),
            "cells_published": sum(cell.published is not None for cell in table.every_cell),
        }
    )


def _write_csv(path: Path, table: PaperTable) -> None:
    def decimals(value: float | None) -> str:
        return "" if value is None else f"{value:.4f}"

    rows = (
        (
            row.name,
            column,
            metric,
            decimals(cell.measured),
            decimals(cell.spread),
            *map(decimals, cell.interval or (None, None)),
            cell.seeds,
            decimals(cell.published),
            decimals(cell.difference),
        )
        for row in table.rows
        for column, cells in row.cells.items()
        for metric, cell in cells.items()
    )
    by = "column" if table.by == "none" else table.by
    header = ["row", by, "metric", "measured", "spread", "low", "high", "seeds", "published", "difference"]
    write_csv(path, header, rows)


def show_table(outputs: Sequence[Path]) -> None:
    """Print tables."""
    for output in outputs:
        table = PaperTable.read(output / FILE)
        print(f"{table.title}\n")
        print_table(*table_text(table))
        say(f"table, CSV, Markdown and plot: {output}")
