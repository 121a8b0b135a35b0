"""The embedded single-label data: pictures of one handwritten digit each, in SPLIT/CLASS folders.

A picture shows one of scikit-learn's digits, shifted, turned, of several sizes and stroke weights,
light on dark or dark on light, on a texture, over a faint shape that is no digit; as on a house
number, parts of its neighbours may stand at the edges. The 1,797 digit images are parted three
ways first, so that no digit of train, be it a neighbour, is in validation or test.

``confusion.csv`` beside the pictures is a noise model for ``nlcli add-noise --kind matrix``: what
each digit is mistaken for, 38 % of the labels wrong, most of them in favour of one or two classes
that look alike, as in Clothing1M (Xiao 2015, figure 6).
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nlcli.console import progress
from nlcli.data.labels import SPLITS
from nlcli.data.sources.digit_painting import DIGITS, SHAPES, TEXTURES, Painter, Weight, digit_mask, glyphs, shape_mask
from nlcli.stages.files import atomic_path, write_csv

PARTS = (0.6, 0.2, 0.2)
"""Shares of the digit images that the pictures of train, validation and test are drawn from."""
CONFUSION = "confusion.csv"

_STREAM_PARTS, _STREAM_PICTURES = 0x70617274, 0x70696374
_ALIKE = {  # what a hasty person writes down instead, in percent of the digit's pictures
    "zero": {"six": 15, "eight": 7},
    "one": {"seven": 36, "four": 6},
    "two": {"seven": 15, "three": 11},
    "three": {"eight": 29, "five": 16},
    "four": {"nine": 40, "one": 6},
    "five": {"three": 17, "six": 15},
    "six": {"zero": 17, "five": 11},
    "seven": {"one": 19, "two": 8},
    "eight": {"three": 28, "zero": 6},
    "nine": {"four": 29, "seven": 14},
}
_ELSE = 0.5  # percent for every class that does not look alike


def write_folders(directory: Path, counts: dict[str, int], size: int, seed: int) -> dict[str, int]:
    """Write ``images/SPLIT/CLASS/NUMBER.png`` and ``confusion.csv`` into ``directory``.

    Args:
        counts: Pictures of train, validation and test.
        size: Their side in pixels.

    Returns:
        Pictures of every class, of all splits together.
    """
    parts = part_digits(seed)
    _, values = glyphs()
    written = dict.fromkeys(DIGITS, 0)
    with progress(sum(counts.values()), "drawing pictures of single digits", unit="images") as bar:
        for split, count in counts.items():
            pool = parts[split]
            for number in range(count):
                rng = np.random.default_rng([seed, _STREAM_PICTURES, SPLITS.index(split), number])
                row = int(rng.choice(pool))
                name = DIGITS[values[row]]
                picture = draw_digit(row, pool, size, rng)
                folder = directory / "images" / split / name
                folder.mkdir(parents=True, exist_ok=True)
                content = io.BytesIO()
                Image.fromarray(picture).save(content, "PNG")
                with atomic_path(folder / f"{number + 1:06d}.png") as temporary:
                    temporary.write_bytes(content.getvalue())
                written[name] += 1
                bar.advance()
    write_confusion(directory / CONFUSION)
    return written


def part_digits(seed: int) -> dict[str, NDArray[np.int64]]:
    """Rows of ``glyphs()`` that the pictures of each split are drawn from, none in two of them."""
    _, values = glyphs()
    order = np.random.default_rng([seed, _STREAM_PARTS]).permutation(len(values))
    ends = np.rint(np.cumsum(PARTS)[:-1] * len(order)).astype(int)
    return {split: np.sort(rows) for split, rows in zip(SPLITS, np.split(order, ends), strict=True)}


def draw_digit(row: int, pool: NDArray[np.int64], size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A picture (size, size, 3) of the digit ``row`` of ``glyphs()``; neighbours are of ``pool``."""
    images, _ = glyphs()
    light = bool(rng.random() < 0.5)
    painter = Painter(size, light, str(rng.choice(TEXTURES)), rng)
    side = int(size * rng.uniform(0.55, 0.85))
    contrast = rng.uniform(0.25, 0.7)
    for _ in range(int(rng.integers(0, 3))):
        shape = shape_mask(str(rng.choice(SHAPES)), int(size * rng.uniform(0.25, 0.6)), "thin", rng)
        x, y = (int(v) for v in rng.integers(0, size - len(shape) + 1, 2))
        painter.place(0, shape, x, y, not light, 0.4 * contrast)
    x, y = (int(v) for v in rng.integers(0, size - side + 1, 2))
    for left in (True, False):
        if rng.random() < 0.5:
            _place_neighbour(painter, images[int(rng.choice(pool))], side, x, y, left, not light, contrast, rng)
    weight: Weight = "thin" if rng.random() < 0.5 else "bold"
    painter.place(0, digit_mask(images[row], side, weight, rng), x, y, not light, contrast)
    return painter.picture()


def _place_neighbour(
    painter: Painter,
    glyph: NDArray[np.uint8],
    side: int,
    x: int,
    y: int,
    left: bool,
    light: bool,
    contrast: float,
    rng: np.random.Generator,
) -> None:
    """Draw a digit to the left or right of the one at ``x``, ``y``, if at most half of it is in the picture."""
    mask = digit_mask(glyph, side, "thin", rng)
    start = x + int(side * rng.uniform(0.85, 1.0)) * (-1 if left else 1)
    inside = slice(max(-start, 0), min(painter.size - start, side))
    if 1 < inside.stop - inside.start <= side // 2:
        painter.place(0, mask[:, inside], start + inside.start, y, light, contrast)


def confusion() -> NDArray[np.float64]:
    """(10, 10) percent of the pictures of a digit (row) that get a label (column); rows sum to 100."""
    shares = np.full((len(DIGITS), len(DIGITS)), _ELSE)
    for true, others in _ALIKE.items():
        for noisy, percent in others.items():
            shares[DIGITS.index(true), DIGITS.index(noisy)] = percent
    np.fill_diagonal(shares, 0)
    np.fill_diagonal(shares, 100 - shares.sum(axis=1))
    return shares


def write_confusion(path: Path) -> None:
    """Write ``confusion()`` in the form that ``nlcli add-noise --matrix`` reads."""
    rows = ((name, *(f"{value:g}" for value in row)) for name, row in zip(DIGITS, confusion(), strict=True))
    write_csv(path, ("true", *DIGITS), rows)
