"""The canvas of every plot: figures without a window system, colours, photographs with lines below them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from PIL.Image import Image as PicturePixels
    from PIL.ImageFont import FreeTypeFont

# Blue and orange tell apart for every common colour vision; what is right or wrong also carries a sign.
BLUE, ORANGE, GREY = "#2b6c8f", "#c8702a", "#8a8a8a"
SIGNS = {"right": ("✓", BLUE), "wrong": ("✗", ORANGE), "unverified": ("?", GREY)}
# Okabe and Ito's colours, told apart under every common colour vision; markers differ as well.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D1F")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
Lines = Sequence[tuple[str, str]]
"""Texts and their colours."""
_SIDE, _GAP, _LINE = 2.6, 0.25, 0.19  # inches
_POINTS = 8.5
_UNREADABLE = "cannot be read"
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
    _write_pixels(Image.fromarray(np.asarray(canvas.buffer_rgba())[:, :, :3]), to)


def _write_pixels(picture: PicturePixels, to: io.BytesIO) -> None:
    picture.save(to, format="png", dpi=(_DPI, _DPI), compress_level=_PACKED)


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
    """Draw photographs in rows of ``columns``, their lines below them, and write the picture to ``path``, a PNG.

    Without matplotlib, whose axes take longer to make than fifty photographs to draw.
    """
    from PIL import Image, ImageDraw

    columns = min(columns, len(cells))
    grid = [range(start, min(start + columns, len(cells))) for start in range(0, len(cells), columns)]
    # Heights: the photograph, and as many lines of text as its row needs.
    side, gap, line = (round(_DPI * inches) for inches in (_SIDE, _GAP, _LINE))
    heights = [side + line * (max(len(cells[i][1]) for i in row) + 1) for row in grid]
    picture = Image.new("RGB", (columns * (side + gap) + gap, sum(heights) + gap), "white")
    draw, font = ImageDraw.Draw(picture), _font(_DPI * _POINTS / 72)
    top = gap
    for row, height in zip(grid, heights, strict=True):
        for column, i in enumerate(row):
            left, bottom = gap + column * (side + gap), top + side
            photograph, lines = cells[i]
            if photograph is None:
                draw.rectangle((left, top, left + side - 1, bottom - 1), fill=(225, 225, 225))
                draw.text((left + side / 2, top + side / 2), _UNREADABLE, _rgb("0.3"), font, anchor="mm")
            else:
                seen = _scaled(photograph, side)
                picture.paste(seen, (left, bottom - seen.height))
            for number, (text, color) in enumerate(lines):
                draw.text((left, bottom + 7 + line * number), text, _rgb(color), font)
        top += height
    drawn = io.BytesIO()
    _write_pixels(picture, drawn)
    path.write_bytes(drawn.getvalue())


def _scaled(photograph: Photograph, side: int) -> PicturePixels:
    """A photograph in its own shape, as large as a square of ``side`` pixels holds."""
    from PIL import Image

    longest = max(photograph.width, photograph.height)
    width, height = (max(1, round(side * part / longest)) for part in (photograph.width, photograph.height))
    return Image.fromarray(photograph.pixels).resize((width, height), Image.Resampling.BILINEAR)


def _rgb(color: str) -> tuple[int, int, int]:
    """A colour as matplotlib takes it, ``#rrggbb`` or a share of white."""
    if color.startswith("#"):
        return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
    grey = round(255 * float(color))
    return grey, grey, grey


@cache
def _font(size: float) -> FreeTypeFont:
    """Matplotlib's own, so that all plots have one and the signs are in it; found without importing that."""
    from PIL import ImageFont

    found = find_spec("matplotlib")
    assert found is not None
    assert found.origin is not None
    return ImageFont.truetype(Path(found.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf", size)


def show_photograph(axes: Any, photograph: Photograph | None) -> None:
    """Draw a photograph in its own shape; one that could not be read (None) is said to be so."""
    if photograph is None:
        axes.text(0.5, 0.5, _UNREADABLE, transform=axes.transAxes, ha="center", color="0.3")
        photograph = Photograph(np.full((1, 1, 3), 225, np.uint8), 1, 1)
    axes.imshow(photograph.pixels, extent=(0, photograph.width, 0, photograph.height), aspect="equal")


def key_end(key: str, most: int = 36) -> str:
    """A key in at most so many characters: of a long one its end, which is the file's name."""
    return key if len(key) <= most else "..." + key[3 - most :]
