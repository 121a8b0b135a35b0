"""Preprocessing that a ``preprocessor_config.json`` or options state, run by Pillow: resize, cut, scale."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from nlcli.errors import NlcliError, printable
from nlcli.networks.foreign.base import ForeignScaling
from nlcli.stages.files import read_json

Resampling = Image.Resampling
_IMAGENET_MEAN, _IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_CAFFE_MEAN = (103.939, 116.779, 123.68)  # blue, green, red
_LARGEST = 2048


@dataclass(frozen=True)
class PixelSteps:
    """What is done to an image, in this order.

    Attributes:
        resize: To (height, width); or to a shorter side; or not at all.
        resample: Filter of the resizing, widened when shrinking.
        crop: (height, width) cut out of the middle, or None.
        scale, offset: ``scale * pixel + offset`` of each channel, in the order of the channels.
        reverse: Blue comes first.
    """

    resize: tuple[int, int] | int | None
    resample: Resampling
    crop: tuple[int, int] | None
    scale: tuple[float, ...]
    offset: tuple[float, ...]
    reverse: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of what comes out."""
        size = self.crop or self.resize
        assert isinstance(size, tuple)
        return size

    @property
    def words(self) -> str:
        """What becomes of the image's shape."""
        if isinstance(self.resize, tuple):
            first = f"squeezed to {self.resize[0]} x {self.resize[1]}"
        else:
            first = "not resized" if self.resize is None else f"shorter side to {self.resize}"
        return first if self.crop is None else f"{first}, middle {self.crop[0]} x {self.crop[1]}"

    def pixels(self, image: Image.Image) -> np.ndarray:
        """(height, width, 3) uint8, in the order of the channels."""
        if self.resize is not None:
            image = image.resize(self._resized(*image.size), self.resample)
        values = np.asarray(image)
        if self.crop is not None:
            values = _middle(values, *self.crop)
        return values[..., ::-1] if self.reverse else values

    def _resized(self, width: int, height: int) -> tuple[int, int]:
        if isinstance(self.resize, tuple):
            return self.resize[1], self.resize[0]
        assert self.resize is not None
        if width <= height:
            return self.resize, int(self.resize * height / width)
        return int(self.resize * width / height), self.resize


