"""A paper's table: what was measured beside what was published, cell by cell.

A table has a row for each method or variant and a column for each part of the clean set, or what
else its columns go by: the data set, the split, the number of held-out classes. A cell is the mean
and the spread over seeds. Published figures are in ``resources/published_tables.json``, in percent
as the papers print them, with the backbone that they were reached with.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from nlcli.console import say
from nlcli.errors import NlcliError, unknown_name
from nlcli.evaluation.comparison.table_cells import ANY, NUMBERED, Cell, PaperTable, _notes, _title, table_cells
from nlcli.evaluation.config import Table
from nlcli.evaluation.score_files import METRICS
from nlcli.metrics.names import LABEL_NOISE, shown_metrics
from nlcli.stages.files import atomic_path, read_json, write_json
from nlcli.stages.stage import StageRecord, open_stage, read_stage

FILE = "table.json"
_ALL = "1"
_GROUP = "mAP "  # of one high-level category, such as "mAP vehicles"


_ALIKE = {
    "clean_fraction": "the same part of the clean set",
    "dataset": "the same data set",
    "split": "the same split",
    "held_out": "the same number of held-out classes",
    "none": "one column",
}
"""What two evaluations of one cell have in common, by what the columns go by."""
_FIGURES = ("top_1", "top_5", "mAP", "AP_all", "average_error", "held_out_error", "micro_error", "planted_error", "AUC")


def published_tables() -> dict[str, Any]:
    """Every published table by name."""
    text = resources.files("nlcli").joinpath("resources", "published_tables.json").read_text(encoding="utf-8")
    return json.loads(text)


def paper_table(config: Table, *, force: bool = False) -> Path:
    """Write a paper's table as JSON, CSV, Markdown and figure; the report's directory.

    Raises:
        NlcliError: an unknown published table, a row that it does not have, columns that it does not
            go by, or evaluations that cannot stand in one cell.
    """
    published = _published(config.published)
    by = config.by or (published["by"] if published is not None else "clean_fraction")
    if published is not None and by != published["by"]:
        raise NlcliError(f"the columns of {config.published} go by {published['by']}, not by {by}; leave out --by")
    for name in config.rows:
        if published is not None and name not in {row["name"] for row in published["rows"]}:
            known = [row["name"] for row in published["rows"]]
            raise NlcliError(f"table {config.published}: {unknown_name(name, known, 'row')}")
    records = {name: [read_stage(path, "evaluation") for path in paths] for name, paths in config.rows.items()}
    inputs = {f"{name}/{i}": record for name, row in records.items() for i, record in enumerate(row)}
    with open_stage("table", config, inputs, force=force) as stage:
        if stage.up_to_date:
            return stage.output
        table = _measured(records, published, by)
        table.deviations = [*config.deviations, *_deviations(records, published)]
        found = table.as_json()
        write_json(stage.work / FILE, found)
        _write_csv(stage.work / "table.csv", table)
        header, rows = table_cells(found)
        from nlcli.console import markdown_table

        with atomic_path(stage.work / "table.md") as temporary:
            notes = "".join(f"\n- {note}" for note in _notes(found))
            temporary.write_text(f"{_title(found)}\n\n{markdown_table(header, rows)}\n{notes}\n", encoding="utf-8")
        from nlcli.evaluation.comparison.table_plot import table_plot

        for suffix in ("png", "svg"):
            table_plot(found, stage.work / f"table.{suffix}")
        cells = [cell for row in table.rows.values() for column in row.values() for cell in column.values()]
        stage.finish(
            {
                "table": config.published or "measured",
                "rows": len(table.rows),
                "cells_measured": sum(cell.measured is not None for cell in cells),
                "cells_published": sum(cell.published is not None for cell in cells),
            }
        )
    return stage.output


def _published(name: str | None) -> dict[str, Any] | None:
    if name is None:
        return None
    tables = published_tables()
    if name not in tables:
        raise NlcliError(unknown_name(name, tables, "published table"))
    return tables[name]


# --- cells -----------------------------------------------------------------------------------


def _measured(records: Mapping[str, Sequence[StageRecord]], published: dict[str, Any] | None, by: str) -> PaperTable:
    values: dict[tuple[str, str, str], list[float]] = {}
    seen: dict[tuple[str, str, Any], Path] = {}
    read = {name: [read_json(record.path / METRICS) for record in row] for name, row in records.items()}
    places = {
        name: [_column(metrics, by, record) for metrics, record in zip(read[name], row, strict=True)]
        for name, row in records.items()
    }
    parts = {column for row in places.values() for column in row} - {ANY, _ALL}
    for name, row in records.items():
        # A bound trained on all verified labels, among methods that get a part of them.
        bound = by == "clean_fraction" and bool(parts) and set(places[name]) == {_ALL}
        for record, metrics, own in zip(row, read[name], places[name], strict=True):
            settings = metrics["model"]["settings"]
            column = ANY if bound else own
            place = (name, column, settings.get("seed"))
            if place in seen:
                raise NlcliError(
                    f"row '{name}': {seen[place]} and {record.path} have {_ALIKE[by]} and the same seed; give them "
                    "different rows"
                )
            seen[place] = record.path
            for figure, value in _figures(metrics).items():
                values.setdefault((name, column, figure), []).append(100 * value)
    figures = shown_metrics({figure for _, _, figure in values})
    figures += [figure for _, _, figure in values if figure not in figures]
    if published is not None:
        figures = [f for row in published["rows"] for cells in row["cells"].values() for f in cells]
    figures = list(dict.fromkeys(figures))
    names = list(dict.fromkeys([*([row["name"] for row in published["rows"]] if published else []), *records]))
    table: dict[str, dict[str, dict[str, Cell]]] = {name: {} for name in names}
    for row in published["rows"] if published else ():
        for column, cells in row["cells"].items():
            for figure, value in cells.items():
                table[row["name"]].setdefault(column, {}).setdefault(figure, Cell()).published = value
    for (name, column, figure), found in values.items():
        if figure in figures:
            cell = table[name].setdefault(column, {}).setdefault(figure, Cell())
            cell.measured, cell.seeds = float(np.mean(found)), len(found)
            cell.spread = float(np.std(found, ddof=1)) if len(found) > 1 else None
    columns = list(dict.fromkeys(c for row in table.values() for c in row if c != ANY))
    if by in NUMBERED:
        columns.sort(key=float)
    return PaperTable(
        published["source"] if published else "",
        published["about"] if published else "",
        by,
        tuple(figures),
        tuple(columns) or (ANY,),
        table,
    )


def _column(metrics: dict[str, Any], by: str, record: StageRecord) -> str:
    """The column of an evaluation; ``any`` where it belongs to none or to all alike."""
    if by == "none":
        return ANY
    if by == "clean_fraction":
        clean = metrics["selection"].get("clean") or {}
        fraction = metrics["model"]["settings"].get("clean_fraction")
        return ANY if fraction is None or not clean.get("images") else f"{fraction:g}"
    if by == "held_out":
        # Of a detection itself, or of the one that weighted a classifier's labels.
        judged = metrics["held_out"] if metrics["task"] == LABEL_NOISE else metrics["selection"].get("detection")
        if judged is None:
            return ANY
        return str(len(judged["classes"] if metrics["task"] == LABEL_NOISE else judged["held_out"]))
    if not metrics.get(by):
        raise NlcliError(f"{record.path} does not tell its {by}; evaluate again with --force")
    return str(metrics[by])


def _figures(metrics: dict[str, Any]) -> dict[str, float]:
    found: dict[str, float | None] = {name: metrics[name] for name in _FIGURES if name in metrics}
    groups = metrics.get("mAP_by_group", {})
    if len(groups) > 1:  # one group alone says nothing that mAP does not
        found |= {f"{_GROUP}{group}": value for group, value in groups.items()}
    return {name: value for name, value in found.items() if value is not None}


def _deviations(records: Mapping[str, Sequence[StageRecord]], published: dict[str, Any] | None) -> list[str]:
    """What can be read off the evaluations: the data, the backbone, shortened training, what is missing."""
    read = {name: [read_json(record.path / METRICS) for record in row] for name, row in records.items()}
    every = [metrics for row in read.values() for metrics in row]
    if not every:
        return ["nothing was measured"]
    found = list(dict.fromkeys(_measured_on(metrics) for metrics in every))
    scales = {metrics["model"]["settings"].get("scale", 1.0) for metrics in every} - {1.0, None}
    if scales:
        found.append(f"training shortened to {', '.join(f'{100 * s:g} %' for s in sorted(scales))} of its steps")
    if published is None:
        return found
    others: dict[str, list[str]] = {}
    for name, row in read.items():
        for other in {metrics.get("backbone") for metrics in row} - {None, published["backbone"]}:
            others.setdefault(other, []).append(name)
    for other, rows in others.items():
        where = "" if len(rows) == len(read) else f" ({', '.join(rows)})"
        found.append(f"backbone {other} instead of {published['backbone']}{where}")
    missing = [row["name"] for row in published["rows"] if not records.get(row["name"])]
    if missing:
        found.append(f"not measured: {', '.join(missing)}")
    return found


def _measured_on(metrics: dict[str, Any]) -> str:
    what = "verified noisy labels" if metrics["task"] == LABEL_NOISE else "images"
    of = f" of {metrics['dataset']}" if metrics.get("dataset") else ""
    where = f"split '{metrics['split']}'{of} with {metrics['classes']} classes"
    told = f"measured on {metrics['images']:,} {what} of {where}"
    return told + (", each image's threshold chosen without its fold" if metrics.get("cross_fitted") else "")


def show_table(outputs: Sequence[Path]) -> None:
    """Print tables."""
    from nlcli.console import print_table

    for output in outputs:
        found = read_json(output / FILE)
        header, rows = table_cells(found)
        print(f"{_title(found)}\n")
        print_table(header, rows, _notes(found))
        say(f"table, CSV, Markdown and figure: {output}")


def _write_csv(path: Path, table: PaperTable) -> None:
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        column = "column" if table.by == "none" else table.by
        writer.writerow(["row", column, "figure", "measured", "spread", "seeds", "published", "difference"])
        for name, columns in table.rows.items():
            for column, figures in columns.items():
                for figure, cell in figures.items():
                    difference = None if None in (cell.measured, cell.published) else cell.measured - cell.published  # type: ignore[operator]
                    numbers = (cell.measured, cell.spread, cell.published, difference)
                    measured, spread, published, gap = ("" if n is None else f"{n:.4f}" for n in numbers)
                    writer.writerow([name, column, figure, measured, spread, cell.seeds, published, gap])
