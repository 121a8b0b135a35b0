"""From what an image file holds to uint8 pixels, whatever that takes; ``images.py`` says where it is done.

A file that can be shown as an RGB picture is converted; one that cannot is a row with a message.
What is converted, and how:

- grey-scale, palette, CMYK and YCbCr images become RGB;
- 16-bit grey values are scaled to 8 bits over their whole range, not clipped;
- transparent pixels are laid over white (what lies under them is arbitrary);
- an animation gives its first frame;
- the EXIF orientation is applied.

Refused, each with its reason: missing, empty, cut short, not an image, more than ``MAX_PIXELS``
pixels (checked before decoding), 32-bit and floating-point pixels (their range is not known).

Differences from the networks' own training pipelines, which matter little but are real: Pillow
resizes with a bilinear filter that is widened when shrinking (antialiased), where
``keras.utils.load_img`` takes the nearest pixel and TensorFlow's older pipelines bilinear
samples without antialiasing; and the default here squeezes the whole picture into the square
instead of cropping its middle, because labels of a multi-label image lie at its edges as well.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import os
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from nlcli.errors import NlcliError
from nlcli.networks.preparation import MOST_ENLARGED, Preparation, enlarged_pixels
from nlcli.networks.preprocessing import Preprocessing
from nlcli.stages.foreign_files import FIRST_BYTES, in_its_place

MAX_PIXELS = 178_956_970
"""Most pixels of an image that is decoded: 512 MiB as RGB, Pillow's own limit for an error."""

MAX_FILE_BYTES = 1 << 29
_LARGE_PIXELS = 40_000_000

_loading_plugins = threading.Lock()

one_large_image = threading.Lock()
"""Several pictures of hundreds of megapixels at once would take all memory: one at a time."""

_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


_TURNED = (5, 6, 7, 8)
"""Orientations in which width and height are swapped."""


class ImageError(NlcliError):
    """An image file that cannot be used: ``path`` and the ``reason``."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


def _formats_of(content: bytes) -> tuple[str, ...]:
    """The image formats that ``content`` may be in, by Pillow's names, of those that this Pillow can read."""
    with _loading_plugins:
        return _formats(content[4:8] == b"ftyp")  # the box that AVIF begins with


@functools.cache
def _formats(avif: bool) -> tuple[str, ...]:
    # What Pillow would warn about (a large image, a damaged EXIF block) is either decided here or of
    # no consequence; thousands of lines on standard error would hide what matters.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    # Left to itself, Pillow loads every plugin it has, among them ones that start other programs (EPS). These suffice.
    plugins = _PLUGINS | (_AVIF if avif else {})
    for plugin in plugins.values():
        with contextlib.suppress(ImportError):  # an old Pillow, or one that was built without it
            importlib.import_module(f"PIL.{plugin}ImagePlugin")
    return tuple(name for name in plugins if name in Image.OPEN)


_PLUGINS = {
    "JPEG": "Jpeg",
    "PNG": "Png",
    "GIF": "Gif",
    "BMP": "Bmp",
    "WEBP": "WebP",
    "TIFF": "Tiff",
    "PPM": "Ppm",
    "JPEG2000": "Jpeg2K",
}
_AVIF = {"AVIF": "Avif"}
"""Its library takes longer to load than all others, and few pictures are in it."""


class LargeImage(Exception):
    """An image that takes so much memory that only one of its kind is decoded at a time."""


def decode(content: bytes, pre: Preprocessing | Preparation | None, name: str, *, large: bool = True) -> np.ndarray:
    """What an image file holds as (S, S, 3) uint8 RGB, or as a ``Preparation`` has it, or upright (H, W, 3) uint8 RGB.

    Args:
        name: Of the image, for the error.
        large: Decode large images, too, one at a time in this process.

    Raises:
        ImageError: the image cannot be used; its ``reason`` says why.
        LargeImage: it is ``large`` and not asked for.
    """
    with _refused_as(name, content):
        if not content:
            raise _Refused("the file is empty")
        return _decode(content, pre, large)


@contextlib.contextmanager
def _refused_as(name: str, content: bytes = b"") -> Iterator[None]:
    """Whatever a decoder raises as an ``ImageError``."""
    try:
        yield
    except LargeImage:
        raise
    except _Refused as error:
        raise ImageError(name, str(error)) from None
    except UnidentifiedImageError:
        came = in_its_place(content[:FIRST_BYTES])
        raise ImageError(name, "not an image in a known format" if came is None else f"it {came}") from None
    except Image.DecompressionBombError:
        raise ImageError(name, f"more than {MAX_PIXELS:,} pixels") from None
    except MemoryError:
        raise ImageError(name, "decoding it takes more memory than there is for it") from None
    except Exception as error:  # decoders raise nearly anything on damaged data
        raise ImageError(name, f"damaged or cut short ({_one_line(error)})") from None


