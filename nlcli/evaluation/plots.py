"""Plots of one evaluation: AP or error rate of the classes, precision-recall and ROC curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nlcli.drawing import BLUE, GREY, ORANGE, new_figure, plain_axes, save_figure
from nlcli.metrics.formats import percent
from nlcli.metrics.intervals import LEVEL
from nlcli.metrics.names import HEADINGS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from nlcli.evaluation.checked_labels import CheckedLabels
    from nlcli.evaluation.measured import Measured
    from nlcli.metrics.arrays import Bools, Floats, Ints
    from nlcli.metrics.curves import Curve, RocCurve
    from nlcli.metrics.ranking import RankingMetrics
_NAMED = 120  # classes whose names can still be read


def per_class_plot(
    classes: Sequence[str],
    ranking: RankingMetrics,
    ends: tuple[Floats, Floats] | None,
    path: Path,
) -> None:
    """AP of every class, best first, with its interval and its number of positives.

    Args:
        classes: Names.
        ranking: The metrics; classes without positives are counted in the caption.
        ends: Lower and upper ends of the intervals, ``(C,)`` each, or None.
        path: PNG file to write.
    """
    order = np.argsort(-np.nan_to_num(ranking.per_class, nan=-1.0), kind="stable")
    order = order[ranking.positives[order] > 0]
    named = len(order) <= _NAMED
    height = max(2.4, 1.3 + 0.19 * len(order)) if named else 6.0
    figure = new_figure(7.2, height)
    axes = figure.subplots()
    at = np.arange(len(order))
    if ends is not None:
        low, high = ends[0][order], ends[1][order]
        axes.hlines(at, low, high, color=BLUE, alpha=0.45, linewidth=3 if named else 1)
    axes.plot(ranking.per_class[order], at, "o", color=BLUE, markersize=4.5 if named else 1.5)
    axes.axvline(ranking.mean_ap, color=ORANGE, linewidth=1, linestyle="--")
    _class_axes(axes, classes, order, ranking.positives, "positives")
    axes.set_xlabel(f"average precision{_line_told(ends)}")
    axes.set_title(f"mAP {ranking.mean_ap:.3f} over {len(order)} classes{_left_out(ranking)}", fontsize=10, loc="left")
    save_figure(figure, path)


def _class_axes(axes: Axes, classes: Sequence[str], order: Ints, counts: Ints, counted: str) -> None:
    """Classes in ``order`` from the top, named where they are few, with how many of ``counted`` each has."""
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(len(order) - 0.4, -0.6)
    if len(order) <= _NAMED:
        axes.set_yticks(np.arange(len(order)), [classes[c] for c in order], fontsize=8)
        for y, c in enumerate(order.tolist()):
            axes.text(1.025, y, f"{counts[c]:,}", fontsize=7, va="center", color="0.35", clip_on=False)
        axes.text(1.025, -0.9, counted, fontsize=7, va="bottom", color="0.35", clip_on=False)
    else:
        axes.set_ylabel("class, by its rank")
    plain_axes(axes, "x")


def _line_told(ends: tuple[Floats, Floats] | None) -> str:
    return "" if ends is None else f" (line: {percent(LEVEL)} interval over images)"


def _left_out(ranking: RankingMetrics) -> str:
    count = ranking.classes_without_positives
    return f"; {count} without positives left out" if count else ""


def curves_plot(classes: Sequence[str], curves: Sequence[Curve], ranking: RankingMetrics, path: Path) -> None:
    """Precision over recall: all entries, the mean over classes, and classes from best to worst.

    Args:
        classes: Names.
        curves: The curve of all entries together, then one for each class (empty without positives).
        ranking: The metrics of the same scores.
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
            label=f"mean over classes (mAP {ranking.mean_ap:.3f})",
        )
    if len(curves[0].recall):
        left.plot(
            grid,
            curves[0].precision_at(grid),
            color=BLUE,
            linewidth=2,
            label=f"all entries (AP_all {ranking.ap_all:.3f})",
        )
    left.set_ylabel("precision")
    left.set_title("All classes", fontsize=10, loc="left")

    ranked = np.argsort(ranking.per_class, kind="stable")
    ranked = ranked[ranking.positives[ranked] > 0][::-1]
    chosen = ranked[np.unique(np.linspace(0, len(ranked) - 1, min(5, len(ranked))).round().astype(int))]
    styles = ("-", "--", "-.", ":", (0, (3, 1, 1, 1, 1, 1)))
    shades = ("#0b3c5d", "#2b6c8f", "#6b8f3c", "#c8702a", "#8f2b4b")
    for c, style, shade in zip(chosen, styles, shades, strict=False):
        label = f"{classes[c]} (AP {ranking.per_class[c]:.3f})"
        right.plot(grid, curves[c + 1].precision_at(grid), color=shade, linestyle=style, label=label)
    right.set_title("Classes from the best to the worst AP", fontsize=10, loc="left")
    for axes in (left, right):
        axes.set_xlabel("recall")
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
        plain_axes(axes, "both")
    if left.lines:
        left.legend(frameon=False, fontsize=8, loc="lower left")
        right.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1))
    save_figure(figure, path)


