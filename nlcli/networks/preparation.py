"""How an image becomes the input of a network that another library runs, and what is recorded of it."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

MOST_ENLARGED = 1 << 26
"""Most pixels of an image whose shorter side was brought to the network's: a strip of 1 x 30000 would be gigabytes."""


class StatedPreprocessing(BaseModel):
    """What a library, or a file beside a network, states; written into ``features.json``.

    Every channel of the input is ``scale * pixel + offset``, with pixels from 0 to 255.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    library: str = Field(description="What runs the network, with its version.")
    height: int = Field(ge=1, description="Rows of the input.")
    width: int = Field(ge=1, description="Columns of the input.")
    crop: str = Field(description="What becomes of an image of another shape, in words.")
    interpolation: str = Field(description="Filter of the resizing.")
    antialias: bool = Field(description="Whether it is widened when shrinking.")
    scale: tuple[float, ...] = Field(description="Factor of each channel.")
    offset: tuple[float, ...] = Field(description="What is added then.")
    channels: str = Field(description="Their order, RGB or BGR.")
    stated: dict[str, Any] = Field(description="As the library has it, which is what is run.")


class Preparation(Protocol):
    """Turns an upright RGB image into an array of a fixed shape; called in several threads."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the array."""

    @property
    def dtype(self) -> np.dtype:
        """Of the array."""

    @property
    def side(self) -> int:
        """The longer side of the input in pixels."""

    def __call__(self, image: Image.Image) -> np.ndarray:
        """The array of one image."""


def enlarged_pixels(width: int, height: int, side: int) -> float:
    """Pixels of an image of ``width`` x ``height`` whose shorter side has become ``side``."""
    return side * side * max(width, height) / min(width, height)