def _middle(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """The middle of an image, black around it where it is too small."""
    rows, columns = values.shape[:2]
    whole = max(height, rows), max(width, columns)
    if whole != (rows, columns):
        padded = np.zeros((*whole, 3), values.dtype)
        top, left = -(-(whole[0] - rows) // 2), -(-(whole[1] - columns) // 2)
        padded[top : top + rows, left : left + columns] = values
        values = padded
    top, left = (whole[0] - height) // 2, (whole[1] - width) // 2
    return values[top : top + height, left : left + width]


# --- from options ----------------------------------------------------------------------------


def steps_of_options(scaling: ForeignScaling, resize: Literal["stretch", "crop"], size: int) -> PixelSteps:
    """Squeezed to a square, or its middle; bilinear."""
    scale, offset, reverse = {
        "raw": ((1.0,) * 3, (0.0,) * 3, False),
        "unit": ((1 / 255,) * 3, (0.0,) * 3, False),
        "tf": ((1 / 127.5,) * 3, (-1.0,) * 3, False),
        "caffe": ((1.0,) * 3, tuple(-mean for mean in _CAFFE_MEAN), True),
        "imagenet": (*_affine(1 / 255, _IMAGENET_MEAN, _IMAGENET_DEVIATION), False),
    }[scaling]
    if resize == "stretch":
        return PixelSteps((size, size), Resampling.BILINEAR, None, scale, offset, reverse)
    return PixelSteps(size, Resampling.BILINEAR, (size, size), scale, offset, reverse)


def _affine(factor: float, mean: Any, deviation: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    scale = tuple(factor / d for d in deviation)
    return scale, tuple(-m / d for m, d in zip(mean, deviation, strict=True))


# --- from a file -----------------------------------------------------------------------------


def steps_of_file(path: Path, image_size: int | None) -> tuple[PixelSteps, dict[str, Any]]:
    """What a ``preprocessor_config.json`` as Hugging Face's image processors write it states, and the file itself.

    Args:
        image_size: Side of the input where it is to be another; the resizing grows with it.

    Raises:
        NlcliError: the file leaves something open, or states what is not done here.
    """
    config = read_json(path)
    if not isinstance(config, dict):
        raise NlcliError(f"{path} is not the configuration of an image processor; it must be a JSON object")
    for name in ("crop_pct", "do_pad", "do_thumbnail", "do_align_long_axis", "do_reduce_labels"):
        if config.get(name):
            raise NlcliError(f"{path} states '{name}', which is not done here; import the features instead")
    resize = _size(path, config) if config.get("do_resize", "size" in config) else None
    crop = None
    if config.get("do_center_crop"):
        crop = _pair(path, "crop_size", config.get("crop_size"))
    if not isinstance(crop or resize, tuple):
        raise NlcliError(f"{path} leaves the input's size open; state size with height and width, or crop_size")
    if image_size is not None:
        crop, resize = _enlarged(crop, resize, image_size)
    resample = config.get("resample")
    if resize is not None and resample not in [int(r) for r in Resampling]:
        raise NlcliError(f"{path} does not state 'resample' as Pillow's number (2 is bilinear, 3 bicubic); add it")
    factor = 1.0
    if config.get("do_rescale", "rescale_factor" in config):
        factor = _number(path, "rescale_factor", config.get("rescale_factor", 1 / 255))
    scale: tuple[float, ...] = (factor,) * 3
    offset: tuple[float, ...] = (0.0,) * 3
    if config.get("do_normalize", "image_mean" in config):
        mean, deviation = (_numbers(path, name, config.get(name)) for name in ("image_mean", "image_std"))
        if not all(deviation):
            raise NlcliError(f"{path}: 'image_std' has a zero; correct it")
        scale, offset = _affine(factor, mean, deviation)
    filters = Resampling(int(resample or 0)) if resize is not None else Resampling.NEAREST
    return PixelSteps(resize, filters, crop, scale, offset, bool(config.get("do_flip_channel_order"))), config


def _size(path: Path, config: dict[str, Any]) -> tuple[int, int] | int:
    size = config.get("size")
    if isinstance(size, int):
        raise NlcliError(
            f"{path}: 'size' is a single number, which image processors read in two ways; write "
            f'{{"height": {size}, "width": {size}}} or {{"shortest_edge": {size}}}'
        )
    if isinstance(size, dict) and set(size) == {"shortest_edge"}:
        return _side(path, "size", size["shortest_edge"])
    return _pair(path, "size", size)


def _pair(path: Path, name: str, value: Any) -> tuple[int, int]:
    if isinstance(value, int):
        value = {"height": value, "width": value}
    if not isinstance(value, dict) or set(value) != {"height", "width"}:
        raise NlcliError(f"{path}: '{name}' is {printable(str(value))}; expected height and width")
    return _side(path, name, value["height"]), _side(path, name, value["width"])


def _side(path: Path, name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _LARGEST:
        raise NlcliError(f"{path}: '{name}' is {printable(str(value))}; expected whole numbers from 1 to {_LARGEST}")
    return value


def _number(path: Path, name: str, value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not np.isfinite(value):
        raise NlcliError(f"{path}: '{name}' is {printable(str(value))}; expected a number")
    return float(value)


def _numbers(path: Path, name: str, value: Any) -> tuple[float, ...]:
    if not isinstance(value, list) or len(value) != 3:
        raise NlcliError(f"{path}: '{name}' is {printable(str(value))}; expected three numbers")
    return tuple(_number(path, name, part) for part in value)


def _enlarged(
    crop: tuple[int, int] | None, resize: tuple[int, int] | int | None, side: int
) -> tuple[tuple[int, int] | None, tuple[int, int] | int | None]:
    """Crop and resizing of another size, in the same proportion to each other."""
    if crop is None:
        return None, (side, side)
    if isinstance(resize, int):
        return (side, side), round(resize * side / min(crop))
    if resize is not None:
        return (side, side), (round(resize[0] * side / crop[0]), round(resize[1] * side / crop[1]))
    return (side, side), None
