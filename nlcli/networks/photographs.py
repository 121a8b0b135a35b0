"""Image files as plots show them."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from nlcli.drawing import Photograph

_PIXELS = 320  # side of what is drawn
_SMALLEST = 16  # side from which on images are decoded
_QUALITIES = (82, 70, 55, 40, 25)  # of JPEG, the first that is small enough


@dataclass(frozen=True)
class Thumbnail:
    """A small JPEG of an image file, without anything else that the file says.

    Attributes:
        content: The JPEG.
        width, height: Its pixels.
    """

    content: bytes
    width: int
    height: int


def thumbnail(path: Path, side: int, most_bytes: int) -> Thumbnail | None:
    """An image file in its own shape, at most ``side`` pixels wide and high; None where it cannot be read.

    A smaller image keeps its size. The result is the same wherever it is made by the same Pillow.
    """
    from PIL import Image

    from nlcli.networks.images import ImageError, Preprocessing, image_size, load_image, read_image_file

    try:
        content = read_image_file(path)
        width, height = image_size(content)
        longest = max(width, height, 1)
        side = max(_SMALLEST, min(side, longest))
        pixels = load_image(content, Preprocessing(size=side, resize="stretch", decode="fast"))
    except ImageError:
        return None
    shape = (max(1, round(side * width / longest)), max(1, round(side * height / longest)))
    image = Image.fromarray(pixels).resize(shape, Image.Resampling.BILINEAR)
    content = b""
    for quality in _QUALITIES:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        content = file.getvalue()
        if len(content) <= most_bytes:
            break
    return Thumbnail(content, *shape)


def read_photograph(path: Path) -> Photograph | None:
    """An image file in its own shape, its pixels squeezed into a small square; None where it cannot be read."""
    from nlcli.networks.images import ImageError, Preprocessing, image_size, load_image, read_image_file

    try:
        content = read_image_file(path)
        pixels = load_image(content, Preprocessing(size=_PIXELS, resize="stretch", decode="fast"))
        width, height = image_size(content)
    except ImageError:
        return None
    return Photograph(pixels, width, height)
