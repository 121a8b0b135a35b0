"""The canvas of every plot: figures without a window system, colours, photographs with lines below them."""

from __future__ import annotations

import io
import sys
import textwrap
import warnings
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from nlcli.errors import printable
from nlcli.fonts import drawable, others, own_font, runs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from PIL.Image import Image as PicturePixels
    from PIL.ImageDraw import ImageDraw
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
_LONGEST_NAME, _MOST_LINES = 60, 40
_CHARACTER = 0.07  # inches, of a small font
_DPI = 120
_PACKED: dict[str, Any] = {"compress_level": 4}
"""Of zlib's nine levels the first that packs well; the usual sixth takes twice as long for 6 % less."""
_PHOTOGRAPHS_PACKED: dict[str, Any] = {"compress_level": 1, "compress_type": zlib.Z_RLE}
"""Of photographs nearly as small as with ``_PACKED``, in 0.6 of the time: little of them is repeated."""


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
    _import_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _import_matplotlib() -> None:
    """Without the lists of properties for ``help``, which take nearly half of the time, where nobody asks for help."""
    if "matplotlib" in sys.modules or "IPython" in sys.modules or hasattr(sys, "ps1"):
        return
    from matplotlib import artist

    listed = artist.kwdoc
    artist.kwdoc = lambda artist: ""
    try:
        import matplotlib.figure  # noqa: F401
    finally:
        artist.kwdoc = listed


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG or an SVG, by the suffix; a figure that cannot be drawn leaves no file.

    Without the library's version and the date in it, the same figure gives the same bytes. Texts come out as they are:
    no formulas in them, no control characters, and none so long that nothing else has room.
    """
    drawn = io.BytesIO()
    _make_plain(figure)
    with warnings.catch_warnings():
        # Where many long names leave no room they overlap; in the tables they are whole. A number at an axis may have a
        # sign that no font has.
        warnings.filterwarnings("ignore", message=r"Glyph \d+ |constrained_layout not applied")
        if path.suffix == ".png":
            _write_png(figure, drawn)
        else:
            from matplotlib import rc_context

            with rc_context({"svg.hashsalt": "nlcli"}):
                figure.savefig(drawn, format=path.suffix.removeprefix("."), metadata={"Date": None, "Creator": None})
    path.write_bytes(drawn.getvalue())


def _make_plain(figure: Figure) -> None:
    """Texts of ``figure`` as they are to be read; numbers at axes stay, which may be formulas."""
    from matplotlib.text import Text
    from matplotlib.ticker import FixedFormatter, FuncFormatter

    width, height = figure.get_size_inches().tolist()
    numbers: set[int] = set()
    names: dict[int, int] = {}  # of texts that stand beside something, the most characters
    for axes in figure.axes:
        for axis, room in ((axes.xaxis, height), (axes.yaxis, width)):  # names below an axis stand upright
            formatter = axis.get_major_formatter()
            ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
            labels = [id(label) for tick in ticks for label in (tick.label1, tick.label2)]
            if isinstance(formatter, FixedFormatter | FuncFormatter):
                most = _fitting(room / 2)
                names |= dict.fromkeys(labels, most)
                axis.set_major_formatter(FuncFormatter(partial(_plain_label, formatter, most)))
            else:
                numbers |= set(labels)
    for legend in (*figure.legends, *(axes.get_legend() for axes in figure.axes)):
        names |= {id(text): _fitting(width / 2) for text in (legend.get_texts() if legend else ())}
    for text in figure.findobj(Text):
        if isinstance(text, Text) and id(text) not in numbers:
            text.set_parse_math(False)
            text.set_text(_plain(text.get_text(), names.get(id(text), int(width / _CHARACTER))))
    _give_fonts(figure)


def _give_fonts(figure: Figure) -> None:
    """To all texts the fonts of the system that one of them needs, behind matplotlib's own."""
    from matplotlib.ft2font import FT2Font
    from matplotlib.text import Text
    from matplotlib.ticker import FuncFormatter

    texts = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    axes_with_names = [
        axis
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        if isinstance(axis.get_major_formatter(), FuncFormatter)  # numbers need no other font
    ]
    labels = [label.get_text() for axis in axes_with_names for label in axis.get_ticklabels()]
    files = others([*labels, *(text.get_text() for text in texts)])
    if not files:
        return
    from matplotlib.font_manager import fontManager

    for file in files:
        fontManager.addfont(file)
    families = [FT2Font(str(file)).family_name for file in (own_font(), *files)]
    for text in texts:
        text.set_fontfamily(families)


def _plain_label(formatter: Callable[[float, int | None], str], most: int, value: float, place: int | None) -> str:
    return _plain(formatter(value, place), most)


def _fitting(inches: float) -> int:
    """Characters of a name for which there is so much room."""
    return max(8, min(_LONGEST_NAME, int(inches / _CHARACTER)))


