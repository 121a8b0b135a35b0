"""Pictures of scikit-learn's handwritten digits in the making: glyphs, masks, grounds, and where objects ended up.

The same painter draws scenes of several objects, the pictures of a single one from which the annotating
classifier learns, and those of the single-label data.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SHAPES = ("ring", "cross", "bar", "triangle")
TEXTURES = ("blank", "stripes", "checks", "blotches")
CATEGORIES = DIGITS + SHAPES  # a scene's annotated objects; category id = position + 1

Weight = Literal["thin", "bold"]
_GLYPH = 32  # side of the enlarged digit images
_MARGIN = 4  # pixels around a glyph, so that rotation does not cut it
_LEAST_VISIBLE = 0.65  # part of an object that later ones must leave in sight


@dataclass(frozen=True)
class Placed:
    """One annotated object: its category, bounding box (x, y, w, h), polygons and their area."""

    category: int
    box: tuple[float, float, float, float]
    polygons: list[list[float]]
    area: float


@functools.cache
def glyphs() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The 1,797 digit images enlarged to (1797, 40, 40) with a margin, and their values 0 to 9.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine
    Learning Repository, as bundled with scikit-learn (8 x 8 pixels, 0 to 16).
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    small = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    side = _GLYPH + 2 * _MARGIN
    large = np.zeros((len(small), side, side), np.uint8)
    for number, image in enumerate(small):
        enlarged = Image.fromarray(image).resize((_GLYPH, _GLYPH), Image.Resampling.BICUBIC)
        large[number, _MARGIN:-_MARGIN, _MARGIN:-_MARGIN] = np.asarray(enlarged)
    return large, digits.target.astype(np.int64)


def digit_mask(glyph: NDArray[np.uint8], side: int, weight: Weight, rng: np.random.Generator) -> NDArray[np.float32]:
    """Opacity in [0, 1] of a digit of ``side`` pixels: turned, sheared, thin or bold strokes."""
    angle, shear = math.radians(rng.uniform(-10, 10)), rng.uniform(-0.12, 0.12)
    squeeze = rng.uniform(0.9, 1.1)
    scale = glyph.shape[0] / side
    cos, sin = math.cos(angle) * scale, math.sin(angle) * scale
    a, b = cos * squeeze, (sin + shear * cos) * squeeze
    d, e = -sin, cos - shear * sin
    middle, half = glyph.shape[0] / 2, side / 2
    turned = Image.fromarray(glyph).transform(
        (side, side),
        Image.Transform.AFFINE,
        (a, b, middle - (a + b) * half, d, e, middle - (d + e) * half),
        Image.Resampling.BICUBIC,
    )
    # A digit's grey values fall off over a stroke's breadth, so a threshold sets its weight.
    threshold = 0.62 if weight == "thin" else 0.27
    grey = np.asarray(turned, np.float32) * np.float32(1 / 255)
    opacity: NDArray[np.float32] = np.clip((grey - threshold) * max(side / 9, 2.0) + 0.5, 0, 1)
    return opacity


def shape_mask(kind: str, side: int, weight: Weight, rng: np.random.Generator) -> NDArray[np.float32]:
    """Opacity in [0, 1] of something that is not a digit."""
    fine = 4 * side
    image = Image.new("L", (fine, fine))
    draw = ImageDraw.Draw(image)
    width = int(fine * (rng.uniform(0.06, 0.09) if weight == "thin" else rng.uniform(0.12, 0.17)))
    low, high = 0.15 * fine, 0.85 * fine
    middle = fine / 2
    if kind == "ring":
        draw.ellipse((low, low, high, high), outline=255, width=width)
    elif kind == "cross":
        draw.line((low, low, high, high), fill=255, width=width)
        draw.line((low, high, high, low), fill=255, width=width)
    elif kind == "bar":
        draw.line((low, middle, high, middle), fill=255, width=2 * width)
    elif kind == "triangle":
        draw.line((middle, low, high, high, low, high, middle, low, high, high), fill=255, width=width, joint="curve")
    else:
        raise ValueError(f"unknown shape {kind}")
    turn = rng.uniform(-60, 60) if kind in ("bar", "cross") else rng.uniform(-20, 20)
    image = image.rotate(turn, Image.Resampling.BILINEAR)
    return np.asarray(image.resize((side, side), Image.Resampling.BOX), np.float32) * np.float32(1 / 255)


def background(size: int, light: bool, kind: str, rng: np.random.Generator) -> NDArray[np.float32]:
    """A ground of ``(size, size, 3)`` in [0, 1], mostly light or mostly dark."""
    tone = rng.uniform(0.62, 0.92) if light else rng.uniform(0.06, 0.36)
    colour = np.clip(tone + rng.uniform(-0.12, 0.12, 3), 0, 1)
    swing = 0.02 if kind == "blank" else rng.uniform(0.03, 0.14)
    cells = 2 if kind == "blank" else int(rng.integers(3, 9))
    coarse = np.clip(colour + swing * rng.uniform(-1, 1, (cells, cells, 3)), 0, 1)
    ground = Image.fromarray(np.rint(coarse * 255).astype(np.uint8)).resize((size, size), Image.Resampling.BICUBIC)
    canvas = np.asarray(ground, np.float32) * np.float32(1 / 255)
    if kind in ("stripes", "checks"):
        period = size / rng.uniform(4, 11)
        across, down = np.meshgrid(np.arange(size, dtype=np.float32), np.arange(size, dtype=np.float32))
        turn = rng.uniform(0, math.pi)
        wave = np.sin((across * math.cos(turn) + down * math.sin(turn)) * (2 * math.pi / period))
        if kind == "checks":
            wave = wave * np.sin((down * math.cos(turn) - across * math.sin(turn)) * (2 * math.pi / period))
        canvas = canvas + np.float32(rng.uniform(0.02, 0.07)) * np.sign(wave)[..., None].astype(np.float32)
    return canvas + np.float32(rng.uniform(0.0, 0.025)) * rng.standard_normal((size, size, 1), np.float32)


class Painter:
    """A scene in the making: ``place`` objects, then read ``picture`` and ``objects``."""

    def __init__(self, size: int, light: bool, kind: str, rng: np.random.Generator) -> None:
        self.size, self.light, self.rng = size, light, rng
        self.canvas = background(size, light, kind, rng)
        self._owner = np.full((size, size), -1, np.int8)  # which object is seen at a pixel
        self._whole: list[int] = []  # pixels of each object when nothing covers it
        self._categories: list[int] = []

    def fits(self, mask: NDArray[np.float32], x: int, y: int) -> bool:
        """Whether an object there leaves enough of every earlier one in sight."""
        covered = self._owner[y : y + mask.shape[0], x : x + mask.shape[1]][mask > 0.5]
        covered = covered[covered >= 0]
        if not covered.size:
            return True
        lost = np.bincount(covered, minlength=len(self._whole))
        seen = np.bincount(self._owner[self._owner >= 0], minlength=len(self._whole)) - lost
        return bool(np.all(seen >= _LEAST_VISIBLE * np.asarray(self._whole)))

    def place(self, category: int, mask: NDArray[np.float32], x: int, y: int, light: bool, contrast: float) -> None:
        """Paint an object whose strokes are lighter or darker than the ground by ``contrast``."""
        height, width = mask.shape
        patch = self.canvas[y : y + height, x : x + width]
        if light == self.light:  # a light digit on a light ground: put a card behind it
            inset = max(height // 12, 1)
            card = patch[inset:-inset, inset:-inset]
            card[:] = (0.12 if light else 0.88) + self.rng.uniform(-0.1, 0.1, 3).astype(np.float32)
        level = float(patch.mean()) + (contrast if light else -contrast)
        ink = np.clip(level + self.rng.uniform(-0.22, 0.22, 3), 0, 1).astype(np.float32)
        patch += mask[..., None] * (ink - patch)
        number = len(self._categories)
        self._owner[y : y + height, x : x + width][mask > 0.5] = number
        self._whole.append(int(np.count_nonzero(mask > 0.5)))
        self._categories.append(category)

    def picture(self) -> NDArray[np.uint8]:
        """The scene as ``(size, size, 3)`` uint8."""
        return np.rint(np.clip(self.canvas, 0, 1) * 255).astype(np.uint8)

    def objects(self) -> list[Placed]:
        """What is visible of every object, as outlines."""
        placed = []
        for number, category in enumerate(self._categories):
            polygons = outlines(self._owner == number)
            if not polygons:
                continue
            points = np.concatenate(polygons)
            low, high = points.min(axis=0), points.max(axis=0)
            placed.append(
                Placed(
                    category=category,
                    box=(float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])),
                    polygons=[polygon.ravel().tolist() for polygon in polygons],
                    area=sum(abs(shoelace(polygon)) for polygon in polygons),
                )
            )
        return placed


def outlines(mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Outer contours ``(points, 2)`` of a mask in pixels (x, y); holes are filled, as COCO's are."""
    import contourpy

    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return []
    top, left = int(rows[0]), int(columns[0])
    cut = np.pad(mask[top : rows[-1] + 1, left : columns[-1] + 1], 1).astype(np.float32)
    lines = [np.asarray(line, np.float64) for line in contourpy.contour_generator(z=cut).lines(0.5)]
    # contourpy walks with the higher side on the left: outer contours turn one way, holes the other.
    outer = [line[:-1] for line in lines if shoelace(line[:-1]) > 0 and len(line) > 6]
    return [line + np.array([left - 0.5, top - 0.5]) for line in outer]


def shoelace(points: NDArray[np.float64]) -> float:
    """Signed area of a closed polygon ``(n, 2)``."""
    x, y = points[:, 0], points[:, 1]
    inner = np.dot(x[:-1], y[1:]) - np.dot(y[:-1], x[1:])
    return 0.5 * float(inner + x[-1] * y[0] - y[-1] * x[0])
