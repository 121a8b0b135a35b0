"""What is recorded of how an image file becomes a network's input; ``images.py`` does it."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

Scaling = Literal["caffe", "tf", "unit", "raw"]


class Preprocessing(BaseModel):
    """How an image file becomes a network's input; saved with the network.

    ``scaling`` is what happens to the uint8 RGB pixels inside the network's graph:

    ========= ======================================================================
    ``caffe`` BGR order, minus the ImageNet mean (103.939, 116.779, 123.68): ResNet50
    ``tf``    ``x / 127.5 - 1``, so [-1, 1]: Inception V3, MobileNetV2
    ``unit``  ``x / 255``, so [0, 1]
    ``raw``   as they are, 0 to 255
    ========= ======================================================================
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(ge=16, le=2048, description="Side of the square input in pixels.")
    resize: Literal["stretch", "crop"] = Field(
        "stretch", description="Squeeze the whole image into the square, or cut out its middle."
    )
    decode: Literal["exact", "fast"] = Field(
        "exact", description="Decode JPEGs at full size, or at the smallest scale (1/2, 1/4, 1/8) that suffices."
    )
    scaling: Scaling = Field("tf", description="Scaling of the pixels.")
    margin: int = Field(
        0, ge=0, le=512, description="Pixels by which the square is larger before its middle is cut out (0: it is not)."
    )

    @model_serializer(mode="wrap")
    def _as_before_there_were_margins(self, values_of: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = values_of(self)
        return values if self.margin else {name: value for name, value in values.items() if name != "margin"}

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of an image as ``load_image`` gives it."""
        return self.size, self.size, 3

    @property
    def dtype(self) -> np.dtype:
        """The same."""
        return np.dtype(np.uint8)

    def whole(self) -> Preprocessing:
        """What gives the larger square, out of which training cuts at random."""
        return self.model_copy(update={"size": self.size + self.margin, "margin": 0})