def _plain(text: str, most: int) -> str:
    shown = drawable(printable(text, None, keep="\n"))
    return "\n".join(cut(line, most) for line in shown.split("\n")[:_MOST_LINES])


def _write_png(figure: Figure, to: io.BytesIO) -> None:
    """Drawn once: ``savefig`` draws a figure with a layout twice, and takes as long again to pack photographs."""
    from PIL import Image

    figure.set_dpi(_DPI)
    canvas: Any = figure.canvas  # Agg, see new_figure
    canvas.draw()
    pixels = Image.fromarray(np.asarray(canvas.buffer_rgba())[:, :, :3])
    pixels.save(to, format="png", dpi=(_DPI, _DPI), **_PACKED)


def plain_axes(axes: Axes, grid: Literal["x", "y", "both"] | None = None) -> None:
    """Two spines, and a faint grid along ``grid`` (x, y or both) behind what is drawn."""
    if grid is not None:
        axes.grid(axis=grid, color="0.92", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def bin_count(values: int) -> int:
    """Bins of a histogram of so many values: twice their cube root (Rice's rule), so that bins are not mostly empty."""
    return int(np.clip(np.ceil(2 * values ** (1 / 3)), 5, _MOST_BINS))


def photograph_grid(
    cells: Sequence[tuple[Photograph | None, Lines]], path: Path, columns: int = 4, meaning: str = ""
) -> None:
    """Draw photographs in rows of ``columns``, their lines below them, and write the picture to ``path``, a PNG.

    Without matplotlib, whose axes take longer to make than fifty photographs to draw.

    Args:
        meaning: Lines at the foot, on what signs and colours say.
    """
    from PIL import Image, ImageDraw

    columns = min(columns, len(cells))
    grid = [range(start, min(start + columns, len(cells))) for start in range(0, len(cells), columns)]
    # Heights: the photograph, and as many lines of text as its row needs.
    side, gap, line = (round(_DPI * inches) for inches in (_SIDE, _GAP, _LINE))
    heights = [side + line * (max(len(cells[i][1]) for i in row) + 1) for row in grid]
    room = int(columns * (_SIDE + _GAP) / _CHARACTER)
    foot = [part for told in meaning.splitlines() for part in textwrap.wrap(told, room)]
    picture = Image.new("RGB", (columns * (side + gap) + gap, sum(heights) + gap + line * len(foot)), "white")
    draw = ImageDraw.Draw(picture)
    top = gap
    for row, height in zip(grid, heights, strict=True):
        for column, i in enumerate(row):
            left, bottom = gap + column * (side + gap), top + side
            photograph, lines = cells[i]
            if photograph is None:
                draw.rectangle((left, top, left + side - 1, bottom - 1), fill=(225, 225, 225))
                draw.text(
                    (left + side / 2, top + side / 2), _UNREADABLE, _rgb("0.3"), _font(_DPI * _POINTS / 72), anchor="mm"
                )
            else:
                seen = _scaled(photograph, side)
                picture.paste(seen, (left, bottom - seen.height))
            for number, (text, color) in enumerate(lines):
                words = _plain(text, _LONGEST_NAME).replace("\n", " ")
                _write(draw, left, bottom + 7 + line * number, words, _rgb(color))
        top += height
    for number, text in enumerate(foot):
        _write(draw, gap, top + line * number, _plain(text, len(text)), _rgb("0.4"))
    drawn = io.BytesIO()
    picture.save(drawn, format="png", dpi=(_DPI, _DPI), **_PHOTOGRAPHS_PACKED)
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
def _font(size: float, path: Path | None = None) -> FreeTypeFont:
    from PIL import ImageFont

    return ImageFont.truetype(path or own_font(), size)


def _write(draw: ImageDraw, left: float, top: float, words: str, color: tuple[int, int, int]) -> None:
    """A line of text, each part of it in the font that has it, on one base line."""
    size = _DPI * _POINTS / 72
    bottom = top + _font(size).getmetrics()[0]
    for part, path in runs(words):
        font = _font(size, path)
        draw.text((left, bottom), part, color, font, anchor="ls")
        left += font.getlength(part)


def show_photograph(axes: Any, photograph: Photograph | None) -> None:
    """Draw a photograph in its own shape; one that could not be read (None) is said to be so."""
    if photograph is None:
        axes.text(0.5, 0.5, _UNREADABLE, transform=axes.transAxes, ha="center", color="0.3")
        photograph = Photograph(np.full((1, 1, 3), 225, np.uint8), 1, 1)
    axes.imshow(photograph.pixels, extent=(0, photograph.width, 0, photograph.height), aspect="equal")


def cut(text: str, most: int) -> str:
    """A name in at most so many characters: of a long one its beginning."""
    return text if len(text) <= most else text[: most - 4].rstrip() + " ..."


def key_end(key: str, most: int = 36) -> str:
    """A key in at most so many characters: of a long one its end, which is the file's name."""
    return key if len(key) <= most else "..." + key[3 - most :]
