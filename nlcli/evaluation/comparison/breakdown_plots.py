"""Plots of an analysis; a model has the same colour, marker and line in all of them."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from nlcli.drawing import COLORS, MARKERS, SIGNS, cut, key_end, new_figure, plain_axes, save_figure, show_photograph
from nlcli.evaluation.comparison.breakdown_record import ALL, Analysis, CutRecord
from nlcli.evaluation.comparison.learning_curves import LearningCurve, SeedCurve, band, has_images, over_seeds
from nlcli.evaluation.metrics_file import Ends
from nlcli.metrics.formats import percent
from nlcli.metrics.intervals import FEWEST_SEEDS, LEVEL
from nlcli.metrics.names import LEARNING
from nlcli.networks.photographs import read_photograph

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    from nlcli.evaluation.examples import Example, Prediction
    from nlcli.metrics.arrays import Floats

MOST = len(COLORS)
"""Models in one plot; the files hold all."""
_LINES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (3, 1, 1, 1, 1, 1)), (0, (5, 1)), (0, (1, 1)), (0, (8, 2, 2, 2)))
_PANELS = 12


def category_plot(analysis: Analysis, cut: CutRecord, path: Path) -> None:
    """mAP of every model in every category, with its interval (Veit 2017, table 3)."""
    groups = [group for group in cut.groups if group.with_positives]
    labels = analysis.labels[:MOST]
    figure = new_figure(8.2, 1.3 + len(groups) * (0.22 + 0.13 * len(labels)))
    axes = figure.subplots()
    for i, label in enumerate(labels):
        at = np.arange(len(groups)) + _beside(i, len(labels), 0.62)
        own = [group.models[i] for group in groups]
        axes.errorbar(
            [_percent(metric.value) for metric in own],
            at,
            xerr=_errors([(metric.value, metric.interval) for metric in own]),
            fmt=MARKERS[i],
            color=COLORS[i],
            markersize=4.5,
            elinewidth=1.1,
            label=label,
        )
    names = [f"{group.name}\n{group.count_told}" for group in groups]
    axes.set_yticks(range(len(groups)), names, fontsize=8)
    axes.set_ylim(len(groups) - 0.5, -0.5)
    for y in np.arange(len(groups) - 1) + 0.5:
        axes.axhline(y, color="0.9", linewidth=0.6)
    axes.set_xlabel("mAP (%)" + _interval_told(analysis))
    axes.set_title("mAP by category", fontsize=10, loc="left")
    plain_axes(axes, "x")
    _legend(figure, axes, len(analysis.models))
    save_figure(figure, path)


def gain_plot(analysis: Analysis, path: Path) -> None:
    """Gain in mAP over the baseline by class frequency and by annotation quality (Veit 2017, figure 5)."""
    figure = new_figure(12.6, 4.6)
    panels = figure.subplots(1, 2, sharey=True)
    _gain_panel(panels[0], analysis, "frequency", "(a) Class frequency, rare to common", "noisy annotations in train")
    _gain_panel(
        panels[1], analysis, "quality", "(b) Annotation quality, low to high", "noisy annotations that are right"
    )
    panels[0].set_ylabel(f"gain in mAP over '{analysis.baseline}'\n(percentage points)")
    _legend(figure, panels[0], len(analysis.models))
    if analysis.resamples:
        told = f"bars: {percent(analysis.level)} interval over {analysis.images:,} images, paired"
        figure.supxlabel(told, fontsize=8, color="0.4")
    save_figure(figure, path)


def _gain_panel(axes: Axes, analysis: Analysis, by: Literal["frequency", "quality"], title: str, about: str) -> None:
    groups = analysis.sorted_cut(by).groups
    labels = analysis.labels[1:MOST]
    axes.axhline(0, color="0.35", linewidth=0.9)
    for i, label in enumerate(labels, 1):
        own = [group.models[i] for group in groups]
        axes.errorbar(
            np.arange(len(groups)) + _beside(i - 1, len(labels), 0.55),
            [_percent(metric.difference) for metric in own],
            yerr=_errors([(metric.difference, metric.difference_interval) for metric in own]),
            color=COLORS[i],
            marker=MARKERS[i],
            markersize=4.5,
            linewidth=1.0,
            elinewidth=1.1,
            alpha=0.95,
            label=label,
        )
    told = " or ".join(map(str, sorted({group.classes for group in groups})))
    turned: dict[str, Any] = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if len(groups) > 5 else {}
    axes.set_xticks(range(len(groups)), [group.range_told(by) for group in groups], fontsize=8, **turned)
    axes.set_xlabel(f"{about} (groups of {told} classes)" if groups else "no class can be grouped")
    axes.set_title(title, fontsize=10, loc="left")
    plain_axes(axes, "y")


def precision_recall_plot(
    labels: Sequence[str],
    recall: Floats,
    curves: dict[str, list[Floats]],
    pooled: dict[str, tuple[float | None, ...]],
    path: Path,
) -> None:
    """Precision over recall of all models, over all entries and by category (Veit 2017, figure 6).

    Args:
        labels: Of the models.
        recall: ``(K,)``.
        curves: By category the precision ``(K,)`` of every model.
        pooled: By category the AP over its entries together, of every model.
        path: File to write, PNG or SVG.
    """
    names = list(curves)[:_PANELS]
    columns = max(1, min(4, math.ceil(math.sqrt(len(names)))))
    lines = max(1, -(-len(names) // columns))
    figure = new_figure(3.3 * columns + 2.6, 3.0 * lines + 0.3 if lines > 1 else 4.0)
    panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
    low = min((float(np.min(p)) for own in curves.values() for p in own), default=0.0)
    for axes, name in zip(panels, names, strict=False):
        for i, precision in enumerate(curves[name][:MOST]):
            axes.plot(
                100 * recall, 100 * precision, color=COLORS[i], linestyle=_LINES[i], linewidth=1.6, label=labels[i]
            )
        values = [value for value in pooled[name][:MOST] if value is not None]
        best = f"AP {100 * min(values):.1f} to {100 * max(values):.1f}" if values else ""
        title = "All annotations" if name == ALL else name
        axes.set_title(f"{title}  ({best})", fontsize=9, loc="left")
        plain_axes(axes, "both")
    for axes in panels[max(0, len(names) - columns) : len(names)]:  # the last of every column
        axes.tick_params(labelbottom=True)
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    panels[0].set_xlim(0, 100)
    # Precision does not fall below the share of positives: where that is high, differences are small.
    panels[0].set_ylim(max(0.0, 100 * low - 3) if low > 0.3 else 0, 101)
    figure.supxlabel("recall (%)", fontsize=9)
    figure.supylabel("precision (%)", fontsize=9)
    if names:
        _legend(figure, panels[0], len(labels))
    save_figure(figure, path)


def learning_curve_plot(labels: Sequence[str], learned: Sequence[Sequence[SeedCurve]], path: Path) -> None:
    """Validation metrics over training steps (Hu 2019, figure 4): mean over seeds, with its interval or their range.

    Args:
        labels: Of the models.
        learned: For every model the curves of its seeds.
        path: File to write, PNG or SVG.
    """
    names = [name for name in LEARNING if any(name in curve.metrics for own in learned for _, curve in own)]
    figure = new_figure(5.2 * len(names) + 2.4, 4.1)
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    shown: dict[str, Line2D] = {}
    for axes, name in zip(panels, names, strict=True):
        for i, own in enumerate(learned[:MOST]):
            steps, values = over_seeds([curve for _, curve in own], name)
            if not len(steps):
                continue
            (line,) = axes.plot(steps, 100 * values.mean(axis=0), color=COLORS[i], linestyle=_LINES[i], linewidth=1.6)
            shown.setdefault(labels[i], line)
            ends = band([curve for _, curve in own], name)
            if ends is not None:
                axes.fill_between(steps, 100 * ends[0], 100 * ends[1], color=COLORS[i], alpha=0.13, linewidth=0)
            for _, curve in own:
                if curve.chosen is not None and name in curve.metrics:
                    axes.plot(
                        curve.steps[curve.chosen],
                        100 * curve.metrics[name][curve.chosen],
                        MARKERS[i],
                        color=COLORS[i],
                        markerfacecolor="none",
                        markersize=7,
                    )
        axes.set_xlabel("training step")
        axes.set_title(f"{name} on the validation split (%)", fontsize=10, loc="left")
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=_settled(learned, name), top=min(101.0, axes.get_ylim()[1]))
        plain_axes(axes, "both")
    figure.legend(
        list(shown.values()), _short(list(shown)), loc="outside right center", frameon=False, fontsize=8, handlelength=3
    )
    told = _bands_told([[curve for _, curve in own] for own in learned[:MOST]], names)
    told += "hollow marks: the step that was chosen; the first steps may lie below"
    figure.supxlabel(told, fontsize=8, color="0.4")
    save_figure(figure, path)


def _bands_told(learned: Sequence[Sequence[LearningCurve]], names: Sequence[str]) -> str:
    """What lines and bands are; empty where there is one seed a model and no band."""
    kinds = []
    measured = [any(has_images(own, name) for name in names) for own in learned]
    over_images = [own for own, known in zip(learned, measured, strict=True) if known]
    others = [len(own) for own, known in zip(learned, measured, strict=True) if not known]
    seeds = any(len(own) > 1 for own in learned)
    if over_images:
        more = " and seeds" if any(len(own) > 1 for own in over_images) else ""
        kinds.append(f"{percent(LEVEL)} interval over images{more}")
    if any(count >= FEWEST_SEEDS for count in others):
        kinds.append(f"{percent(LEVEL)} interval of that mean over seeds, on the same images")
    if any(1 < count < FEWEST_SEEDS for count in others):
        kinds.append("of two seeds from one to the other" if kinds else "from the lowest to the highest seed")
    told = "lines: mean over seeds; " if seeds else ""
    return told + (f"bands: {', '.join(kinds)}; " if kinds else "")


def _settled(learned: Sequence[Sequence[SeedCurve]], name: str) -> float | None:
    """Lower end of the axis: an untrained start would squeeze what is to be seen."""
    curves = [curve for own in learned[:MOST] for _, curve in own if name in curve.metrics]
    late = [curve.metrics[name][curve.steps >= 0.05 * curve.steps[-1]] for curve in curves]
    values = np.concatenate(late)
    values = 100 * values[~np.isnan(values)]
    return None if not len(values) else max(0.0, values.min() - 0.08 * (values.max() - values.min()) - 0.5)


_MEANING = "✓ verified present   ✗ verified absent   ? not verified   (images drawn at random)"
_SHARES = (
    "\n◂ the noisy label   scores divided by their sum over the image's classes; in brackets: less the first model's"
)
_SIDE, _GAP, _LINE, _COLUMN = 1.9, 0.22, 0.19, 2.35  # inches


def side_by_side_plot(labels: Sequence[str], examples: Sequence[Sequence[Example]], path: Path) -> None:
    """Photographs with the top predictions of every model, marked right or wrong (Veit 2017, figure 7).

    So Hu 2018 has its figure 6 and Hu 2019 its figures 3 and, of single-label data, 5.

    Args:
        labels: Of the models.
        examples: For every image one example a model.
        path: PNG file to write.
    """
    labels = list(labels)[:MOST]
    told = [_present(row[0]) for row in examples]
    heights = [_SIDE + _LINE * (1 + len(lines)) + _GAP for lines in told]
    width = 2 * _GAP + _SIDE + _GAP + _COLUMN * len(labels)
    height = sum(heights) + 4.8 * _LINE + _GAP
    figure = new_figure(width, height)
    figure.set_layout_engine("none")

    def text(x: float, y: float, words: str, color: str, **style: Any) -> None:
        figure.text(x / width, y / height, words, color=color, va="top", **style)

    top = height - _GAP
    for i, label in enumerate(labels):
        lines = textwrap.wrap(label, 32, max_lines=2, placeholder=" ...")
        text(_column(i), top, "\n".join(lines), "0.1", fontsize=8.5, fontweight="bold")
    top -= 2.2 * _LINE
    for row, lines, row_height in zip(examples, told, heights, strict=True):
        axes = figure.add_axes((_GAP / width, (top - _SIDE) / height, _SIDE / width, _SIDE / height))
        axes.set_axis_off()
        axes.set_anchor("NW")
        show_photograph(axes, read_photograph(row[0].path))
        for number, line in enumerate((key_end(row[0].key, 30), *lines)):
            color = "0.5" if number == 0 else "0.25"
            text(_GAP, top - _SIDE - 0.05 - _LINE * number, line, color, fontsize=7.5)
        for i, example in enumerate(row[:MOST]):
            for number, prediction in enumerate(example.top):
                words, color = _prediction(prediction)
                text(_column(i), top - 0.1 - 1.7 * _LINE * number, words, color, fontsize=8.5)
        top -= row_height
    shares = any(p.share is not None for row in examples for example in row for p in example.top)
    text(_GAP, top + 0.6 * _LINE, _MEANING + (_SHARES if shares else ""), "0.4", fontsize=7.5, linespacing=1.5)
    save_figure(figure, path)


def _prediction(prediction: Prediction) -> tuple[str, str]:
    """A line of a model's column and its colour; of single-label data the score is a share of the image's."""
    sign, color = SIGNS[prediction.verdict]
    value = prediction.score if prediction.share is None else prediction.share
    change = "" if prediction.change is None else f" ({prediction.change:+.2f})"
    mark = " ◂" if prediction.noisy else ""
    name = cut(prediction.name, 18 if change else 24)
    return f"{sign} {value:.2f}{change}  {name}{mark}", color


def _column(i: int) -> float:
    return 2 * _GAP + _SIDE + _COLUMN * i


def _present(example: Example) -> list[str]:
    """The verified present classes of an image, in lines, and what single-label data call it."""
    names = [p.name for p in example.top if p.verdict == "right"] + list(example.missed)
    lines = textwrap.wrap("present: " + ", ".join(sorted(names)), 34, max_lines=3, placeholder=" ...")
    if example.labels:
        lines += textwrap.wrap("noisy label: " + ", ".join(example.labels), 34, max_lines=2, placeholder=" ...")
    return lines


def _beside(i: int, count: int, width: float) -> float:
    """Where the ``i``-th of ``count`` marks stands around its place."""
    return width * ((i + 0.5) / count - 0.5)


def _percent(value: float | None) -> float:
    return math.nan if value is None else 100 * value


def _errors(metrics: Sequence[tuple[float | None, Ends | None]]) -> NDArray[np.float64] | None:
    """Lengths of the bars below and above values with their intervals, ``(2, n)``.

    NaN where one is not known; None where none is.
    """
    lengths = []
    for value, ends in metrics:
        low, high = ends or (None, None)
        if value is None or low is None or high is None:
            lengths.append((math.nan, math.nan))
            continue
        # The interval of a difference need not hold the difference itself: no negative lengths.
        lengths.append((100 * max(0.0, value - low), 100 * max(0.0, high - value)))
    errors = np.array(lengths).reshape(-1, 2).T
    return None if np.isnan(errors).all() else errors


def _interval_told(analysis: Analysis) -> str:
    if not analysis.resamples:
        return ""
    return f", bars: {percent(analysis.level)} interval over {analysis.images:,} images"


def _short(labels: Sequence[str]) -> list[str]:
    return ["\n".join(textwrap.wrap(label, 30, max_lines=4, placeholder=" ...")) for label in labels]


def _legend(figure: Figure, axes: Axes, models: int) -> None:
    handles, labels = axes.get_legend_handles_labels()
    title = f"the first {MOST} of {models} models" if models > MOST else None
    figure.legend(
        handles,
        _short(labels),
        loc="outside right center",
        frameon=False,
        fontsize=8,
        handlelength=3,
        title=title,
        title_fontsize=8,
    )
