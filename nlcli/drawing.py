"""The canvas of every plot: figures without a window system, colours, photographs with lines below them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Blue and orange tell apart for every common colour vision; what is right or wrong also carries a sign.
BLUE, ORANGE, GREY = "#2b6c8f", "#c8702a", "#8a8a8a"
SIGNS = {"right": ("✓", BLUE), "wrong": ("✗", ORANGE), "unverified": ("?", GREY)}
# Okabe and Ito's colours, told apart under every common colour vision; markers differ as well.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D1F")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
Lines = Sequence[tuple[str, str]]
"""Texts and their colours."""
_SIDE, _GAP, _LINE = 2.6, 0.25, 0.19  # inches
_MOST_BINS = 40
_DPI = 120
_PACKED = 4
"""Of zlib's nine levels the first that packs photographs well; the usual sixth takes twice as long for 6 % less."""


@dataclass(frozen=True)
class Photograph:
    """Pixels to be drawn in the shape that the image has.

    Attributes:
        pixels: (h, w, 3) uint8, of any shape.
        width, height: Of the image as it is looked at.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int


def new_figure(width: float, height: float) -> Figure:
    """A figure of so many inches with its own canvas: pyplot would keep it and pick a window system."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG or an SVG, by the suffix; a figure that cannot be drawn leaves no file.

    Without the library's version and the date in it, the same figure gives the same bytes.
    """
    drawn = io.BytesIO()
    if path.suffix == ".png":
        _write_png(figure, drawn)
    else:
        from matplotlib import rc_context

        with rc_context({"svg.hashsalt": "nlcli"}):
            figure.savefig(drawn, format=path.suffix.removeprefix("."), metadata={"Date": None, "Creator": None})
    path.write_bytes(drawn.getvalue())


def _write_png(figure: Figure, to: io.BytesIO) -> None:
    """Drawn once: ``savefig`` draws a figure with a layout twice, and takes as long again to pack photographs."""
    from PIL import Image

    figure.set_dpi(_DPI)
    canvas: Any = figure.canvas  # Agg, see new_figure
    canvas.draw()
    pixels = Image.fromarray(np.asarray(canvas.buffer_rgba())[:, :, :3])
    pixels.save(to, format="png", dpi=(_DPI, _DPI), compress_level=_PACKED)


def plain_axes(axes: Axes, grid: Literal["x", "y", "both"] | None = None) -> None:
    """Two spines, and a faint grid along ``grid`` (x, y or both) behind what is drawn."""
    if grid is not None:
        axes.grid(axis=grid, color="0.92", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def bin_count(values: int) -> int:
    """Bins of a histogram of so many values: twice their cube root (Rice's rule), so that bins are not mostly empty."""
    return int(np.clip(np.ceil(2 * values ** (1 / 3)), 5, _MOST_BINS))


def photograph_grid(cells: Sequence[tuple[Photograph | None, Lines]], path: Path, columns: int = 4) -> None:
    """Draw photographs in rows of ``columns``, their lines below them, and write the figure to ``path``."""
    columns = min(columns, len(cells))
    grid = [range(start, min(start + columns, len(cells))) for start in range(0, len(cells), columns)]
    # Heights in inches: the photograph, and as many lines of text as its row needs.
    heights = [_SIDE + _LINE * (max(len(cells[i][1]) for i in row) + 1) for row in grid]
    width, height = columns * (_SIDE + _GAP) + _GAP, sum(heights) + _GAP
    figure = new_figure(width, height)
    figure.set_layout_engine("none")
    top = height - _GAP
    for row, row_height in zip(grid, heights, strict=True):
        for column, i in enumerate(row):
            left = _GAP + column * (_SIDE + _GAP)
            bottom = top - _SIDE
            axes = figure.add_axes((left / width, bottom / height, _SIDE / width, _SIDE / height))
            axes.set_axis_off()
            axes.set_anchor("SW")
            show_photograph(axes, cells[i][0])
            for number, (text, color) in enumerate(cells[i][1]):
                y = (bottom - 0.06 - _LINE * number) / height
                figure.text(left / width, y, text, fontsize=8.5, color=color, va="top", parse_math=False)
        top -= row_height
    save_figure(figure, path)


def show_photograph(axes: Any, photograph: Photograph | None) -> None:
    """Draw a photograph in its own shape; one that could not be read (None) is said to be so."""
    if photograph is None:
        axes.text(0.5, 0.5, "cannot be read", transform=axes.transAxes, ha="center", color="0.3")
        photograph = Photograph(np.full((1, 1, 3), 225, np.uint8), 1, 1)
    axes.imshow(photograph.pixels, extent=(0, photograph.width, 0, photograph.height), aspect="equal")


def key_end(key: str, most: int = 36) -> str:
    """A key in at most so many characters: of a long one its end, which is the file's name."""
    return key if len(key) <= most else "..." + key[3 - most :]
