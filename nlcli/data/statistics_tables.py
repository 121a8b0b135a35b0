"""Statistics of labels as tables for people."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlcli.console import print_pairs
from nlcli.data import label_confusion
from nlcli.data.labels import SPLITS
from nlcli.data.statistics import FILE
from nlcli.errors import printable
from nlcli.stages.files import read_json
from nlcli.stages.stage import read_stage

if TYPE_CHECKING:
    from rich.table import Table


# --- tables for people -----------------------------------------------------------------------


def statistics_tables(statistics: dict[str, Any], most_classes: int = 20) -> list[Table]:
    """``label_statistics`` (and what ``build-coco`` adds to it) as rich tables.

    Args:
        most_classes: Classes shown: with more, the most frequent and the least frequent ones.
    """
    tables = [_counts_table(statistics), _quality_table(statistics), _classes_table(statistics, most_classes)]
    if statistics.get("dropped"):
        tables.append(_dropped_table(statistics["dropped"]))
    return tables


def show_dataset(outputs: Sequence[Path]) -> None:
    """Print the statistics of data set directories to standard output."""
    from rich.console import Console

    # Into a pipe or file rich would assume 80 columns and cut what does not fit.
    console = Console(width=None if sys.stdout.isatty() else 120)
    for output in outputs:
        if not (output / FILE).is_file():  # deduplicated multi-label data, and data sets of older versions
            print_pairs({"output": output, **read_stage(output).summary})
            continue
        statistics = read_json(output / FILE)
        if "label_confusion" in statistics:
            print_pairs(read_stage(output).summary)
            tables = [_classes_table(statistics, 20), _confusions_table(statistics["label_confusion"])]
        else:
            tables = statistics_tables(statistics)
        for table in tables:
            if table.row_count:
                console.print(table)
        console.print(f"data set: {output}", soft_wrap=True, highlight=False, markup=False)


def _new_table(title: str, *columns: str) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    return table


def _add_row(table: Table, *cells: str, style: str | None = None) -> None:
    """Names come from outside: what a terminal would obey, and brackets, are no more than text."""
    from rich.text import Text

    table.add_row(*(Text(printable(cell, None)) for cell in cells), style=style)


def _counts_table(statistics: dict[str, Any]) -> Table:
    published = statistics.get("published", {"splits": {}})["splits"]
    columns = ("split", "images", "labels", "annotations", "labels/image", "images/label")
    table = _new_table("Labels (Hu 2018, table 1)", *columns)
    for name in (*SPLITS, "all"):
        split, known = statistics["splits"][name], published.get(name)
        _add_row(table, name, f"{split['images']:,}", "clean", *_count_cells(split["clean"]))
        if known is not None:
            _add_row(table, "  published", f"{known['images']:,}", "clean", *_count_cells(known["clean"]), style="dim")
        _add_row(table, "", "", "noisy", *_count_cells(split["noisy"]))
        if known is not None:
            _add_row(table, "  published", "", "noisy", *_count_cells(known["noisy"]), style="dim")
    return table


def _count_cells(counts: dict[str, Any]) -> list[str]:
    return [
        _number(counts["annotations"], ","),
        _number(counts["labels_per_image"], ".2f"),
        _number(counts["images_per_label"], ",.0f"),
    ]


def _quality_table(statistics: dict[str, Any]) -> Table:
    table = _new_table(
        "Quality of the noisy labels",
        "split",
        "right (precision)",
        "found (recall)",
        "right, mean of classes",
        "found, mean of classes",
    )
    for name in (*SPLITS, "all"):
        split = statistics["splits"][name]
        fields = ("precision", "recall", "macro_precision", "macro_recall")
        _add_row(table, name, *(_share(split[field]) for field in fields))
    published = statistics.get("published")
    if published:
        _add_row(
            table,
            "published",
            _share(published["noisy_precision"]),
            _share(published["noisy_recall"]),
            "-",
            "-",
        )
    return table


def _classes_table(statistics: dict[str, Any], most: int) -> Table:
    ordered = sorted(statistics["classes"], key=lambda entry: (-entry["verified"], entry["class"]))
    title = "Classes, most frequent first"
    if len(ordered) > most:
        title += f" ({most} of {len(ordered)}; all in class_statistics.csv)"
        ordered = [*ordered[: most - most // 2], *ordered[len(ordered) - most // 2 :]]
    table = _new_table(title, "class", "clean", "noisy", "right (quality)", "found (recall)")
    for entry in ordered:
        _add_row(
            table,
            entry["class"],
            f"{entry['verified']:,}",
            f"{entry['noisy']:,}",
            _share_of(entry["quality"], entry.get("noisy_checked")),
            _share_of(entry["recall"], entry["verified"]),
        )
    return table


def _confusions_table(confusions: dict[str, Any]) -> Table:
    title = "Largest confusions of noisy labels"
    if confusions["images"]:
        right = f"{100 * confusions['accuracy']:.2f} % right"
        title += f" ({confusions['images']:,} pairs, {right}; all in {label_confusion.TABLE})"
    table = _new_table(title, "true class", "noisy label", "images", "of the true class")
    for entry in confusions["largest"]:
        _add_row(table, entry["true"], entry["noisy"], f"{entry['images']:,}", _share(entry["share"]))
    return table


def _dropped_table(dropped: dict[str, dict[str, int]]) -> Table:
    reasons = sorted(set(next(iter(dropped.values()))) - {"listed", "kept"})
    table = _new_table("Images left out (named in dropped.csv)", "split", "listed", *reasons, "kept")
    for name in SPLITS:
        _add_row(table, name, *(f"{dropped[name][reason]:,}" for reason in ("listed", *reasons, "kept")))
    return table


def _number(value: float | None, pattern: str) -> str:
    return "-" if value is None else format(value, pattern)


def _share_of(value: float | None, count: int | None) -> str:
    """A share and how many labels it rests on, where that is known."""
    return _share(value) if value is None or count is None else f"{_share(value)} of {count:,}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"
