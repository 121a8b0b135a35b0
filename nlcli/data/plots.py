"""Plots of a data set's labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nlcli.drawing import new_figure, save_figure
from nlcli.metrics.arrays import Floats
from nlcli.metrics.confusion import Confusion

_MOST_BARS = 1000  # classes of which a plot has room for a pixel or two
# Right of the title: inside, a legend would hide bars.
_ABOVE: dict[str, Any] = {
    "loc": "lower right",
    "bbox_to_anchor": (1, 1),
    "ncols": 3,
    "columnspacing": 1.2,
    "frameon": False,
    "fontsize": 8,
}


def class_statistics_plot(statistics: dict[str, Any], path: Path) -> None:
    """Class frequency and annotation quality, as in Hu et al. 2018, figure 4.

    Both panels show the classes in the same order, most frequent first.

    Args:
        statistics: What ``label_statistics`` returns.
        path: PNG file to write.
    """
    classes = sorted(statistics["classes"], key=lambda entry: (-entry["verified"], entry["class"]))
    total, classes = len(classes), classes[:_MOST_BARS]
    position = list(range(len(classes)))
    figure = new_figure(min(max(8.0, 0.19 * len(classes)), 24.0), 6.4)
    frequency, quality = figure.subplots(2, 1, sharex=True)

    _bars(frequency, -0.2, [c["verified"] for c in classes], 0.4, "verified", "#2b6c8f")
    _bars(frequency, 0.2, [c["noisy"] for c in classes], 0.4, "noisy", "#d98c3f")
    frequency.set_ylim(bottom=0)
    frequency.set_ylabel("images")
    of = f" (the {len(classes):,} most frequent of {total:,})" if total > len(classes) else ""
    frequency.set_title(f"(a) Class frequency{of}", fontsize=10, loc="left")
    frequency.legend(**_ABOVE)

    share = [c["quality"] or 0 for c in classes]
    recalled = [float("nan") if c["recall"] is None else c["recall"] for c in classes]
    _bars(quality, 0, share, 0.7, "noisy labels that are right", "#d98c3f")
    quality.plot(position, recalled, "o", markersize=4, color="#2b6c8f", label="verified labels that are found")
    overall = statistics["splits"]["all"]["precision"]
    if overall is not None:
        label = f"right over all classes: {100 * overall:.0f} %"
        quality.axhline(overall, color="0.4", linewidth=0.8, linestyle="--", label=label)
    quality.set_ylim(0, 1.05)
    quality.set_ylabel("share")
    quality.set_title("(b) Annotation quality", fontsize=10, loc="left")
    quality.legend(**_ABOVE)
    step = max(1, len(classes) // 120)  # thousands of names cannot be read anyway
    quality.set_xticks(position[::step], [c["class"] for c in classes][::step], rotation=90, fontsize=7)
    quality.set_xlim(-0.7, len(classes) - 0.3)
    for axes in (frequency, quality):
        axes.spines[["top", "right"]].set_visible(False)
    save_figure(figure, path)


def _bars(axes: Any, offset: float, heights: Sequence[float] | Floats, width: float, label: str, color: str) -> None:
    """Bars at 0, 1, 2, ... as one object: a thousand of matplotlib's own take seconds."""
    from matplotlib.collections import PolyCollection

    left = np.arange(len(heights)) + offset - width / 2
    top = np.asarray(heights, float)
    corners = [(left, 0 * top), (left, top), (left + width, top), (left + width, 0 * top)]
    polygons = np.stack([np.stack(corner, axis=-1) for corner in corners], axis=1)
    axes.add_collection(PolyCollection(list(polygons), facecolors=color, edgecolors="none", label=label))
    axes.autoscale_view()


_NAMED = 80  # classes whose names can still be read
_NUMBERED = 20  # ... and whose cells have room for a number
_HIDDEN = 0.005  # shares that the paper hides, too


def confusion_plot(panels: Sequence[tuple[str, Confusion]], path: Path) -> None:
    """Draw confusion matrices of the same classes beside each other.

    A column is a true class, its cells the shares of its images that were called each class (rows);
    the class's frequency stands on top of the column, the overall accuracy in the title.

    Args:
        panels: What called the images, and how.
        path: PNG file to write.
    """
    count = len(panels[0][1].classes)
    side = min(16.0, 3.0 + 0.26 * count)
    figure = new_figure(len(panels) * side + 1.0, side + 0.6)
    drawn = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (name, confusion) in zip(drawn, panels, strict=True):
        image = _draw(axes, name, confusion)
    figure.colorbar(image, ax=list(drawn), shrink=0.7, label="share of the true class")
    save_figure(figure, path)


def _draw(axes: Any, name: str, confusion: Confusion) -> Any:
    classes, share = confusion.classes, confusion.shares.T  # a column is a true class
    count = len(classes)
    # Shares are resampled, not colours: of a thousand classes those would take 250 MiB.
    image = axes.imshow(share.astype(np.float32), cmap="Blues", vmin=0, vmax=1, interpolation_stage="data")
    step = max(1, count // _NAMED)
    size = 9 if count <= _NUMBERED else 6
    ticks, names = np.arange(0, count, step), list(classes[::step])
    axes.set_xticks(ticks, names, rotation=90, fontsize=size)
    axes.set_yticks(ticks, names, fontsize=size)
    if count <= _NUMBERED:
        for row, column in np.argwhere(share >= _HIDDEN):
            value = share[row, column]
            axes.text(
                column,
                row,
                f"{100 * value:.0f}",
                ha="center",
                va="center",
                fontsize=7,
                color="white" if value > 0.55 else "0.2",
                in_layout=False,  # it lies within its cell, and measuring a hundred of them takes longer than all else
            )
        for column, frequency in enumerate(confusion.frequency):
            axes.text(column, -0.62, f"{100 * frequency:.1f}", ha="center", va="bottom", fontsize=6.5, color="0.35")
    else:  # no room for numbers: bars instead
        top = axes.inset_axes((0, 1.01, 1, 0.06), sharex=axes)
        _bars(top, 0, confusion.frequency, 1.0, "", "0.55")
        top.set_ylim(bottom=0)
        top.set_axis_off()
    top = "on top: its share of the images, in %" if count <= _NUMBERED else "bars: its share of the images"
    axes.set_xlabel(f"true class ({top})")
    axes.set_ylabel(name)
    accuracy = "" if confusion.accuracy is None else f", overall accuracy {100 * confusion.accuracy:.2f} %"
    axes.set_title(f"{name}: {confusion.images:,} images{accuracy}", fontsize=10, loc="left", pad=22)
    return image
