"""Random flips and crops of a batch of images inside the graph, from random numbers given to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import tensorflow as tf

Flip = Literal["none", "horizontal", "both"]
DRAWS = 5
"""Random numbers of an image: horizontal flip, vertical flip, and size, row and column of the crop."""


@dataclass(frozen=True)
class Augmentation:
    """What is done to an image; the same for the same draws, whatever else is in the batch.

    Args:
        flip: Flips along the width, or along width and height, each with probability 1/2.
        crop: Least side of the square that is cut out and enlarged, as a part of the image's; its
            side is uniform between this and 1, its place uniform. 1 means no crops.
        cut: Side of what is cut out of a larger image before anything else, its place uniform. 0 means nothing is.
    """

    flip: Flip = "both"
    crop: float = 1.0
    cut: int = 0

    @property
    def does_nothing(self) -> bool:
        """Whether images come out as they went in."""
        return self.flip == "none" and self.crop == 1.0 and not self.cut

    def __call__(self, images: Any, draws: Any) -> Any:
        """uint8 images (b, S, S, 3), float32 draws in [0, 1) (b, 5), to uint8 images (``cut`` pixels wide if given)."""
        if self.cut:
            last = float(images.shape[1] - 1)
            # Whole pixels: what is between them would be a mixture of both.
            first = tf.floor(draws[:, 3:5] * (images.shape[1] - self.cut + 1))
            boxes = tf.concat([first, first + (self.cut - 1)], axis=1) / last
            cut = tf.image.crop_and_resize(images, boxes, tf.range(tf.shape(images)[0]), (self.cut, self.cut))
            images = tf.saturate_cast(tf.round(cut), tf.uint8)
        if self.crop < 1.0:
            side = 1.0 - (1.0 - self.crop) * draws[:, 2]
            top, left = (1.0 - side) * draws[:, 3], (1.0 - side) * draws[:, 4]
            boxes = tf.stack([top, left, top + side, left + side], axis=1)
            size = images.shape[1:3]
            cut = tf.image.crop_and_resize(images, boxes, tf.range(tf.shape(images)[0]), size)
            images = tf.saturate_cast(tf.round(cut), tf.uint8)
        if self.flip != "none":
            images = tf.where(_each(draws[:, 0] < 0.5), tf.reverse(images, [2]), images)
        if self.flip == "both":
            images = tf.where(_each(draws[:, 1] < 0.5), tf.reverse(images, [1]), images)
        return images


def _each(condition: Any) -> Any:
    return condition[:, None, None, None]