def errors_plot(
    classes: Sequence[str],
    measured: Measured,
    naive: Floats,
    ends: tuple[Floats, Floats] | None,
    held_out: Bools,
    path: Path,
    total: str = "average_error",
) -> None:
    """Error rate of every class, lowest first, with its interval and that of calling every label right.

    Args:
        classes: C names.
        measured: The metrics; classes without images are counted in the title.
        naive: ``(C,)`` error rates of calling every label right.
        ends: Lower and upper ends of the intervals, ``(C,)`` each, or None.
        held_out: ``(C,)`` bool: the verification of the class was withheld; drawn in orange.
        path: PNG file to write.
        total: The error rate of all classes together, which is a line.
    """
    order = np.argsort(measured.of_classes, kind="stable")  # NaN come last
    order = order[measured.counts[order] > 0]
    named = len(order) <= _NAMED
    figure = new_figure(7.2, max(2.6, 1.5 + 0.19 * len(order)) if named else 6.0)
    axes = figure.subplots()
    at, size = np.arange(len(order)), 4.5 if named else 1.5
    inside = held_out[order]
    for which, color, name in ((~inside, BLUE, "verified classes"), (inside, ORANGE, "held-out classes")):
        if not which.any():
            continue
        if ends is not None:
            low, high = ends[0][order][which], ends[1][order][which]
            axes.hlines(at[which], low, high, color=color, alpha=0.45, linewidth=3 if named else 1)
        label = name if held_out.any() else "error rate"
        axes.plot(measured.of_classes[order][which], at[which], "o", color=color, markersize=size, label=label)
    axes.plot(naive[order], at, "|", color=GREY, markersize=2.4 * size, label="every label called right")
    axes.axvline(measured.values[total], color="0.2", linewidth=1, linestyle="--", label=HEADINGS[total])
    _class_axes(axes, classes, order, measured.counts, "images")
    axes.set_xlabel(f"error rate, lower is better{_line_told(ends)}")
    without = int((measured.counts == 0).sum())
    told = f"; {without} without images left out" if without else ""
    axes.set_title(
        f"{HEADINGS[total]} {100 * measured.values[total]:.1f} % over {len(order)} classes{told}",
        fontsize=10,
        loc="left",
    )
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    save_figure(figure, path)


def areas_plot(curve: RocCurve, checked: CheckedLabels, measured: Measured, path: Path) -> None:
    """Wrong labels measured over right ones lost, and how many of those called wrong are; the verdicts as a point.

    Args:
        curve: Over all thresholds.
        checked: The images.
        measured: The metrics of the same images.
        path: PNG file to write.
    """
    figure = new_figure(9.6, 4.2)
    left, right = figure.subplots(1, 2)
    wrong, called = ~checked.right, ~checked.called_right
    caught, lost = int((wrong & called).sum()), int((checked.right & called).sum())
    share = caught / max(1, int(wrong.sum()))
    left.plot(curve.rejected, curve.caught, color=BLUE, linewidth=1.8)
    left.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":")
    left.plot(lost / max(1, int(checked.right.sum())), share, "o", color=ORANGE, label="the verdicts")
    left.set_xlabel("right labels that are called wrong")
    left.set_ylabel("wrong labels that are called wrong")
    left.set_title(f"ROC curve (area {measured.values['AUC']:.3f})", fontsize=10, loc="left")
    left.legend(frameon=False, fontsize=8, loc="lower right")
    right.plot(curve.caught, curve.precision, color=BLUE, linewidth=1.8)
    right.axhline(float(wrong.mean()), color=GREY, linewidth=0.8, linestyle=":")
    if caught + lost:
        right.plot(share, caught / (caught + lost), "o", color=ORANGE)
    right.set_xlabel("wrong labels that are called wrong (recall)")
    right.set_ylabel("share of wrong labels among those called wrong")
    right.set_title(f"finding wrong labels (AP {measured.values['AP_wrong']:.3f})", fontsize=10, loc="left")
    for axes in (left, right):
        axes.set_xlim(-0.01, 1.01)
        axes.set_ylim(0, 1.02)
        plain_axes(axes, "both")
    save_figure(figure, path)
