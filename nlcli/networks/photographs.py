"""Image files as plots show them."""

from __future__ import annotations

from pathlib import Path

from nlcli.drawing import Photograph

_PIXELS = 320  # side of what is drawn


def read_photograph(path: Path) -> Photograph | None:
    """An image file in its own shape, its pixels squeezed into a small square; None where it cannot be read."""
    from nlcli.networks.images import ImageError, Preprocessing, load_image

    try:
        pixels = load_image(path, Preprocessing(size=_PIXELS, resize="stretch", decode="fast"))
        width, height = _shape(path)
    except (ImageError, OSError):
        return None
    return Photograph(pixels, width, height)


def _shape(path: Path) -> tuple[int, int]:
    """Width and height of an image as it is looked at; only its header is read."""
    from PIL import Image

    with Image.open(path) as image:
        width, height = image.size
        turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)  # the orientation tag
    return (height, width) if turned else (width, height)
