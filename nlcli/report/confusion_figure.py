"""Figure of confusion matrices as Xiao et al. 2015 draw them in figure 6."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nlcli.label_confusion import Confusion
from nlcli.report.evaluation_figures import new_figure, save_figure

_NAMED = 80  # classes whose names can still be read
_NUMBERED = 20  # ... and whose cells have room for a number
_HIDDEN = 0.005  # shares that the paper hides, too


def confusion_figure(panels: Sequence[tuple[str, Confusion]], path: Path) -> None:
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
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    step = max(1, count // _NAMED)
    size = 9 if count <= _NUMBERED else 6
    ticks, names = np.arange(0, count, step), list(classes[::step])
    axes.set_xticks(ticks, names, rotation=90, fontsize=size)
    axes.set_yticks(ticks, names, fontsize=size)
    if count <= _NUMBERED:
        for row, column in np.argwhere(share >= _HIDDEN):
            value = share[row, column]
            axes.text(
                column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=7,
                color="white" if value > 0.55 else "0.2",
            )
        for column, frequency in enumerate(confusion.frequency):
            axes.text(column, -0.62, f"{100 * frequency:.1f}", ha="center", va="bottom", fontsize=6.5, color="0.35")
    else:  # no room for numbers: bars instead
        top = axes.inset_axes((0, 1.01, 1, 0.06), sharex=axes)
        top.bar(np.arange(count), confusion.frequency, 1.0, color="0.55")
        top.set_axis_off()
    top = "on top: its share of the images, in %" if count <= _NUMBERED else "bars: its share of the images"
    axes.set_xlabel(f"true class ({top})")
    axes.set_ylabel(name)
    accuracy = "" if confusion.accuracy is None else f", overall accuracy {confusion.accuracy:.2%}"
    axes.set_title(f"{name}: {confusion.images:,} images{accuracy}", fontsize=10, loc="left", pad=22)
    return image
