"""What the labels of a data set look like: counts, frequencies, and how good the noisy ones are.

The counts are those of Hu et al. 2018, table 1; class frequency and annotation quality those of
their figure 4: annotation quality is the share of a class's noisy labels that are right. Single-label
data also have the confusion of clean and noisy labels of Xiao et al. 2015, figure 6.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlcli import label_confusion
from nlcli.label_confusion import Confusion
from nlcli.labels import FULL, SPLITS, LabelTable, verified_pairs
from nlcli.output import print_pairs
from nlcli.stage import atomic_path, read_json, read_stage, write_json

if TYPE_CHECKING:
    from rich.table import Table
    from scipy.sparse import csr_array

FILE = "statistics.json"
_MOST_CONFUSIONS = 10
CLASS_COLUMNS = ("class", "group", "verified", "noisy", "noisy_checked", "noisy_right", "quality", "recall")


def label_statistics(table: LabelTable) -> dict[str, Any]:
    """Counts and quality of the labels of ``table``, as JSON values.

    Returns:
        ``splits``: for train, validation, test and all their ``images``, for ``clean`` (verified
        present) and ``noisy`` labels ``annotations``, ``labels_per_image`` and ``images_per_label``
        (annotations by number of classes), and the quality of the noisy labels; ``classes``: the
        same counts a class over all splits, in class order. A share of nothing is None.

    Quality. Only noisy labels that a person checked count: on fully verified images all of them, on
    partly verified ones those whose class is verified. ``precision`` is the share of them that are
    right, ``recall`` the share of verified present labels that are among the noisy ones;
    ``macro_precision`` and ``macro_recall`` are means over the classes that have any.
    """
    tallies = _Tallies(table)
    splits = {name: tallies.summary(table.rows(name)) for name in SPLITS}
    everything = np.arange(len(table))
    splits["all"] = tallies.summary(everything)
    verified, noisy, checked, right = tallies.per_class(everything)
    classes = [
        {
            "class": name,
            "group": None if table.groups is None else table.groups[number],
            "verified": int(verified[number]),
            "noisy": int(noisy[number]),
            "noisy_checked": int(checked[number]),
            "noisy_right": int(right[number]),
            "quality": _share(right[number], checked[number]),
            "recall": _share(right[number], verified[number]),
        }
        for number, name in enumerate(table.classes)
    ]
    return {"splits": splits, "classes": classes}


def class_counts(table: LabelTable, rows: np.ndarray) -> tuple[np.ndarray, ...]:
    """Verified present, noisy, checked noisy and right noisy labels of every class on ``rows``: (C,) int64 each."""
    return _Tallies(table).per_class(rows)


class _Tallies:
    """The label matrices as patterns of zeros and ones, ready to be counted by rows and classes."""

    def __init__(self, table: LabelTable) -> None:
        self.present = _pattern(table.present)
        self.noisy = _pattern(table.noisy)
        self.right = _pattern(self.noisy.multiply(self.present))
        wrong = _pattern(self.noisy.multiply(_pattern(table.absent)))
        fully = (table.verification == FULL).astype(np.int64)
        on_full = _pattern(self.noisy.multiply(fully[:, None]))
        self.checked = _pattern(on_full + self.right + wrong)

    def per_class(self, rows: np.ndarray) -> tuple[np.ndarray, ...]:
        """Verified present, noisy, checked noisy and right noisy labels of every class: (C,) each."""
        matrices = (self.present, self.noisy, self.checked, self.right)
        return tuple(np.asarray(matrix[rows].sum(axis=0)).ravel() for matrix in matrices)

    def summary(self, rows: np.ndarray) -> dict[str, Any]:
        verified, noisy, checked, right = self.per_class(rows)

        def counts(annotations: np.ndarray) -> dict[str, Any]:
            total = int(annotations.sum())
            return {
                "annotations": total,
                "labels_per_image": _share(total, len(rows)),
                "images_per_label": _share(total, len(annotations)),
            }

        return {
            "images": len(rows),
            "clean": counts(verified),
            "noisy": counts(noisy),
            "precision": _share(right.sum(), checked.sum()),
            "recall": _share(right.sum(), verified.sum()),
            "macro_precision": _mean_share(right, checked),
            "macro_recall": _mean_share(right, verified),
        }


def _pattern(matrix: Any) -> csr_array:
    """int64 CSR with a one wherever ``matrix`` is positive."""
    from scipy.sparse import csr_array

    found = csr_array(matrix > 0, dtype=np.int64)
    found.eliminate_zeros()
    return found


def _share(part: Any, whole: Any) -> float | None:
    return float(part) / float(whole) if whole else None


def _mean_share(part: np.ndarray, whole: np.ndarray) -> float | None:
    some = whole > 0
    return float(np.mean(part[some] / whole[some])) if some.any() else None


def published_coco() -> dict[str, Any]:
    """The published counts of extended MS-COCO, in the layout of ``label_statistics``."""
    found: dict[str, Any] = read_json(Path(str(resources.files("nlcli") / "resources" / "published_coco.json")))
    return found


def write_statistics(directory: Path, statistics: dict[str, Any]) -> None:
    """Write ``statistics.json``, ``class_statistics.csv`` and ``class_statistics.png``."""
    from nlcli.report.dataset_figures import class_statistics_figure

    write_json(directory / FILE, statistics)
    with atomic_path(directory / "class_statistics.csv") as temporary:
        with open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, CLASS_COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(statistics["classes"])
    class_statistics_figure(statistics, directory / "class_statistics.png")


def write_single_label_statistics(directory: Path, table: LabelTable) -> dict[str, Any]:
    """The same for a single-label data set, with ``label_confusion.csv`` and ``.png`` where it has pairs.

    A pair is an image whose true and noisy class are both known, of any split.

    Returns:
        What the stage's summary says of it: ``pairs`` and ``pairs_right``, the share of them whose
        noisy label is the true class (None without any).
    """
    found = Confusion(table.classes, verified_pairs(table, np.arange(len(table))))
    largest = [
        {"true": true, "noisy": noisy, "images": images, "share": share}
        for true, noisy, images, share in found.largest(_MOST_CONFUSIONS)
    ]
    record = {"images": found.images, "accuracy": found.accuracy, "largest": largest}
    write_statistics(directory, label_statistics(table) | {"label_confusion": record})
    if found.images:
        from nlcli.report.confusion_figure import confusion_figure

        label_confusion.write_matrix(directory / label_confusion.TABLE, table.classes, found.counts)
        confusion_figure([("noisy label", found)], directory / label_confusion.FIGURE)
    return {"pairs": found.images, "pairs_right": None if found.accuracy is None else round(found.accuracy, 4)}


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


def _counts_table(statistics: dict[str, Any]) -> Table:
    published = statistics.get("published", {"splits": {}})["splits"]
    columns = ("split", "images", "labels", "annotations", "labels/image", "images/label")
    table = _new_table("Labels (Hu 2018, table 1)", *columns)
    for name in (*SPLITS, "all"):
        split, known = statistics["splits"][name], published.get(name)
        table.add_row(name, f"{split['images']:,}", "clean", *_count_cells(split["clean"]))
        if known is not None:
            table.add_row("  published", f"{known['images']:,}", "clean", *_count_cells(known["clean"]), style="dim")
        table.add_row("", "", "noisy", *_count_cells(split["noisy"]))
        if known is not None:
            table.add_row("  published", "", "noisy", *_count_cells(known["noisy"]), style="dim")
    return table


def _count_cells(counts: dict[str, Any]) -> list[str]:
    return [
        f"{counts['annotations']:,}", _number(counts["labels_per_image"], ".2f"),
        _number(counts["images_per_label"], ",.0f"),
    ]


def _quality_table(statistics: dict[str, Any]) -> Table:
    table = _new_table(
        "Quality of the noisy labels", "split", "right (precision)", "found (recall)", "right, mean of classes",
        "found, mean of classes",
    )
    for name in (*SPLITS, "all"):
        split = statistics["splits"][name]
        fields = ("precision", "recall", "macro_precision", "macro_recall")
        table.add_row(name, *(_number(split[field], ".1%") for field in fields))
    published = statistics.get("published")
    if published:
        table.add_row(
            "published", _number(published["noisy_precision"], ".1%"), _number(published["noisy_recall"], ".1%"),
            "-", "-",
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
        table.add_row(
            entry["class"], f"{entry['verified']:,}", f"{entry['noisy']:,}", _number(entry["quality"], ".1%"),
            _number(entry["recall"], ".1%"),
        )
    return table


def _confusions_table(found: dict[str, Any]) -> Table:
    title = "Largest confusions of noisy labels"
    if found["images"]:
        title += f" ({found['images']:,} pairs, {found['accuracy']:.2%} right; all in {label_confusion.TABLE})"
    table = _new_table(title, "true class", "noisy label", "images", "of the true class")
    for entry in found["largest"]:
        table.add_row(entry["true"], entry["noisy"], f"{entry['images']:,}", _number(entry["share"], ".1%"))
    return table


def _dropped_table(dropped: dict[str, dict[str, int]]) -> Table:
    reasons = sorted(set(next(iter(dropped.values()))) - {"listed", "kept"})
    table = _new_table("Images left out (named in dropped.csv)", "split", "listed", *reasons, "kept")
    for name in SPLITS:
        table.add_row(name, *(f"{dropped[name][reason]:,}" for reason in ("listed", *reasons, "kept")))
    return table


def _number(value: float | None, pattern: str) -> str:
    return "-" if value is None else format(value, pattern)
