"""Scenes of scikit-learn's handwritten digits with COCO's annotations.

A scene shows one to five digits of several sizes, colours and stroke weights, light on dark or dark
on light, sometimes on a card, moderately overlapping, among shapes that are not digits.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nlcli.console import progress
from nlcli.data.sources.digit_painting import (
    CATEGORIES,
    DIGITS,
    SHAPES,
    TEXTURES,
    Painter,
    Placed,
    Weight,
    digit_mask,
    glyphs,
    shape_mask,
)
from nlcli.stages.files import atomic_path

_PARTS_STREAM, _STREAMS = 0, {"train": 1, "val": 2}
_PARTS = (0.38, 0.24)  # of the digit images: training scenes, validation scenes; the rest: classifier


def write_scenes(
    directory: Path, parts: dict[str, np.ndarray], counts: dict[str, int], side: int, seed: int
) -> dict[str, int]:
    """Write ``images/NAME/NUMBER.jpg`` and ``annotations/instances_NAME.json`` of train and val.

    Args:
        parts: See ``part_digits``.
        counts: Scenes of each.
        side: Theirs, in pixels.

    Returns:
        Annotated objects of each.
    """
    objects = {}
    with progress(sum(counts.values()), "drawing scenes of digits", unit="images") as bar:
        for name, count in counts.items():
            folder = directory / "images" / name
            folder.mkdir(parents=True, exist_ok=True)
            scenes = []
            for number in range(count):
                rng = np.random.default_rng([seed, _STREAMS[name], number])
                picture, placed = draw_scene(parts[name], side, rng)
                _write_jpeg(folder / f"{number + 1:012d}.jpg", picture, int(rng.integers(70, 96)))
                scenes.append(placed)
                bar.advance()
            annotations = instances(scenes, side)
            (directory / "annotations").mkdir(exist_ok=True)
            with atomic_path(directory / "annotations" / f"instances_{name}.json") as temporary:
                temporary.write_text(json.dumps(annotations), encoding="utf-8")
            objects[name] = len(annotations["annotations"])
    return objects


def part_digits(seed: int) -> dict[str, np.ndarray]:
    """Rows of ``glyphs()`` for training scenes (train), validation scenes (val), classifier (single)."""
    _, values = glyphs()
    order = np.random.default_rng([seed, _PARTS_STREAM]).permutation(len(values))
    ends = np.rint(np.cumsum(_PARTS) * len(order)).astype(int)
    train, val, single = np.split(order, ends)
    return {"train": np.sort(train), "val": np.sort(val), "single": np.sort(single)}


def draw_scene(pool: NDArray[np.int64], size: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], list[Placed]]:
    """A scene of one to five digits out of ``pool`` (rows of ``glyphs()``) and up to two shapes.

    Returns:
        The picture ``(size, size, 3)`` uint8, and its objects, digits and shapes alike.
    """
    images, values = glyphs()
    light = bool(rng.random() < 0.5)
    painter = Painter(size, light, str(rng.choice(TEXTURES)), rng)
    digits = int(rng.choice(5, p=(0.34, 0.30, 0.19, 0.11, 0.06))) + 1
    shapes = int(rng.choice(3, p=(0.6, 0.3, 0.1)))
    # Digits are not equally common, as COCO's classes are not.
    weights = 1 / (1 + 0.2 * values[pool])
    chosen = rng.choice(pool, size=digits, replace=False, p=weights / weights.sum())
    objects: list[int] = [int(row) for row in chosen] + [-1 - int(rng.integers(len(SHAPES))) for _ in range(shapes)]
    rng.shuffle(objects)
    for item in objects:
        side = int(size * rng.uniform(0.28 + 0.14 / digits, 0.42 + 0.32 / digits))  # the more, the smaller
        weight: Weight = "thin" if rng.random() < 0.5 else "bold"
        if item >= 0:
            mask, category = digit_mask(images[item], side, weight, rng), int(values[item])
        else:
            category = len(DIGITS) - 1 - item
            mask = shape_mask(CATEGORIES[category], side, weight, rng)
        own = light if rng.random() < 0.15 else not light
        contrast = rng.uniform(0.28, 0.75)
        for _ in range(12):
            x, y = (int(v) for v in rng.integers(0, size - side + 1, 2))
            if painter.fits(mask, x, y):
                painter.place(category, mask, x, y, own, contrast)
                break
    return painter.picture(), painter.objects()


def instances(scenes: list[list[Placed]], size: int) -> dict[str, Any]:
    """COCO's instances of ``scenes``; image ids count from 1, as the file names do."""
    images = [
        {"id": number, "file_name": f"{number:012d}.jpg", "width": size, "height": size}
        for number in range(1, len(scenes) + 1)
    ]
    annotations: list[dict[str, Any]] = []
    for image, placed in enumerate(scenes, start=1):
        for item in placed:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": item.category + 1,
                    "iscrowd": 0,
                    "bbox": list(item.box),
                    "area": item.area,
                    "segmentation": item.polygons,
                }
            )
    categories = [
        {"id": number, "name": name, "supercategory": "digit" if name in DIGITS else "shape"}
        for number, name in enumerate(CATEGORIES, start=1)
    ]
    about = {"description": "Scenes of handwritten digits (UCI Optical Recognition of Handwritten Digits, CC BY 4.0)"}
    return {"info": about, "licenses": [], "images": images, "annotations": annotations, "categories": categories}


def _write_jpeg(path: Path, picture: np.ndarray, quality: int) -> None:
    content = io.BytesIO()
    Image.fromarray(picture).save(content, "JPEG", quality=quality)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.getvalue())
