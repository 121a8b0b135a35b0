"""What lies here is named in its files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nlcli.stages.files import atomic_path

Lines = Sequence[tuple[str, str]]
"""Texts and their colours."""
_SIDE, _GAP, _LINE = 2.6, 0.25, 0.19  # inches
_PIXELS = 320  # side of a photograph


def photograph_grid(cells: Sequence[tuple[Path, Lines]], path: Path, columns: int = 4) -> None:
    """Draw image files in rows of ``columns``, their lines below them, and write the figure to ``path``."""
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


def show_photograph(axes: Any, path: Path) -> None:
    """Draw an image file in its own shape; one that cannot be read is said to be so."""
    from nlcli.networks.images import ImageError, Preprocessing, load_image

    try:
        pixels = load_image(path, Preprocessing(size=_PIXELS, resize="stretch", decode="fast"))
        width, height = _shape(path)
    except (ImageError, OSError):
        axes.text(0.5, 0.5, "cannot be read", transform=axes.transAxes, ha="center", color="0.3")
        pixels, width, height = np.full((1, 1, 3), 225, np.uint8), 1, 1
    axes.imshow(pixels, extent=(0, width, 0, height), aspect="equal")


def _shape(path: Path) -> tuple[int, int]:
    """Width and height of an image as it is looked at; only its header is read."""
    from PIL import Image

    with Image.open(path) as image:
        width, height = image.size
        turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)  # the orientation tag
    return (height, width) if turned else (width, height)


BLUE, ORANGE, GREY = "#2b6c8f", "#c8702a", "#8a8a8a"
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


def key_end(key: str, most: int = 36) -> str:
    """A key in at most so many characters: of a long one its end, which is the file's name."""
    return key if len(key) <= most else "..." + key[3 - most :]
