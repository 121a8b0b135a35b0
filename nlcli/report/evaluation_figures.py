"""Figures of one evaluation: AP of the classes, precision-recall curves, examples.

Blue and orange tell apart for every common colour vision; what is right or wrong also carries a
sign. Without the library's version in it, the same figures give the same bytes.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlcli.stage import atomic_path

if TYPE_CHECKING:
    from nlcli.evaluate import Example
    from nlcli.metrics import Curve, RankingMetrics

BLUE, ORANGE, GREY = "#2b6c8f", "#c8702a", "#8a8a8a"
_NAMED = 120  # classes whose names can still be read
SIGNS = {"right": ("✓", BLUE), "wrong": ("✗", ORANGE), "unverified": ("?", GREY)}


def new_figure(width: float, height: float) -> Any:
    """A figure with its own canvas: pyplot would keep it and pick a window system."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Any, path: Path) -> None:
    """Write a PNG or an SVG, by the suffix, whole or not at all."""
    from matplotlib import rc_context

    kind = path.suffix.removeprefix(".")
    metadata = {"Software": None} if kind == "png" else {"Date": None, "Creator": None}
    with atomic_path(path) as temporary, rc_context({"svg.hashsalt": "nlcli"}):
        figure.savefig(temporary, format=kind, dpi=120, metadata=metadata)


def per_class_figure(
    classes: Sequence[str],
    found: RankingMetrics,
    ends: tuple[np.ndarray, np.ndarray] | None,
    path: Path,
) -> None:
    """AP of every class, best first, with its interval and its number of positives.

    Args:
        classes: Names.
        found: The figures; classes without positives are counted in the caption.
        ends: Lower and upper ends of the intervals, ``(C,)`` each, or None.
        path: PNG file to write.
    """
    order = np.argsort(-np.nan_to_num(found.per_class, nan=-1.0), kind="stable")
    order = order[found.positives[order] > 0]
    named = len(order) <= _NAMED
    height = max(2.4, 1.3 + 0.19 * len(order)) if named else 6.0
    figure = new_figure(7.2, height)
    axes = figure.subplots()
    at = np.arange(len(order))
    if ends is not None:
        low, high = ends[0][order], ends[1][order]
        axes.hlines(at, low, high, color=BLUE, alpha=0.45, linewidth=3 if named else 1)
    axes.plot(found.per_class[order], at, "o", color=BLUE, markersize=4.5 if named else 1.5)
    axes.axvline(found.mean_ap, color=ORANGE, linewidth=1, linestyle="--")
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(len(order) - 0.4, -0.6)
    if named:
        axes.set_yticks(at, [classes[c] for c in order], fontsize=8)
        for y, c in zip(at, order, strict=True):
            axes.text(1.025, y, f"{found.positives[c]:,}", fontsize=7, va="center", color="0.35", clip_on=False)
        axes.text(1.025, -0.9, "positives", fontsize=7, va="bottom", color="0.35", clip_on=False)
    else:
        axes.set_ylabel("class, by its rank")
    axes.set_xlabel("average precision" + ("" if ends is None else " (line: 95 % interval over images)"))
    axes.set_title(f"mAP {found.mean_ap:.3f} over {len(order)} classes{_left_out(found)}", fontsize=10, loc="left")
    axes.grid(axis="x", color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    save_figure(figure, path)


def _left_out(found: RankingMetrics) -> str:
    count = found.classes_without_positives
    return f"; {count} without positives left out" if count else ""


def curves_figure(classes: Sequence[str], curves: Sequence[Curve], found: RankingMetrics, path: Path) -> None:
    """Precision over recall: all entries, the mean over classes, and classes from best to worst.

    Args:
        classes: Names.
        curves: The curve of all entries together, then one for each class (empty without positives).
        found: The figures of the same scores.
        path: PNG file to write.
    """
    figure = new_figure(11.4, 4.4)
    left, right = figure.subplots(1, 2, sharey=True)
    grid = np.maximum(np.linspace(0, 1, 201), 1e-9)  # from the first positive on
    single = [curve.precision_at(grid) for curve in curves[1:] if len(curve.recall)]
    if single:
        stacked = np.stack(single)
        low, high = np.percentile(stacked, [25, 75], axis=0)
        left.fill_between(grid, low, high, color=ORANGE, alpha=0.18, linewidth=0, label="middle half of the classes")
        left.plot(
            grid,
            stacked.mean(axis=0),
            color=ORANGE,
            linestyle="--",
            label=f"mean over classes (mAP {found.mean_ap:.3f})",
        )
    if len(curves[0].recall):
        left.plot(
            grid,
            curves[0].precision_at(grid),
            color=BLUE,
            linewidth=2,
            label=f"all entries (AP_all {found.ap_all:.3f})",
        )
    left.set_ylabel("precision")
    left.set_title("All classes", fontsize=10, loc="left")

    ranked = np.argsort(found.per_class, kind="stable")
    ranked = ranked[found.positives[ranked] > 0][::-1]
    chosen = ranked[np.unique(np.linspace(0, len(ranked) - 1, min(5, len(ranked))).round().astype(int))]
    styles = ("-", "--", "-.", ":", (0, (3, 1, 1, 1, 1, 1)))
    shades = ("#0b3c5d", "#2b6c8f", "#6b8f3c", "#c8702a", "#8f2b4b")
    for c, style, shade in zip(chosen, styles, shades, strict=False):
        label = f"{classes[c]} (AP {found.per_class[c]:.3f})"
        right.plot(grid, curves[c + 1].precision_at(grid), color=shade, linestyle=style, label=label)
    right.set_title("Classes from the best to the worst AP", fontsize=10, loc="left")
    for axes in (left, right):
        axes.set_xlabel("recall")
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
        axes.grid(color="0.92", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    if left.lines:
        left.legend(frameon=False, fontsize=8, loc="lower left")
        right.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1))
    save_figure(figure, path)


def examples_figure(examples: Sequence[Example], path: Path) -> None:
    """Photographs with their top predictions, marked right or wrong, and what was missed."""
    from nlcli.report.photographs import photograph_grid

    photograph_grid([(example.path, _texts(example)) for example in examples], path)


def key_end(key: str, most: int = 36) -> str:
    """A key in at most so many characters: of a long one its end, which is the file's name."""
    return key if len(key) <= most else "..." + key[3 - most :]


def _texts(example: Example) -> list[tuple[str, str]]:
    lines = [(key_end(example.key), "0.5")]
    for prediction in example.top:
        sign, color = SIGNS[prediction.verdict]
        name = textwrap.shorten(prediction.name, 30, placeholder=" ...")
        lines.append((f"{sign} {prediction.score:.2f}  {name}", color))
    if example.missed:
        missed = textwrap.shorten("missed: " + ", ".join(example.missed), 78, placeholder=" ...")
        lines += [(line, "0.25") for line in textwrap.wrap(missed, 40)]
    return lines
