"""One image file to uint8 pixels for any stage; ``image_batches.py`` has many of them, decoded ahead.

``pixels.py`` decodes. It does so in this process where a picture is plain (``plain_pictures.py``), and in a process
that may only take so much where it is not (``decoders.py``): decoding some small files takes hours or all memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from nlcli.networks.decoders import decode_one_elsewhere
from nlcli.networks.pixels import MAX_PIXELS as MAX_PIXELS
from nlcli.networks.pixels import ImageError as ImageError
from nlcli.networks.pixels import decode, has_a_format, prepared, upright_size
from nlcli.networks.pixels import read_image_file as read_image_file
from nlcli.networks.plain_pictures import is_plain
from nlcli.networks.preparation import Preparation
from nlcli.networks.preprocessing import Preprocessing as Preprocessing
from nlcli.networks.preprocessing import Scaling as Scaling

Source = Path | str | bytes


def load_image(source: Source, pre: Preprocessing | Preparation) -> np.ndarray:
    """Decode one image file (a path) or its content (bytes) to (S, S, 3) uint8 RGB, or as a ``Preparation`` has it.

    Raises:
        ImageError: the image cannot be used; its ``reason`` says why.
        NlcliError: processes that decode are killed again and again.
    """
    name = _name(source)
    content = source if isinstance(source, bytes) else read_image_file(Path(source))
    if is_plain(content) or not has_a_format(content):
        return decode(content, pre, name)
    if isinstance(pre, Preprocessing):
        return decode_one_elsewhere(content, pre, name)
    return prepared(Image.fromarray(decode_one_elsewhere(content, None, name)), pre, name)


def image_size(content: bytes) -> tuple[int, int]:
    """Width and height of what an image file holds, as it is looked at.

    Raises:
        ImageError: it cannot be used.
        NlcliError: processes that decode are killed again and again.
    """
    name = _name(content)
    if is_plain(content) or not has_a_format(content):
        return upright_size(content, name)
    height, width = decode_one_elsewhere(content, None, name).shape[:2]
    return width, height


def _name(source: Source) -> str:
    return f"image of {len(source)} bytes" if isinstance(source, bytes) else str(source)


def load_each(sources: Sequence[Source], pre: Preprocessing | Preparation, buffer: np.ndarray) -> list[str | None]:
    """Decode images into a batch (n, S, S, 3); for each why it cannot be used, or None."""
    return [_load_into(source, pre, buffer, position) for position, source in enumerate(sources)]


def _load_into(source: Source, pre: Preprocessing | Preparation, buffer: np.ndarray, position: int) -> str | None:
    try:
        buffer[position] = load_image(source, pre)
    except ImageError as error:
        return error.reason
    return None