def upright_size(content: bytes, name: str) -> tuple[int, int]:
    """Width and height of an image as it is looked at; only its header is read.

    Raises:
        ImageError: it has none.
    """
    with _refused_as(name, content), Image.open(io.BytesIO(content), formats=_formats_of(content)) as image:
        width, height = image.size
        return (height, width) if _orientation(image) in _TURNED else (width, height)


def prepared(upright: Image.Image, pre: Preparation, name: str) -> np.ndarray:
    """An upright RGB image as another library's network takes it.

    Raises:
        ImageError: it is too narrow, or the library cannot.
    """
    with _refused_as(name):
        return _prepared(upright, pre)


def has_a_format(content: bytes) -> bool:
    """Whether ``content`` begins as one of the formats that are read does."""
    accepts = [Image.OPEN[name][1] for name in _formats_of(content)]
    return any(accept is None or accept(content[:16]) for accept in accepts)


def read_image_file(path: Path) -> bytes:
    """Content of an image file, as ``load_image`` reads it.

    Raises:
        ImageError: it is not a regular file, too large, or cannot be read.
    """
    try:
        return _read(path)
    except _Refused as error:
        raise ImageError(str(path), str(error)) from None


class _Refused(Exception):
    """The reason why an image is not decoded."""


def _read(path: Path) -> bytes:
    """Content of a regular file (opening a pipe or a device could block for ever)."""
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise _Refused("a directory, not an image file")
        if not stat.S_ISREG(status.st_mode):
            raise _Refused("not a regular file")
        if status.st_size > MAX_FILE_BYTES:
            raise _Refused(f"larger than {MAX_FILE_BYTES >> 20} MiB")
        return path.read_bytes()
    except FileNotFoundError:
        raise _Refused("there is no such file") from None
    except (OSError, ValueError) as error:
        raise _Refused(f"cannot be read ({_one_line(error)})") from None


def _decode(content: bytes, pre: Preprocessing | Preparation | None, large: bool) -> np.ndarray:
    with Image.open(io.BytesIO(content), formats=_formats_of(content)) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise _Refused(f"{width} x {height} pixels, more than {MAX_PIXELS:,} in all")
        is_large = width * height > _LARGE_PIXELS
        if is_large and not large:
            raise LargeImage
        with one_large_image if is_large else nullcontext():
            if not isinstance(pre, Preprocessing):
                upright = _upright(image)
                return np.asarray(upright) if pre is None else _prepared(upright, pre)
            if pre.decode == "fast":
                image.draft(None, (pre.size + pre.margin, pre.size + pre.margin))
            image.load()
            orientation = _orientation(image)
            small = _resize(_to_rgb(image), pre)
    if orientation in _TRANSPOSE:
        small = small.transpose(_TRANSPOSE[orientation])
    return np.asarray(small)


def _upright(image: Image.Image) -> Image.Image:
    image.load()
    orientation = _orientation(image)
    upright = _to_rgb(image)
    return upright.transpose(_TRANSPOSE[orientation]) if orientation in _TRANSPOSE else upright


def _prepared(upright: Image.Image, pre: Preparation) -> np.ndarray:
    width, height = upright.size
    if enlarged_pixels(width, height, pre.side) > MOST_ENLARGED:
        raise _Refused(f"{width} x {height} pixels, too narrow for a network that takes its shorter side")
    return pre(upright)


def _resize(image: Image.Image, pre: Preprocessing) -> Image.Image:
    width, height = image.size
    box: tuple[float, float, float, float] = (0, 0, width, height)
    if pre.resize == "crop":
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        box = (left, top, left + side, top + side)
    gap = 2.0 if pre.decode == "fast" else None
    whole = pre.size + pre.margin
    image = image.resize((whole, whole), Image.Resampling.BILINEAR, box, reducing_gap=gap)
    if not pre.margin:
        return image
    first = pre.margin // 2
    return image.crop((first, first, first + pre.size, first + pre.size))


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        return _from_16_bits(image)
    if image.mode in ("I", "F"):
        kind = "32-bit integer" if image.mode == "I" else "floating-point"
        raise _Refused(f"{kind} pixels have no defined range; convert the image to 8 or 16 bits")
    if image.has_transparency_data:
        if image.mode == "La":
            image = image.convert("LA")
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image).convert("RGB")
    try:
        return image.convert("RGB")
    except ValueError:
        raise _Refused(f"colours of the kind {image.mode} cannot be converted to RGB") from None


def _from_16_bits(image: Image.Image) -> Image.Image:
    bits = getattr(image, "tag_v2", {}).get(258, (16,))[0]  # TIFF stores 12-bit values unscaled
    largest = 4095 if bits == 12 else 65535
    values = np.asarray(image).astype(np.uint32)
    scaled = (values * 255 + largest // 2) // largest
    return Image.fromarray(np.minimum(scaled, 255).astype(np.uint8)).convert("RGB")


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1 to 8; read after loading, because Pillow applies a TIFF's own while it loads."""
    try:
        value: Any = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # a damaged EXIF block says nothing about the pixels
        return 1
    return value if isinstance(value, int) else 1


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = " ".join(str(error).split())
    return (text or type(error).__name__)[:200]
