"""Annotations by high-level category, class frequency and annotation quality: Veit 2017, table 1 and figure 4.

Counted are the images on which people looked at machine labels, which are Open Images' validation images: "the
probability that an image labeled with a class actually contains that class" is known there alone. The paper's table
counts "ground-truth annotations", which are people's; the machine's stand beside these.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nlcli.data.labels import NONE, LabelTable
from nlcli.data.statistics import class_counts
from nlcli.stages.files import write_csv

TABLE, PLOT = "categories.csv", "class_ranks.png"
COLUMNS = ("category", "classes", "annotations", "checked", "right", "wrong_share")
OTHERS = "others"


def write_category_statistics(directory: Path, table: LabelTable) -> dict[str, Any]:
    """Write ``categories.csv``, table 1 with the share of wrong annotations, and ``class_ranks.png``, figure 4.

    Returns:
        For the stage's summary: ``checked_annotations`` and ``checked_wrong``, the share of them that people called
        wrong (the paper: 26.6 %); None without any.
    """
    part = _looked_at(table)
    _, noisy, checked, right = class_counts(part, np.arange(len(part)))
    rows = []
    for category, classes in categories(table).items():
        counts = [int(of[classes].sum()) for of in (noisy, checked, right)]
        rows.append([category, len(classes), *counts, _wrong(counts[1], counts[2])])
    write_csv(directory / TABLE, COLUMNS, rows)
    _plot(noisy, checked, right, directory / PLOT)
    return {
        "checked_annotations": int(checked.sum()),
        "checked_wrong": _wrong(int(checked.sum()), int(right.sum())),
    }


def categories(table: LabelTable) -> dict[str, np.ndarray]:
    """Class indices of every category in order of first appearance, those of none as ``others`` at the end."""
    groups = table.groups or (None,) * table.num_classes
    named = {name: [i for i, group in enumerate(groups) if group == name] for name in dict.fromkeys(groups) if name}
    rest = [i for i, group in enumerate(groups) if not group]
    return {name: np.array(classes, np.int64) for name, classes in (named | ({OTHERS: rest} if rest else {})).items()}


def _looked_at(table: LabelTable) -> LabelTable:
    """The images with any verification: counting all nine million would take gigabytes for nothing."""
    rows = np.flatnonzero(table.verification > NONE)
    return replace(
        table,
        keys=table.keys[rows],
        paths=table.paths[rows],
        split=table.split[rows],
        noisy=table.noisy[rows],
        present=table.present[rows],
        absent=table.absent[rows],
        verification=table.verification[rows],
    )


def _wrong(checked: int, right: int) -> float | None:
    return round(1 - right / checked, 4) if checked else None


def _plot(noisy: np.ndarray, checked: np.ndarray, right: np.ndarray, path: Path) -> None:
    """Figure 4: classes in the order of their frequency, and in the order of their quality."""
    from nlcli.drawing import BLUE, ORANGE, new_figure, save_figure

    figure = new_figure(9.0, 3.6)
    frequency, quality = figure.subplots(1, 2)
    frequency.plot(np.sort(noisy)[::-1], color=BLUE)
    most, fewest = noisy.max(initial=0), noisy.min(initial=noisy.max(initial=0))
    if most >= 10 * max(1, fewest):  # else an axis by powers of ten may have no number
        frequency.set_yscale("symlog", linthresh=1)
    else:
        frequency.set_ylim(bottom=0)
    frequency.set(xlabel="classes, most frequent first", ylabel="noisy annotations")
    frequency.set_title("(a) Class frequency", fontsize=10, loc="left")
    some = checked > 0
    quality.plot(np.sort(right[some] / checked[some])[::-1], color=ORANGE)
    if some.any():
        overall = right.sum() / checked.sum()
        quality.axhline(
            overall, color="0.4", linewidth=0.8, linestyle="--", label=f"all annotations: {100 * overall:.1f} %"
        )
        quality.legend(frameon=False, fontsize=8, loc="lower left")
    quality.set_ylim(-0.02, 1.05)
    quality.set(xlabel=f"{int(some.sum()):,} checked classes, best first", ylabel="share that is right")
    quality.set_title("(b) Annotation quality", fontsize=10, loc="left")
    for axes in (frequency, quality):
        axes.spines[["top", "right"]].set_visible(False)
    save_figure(figure, path)
