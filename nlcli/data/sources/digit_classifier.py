"""The classifier that annotates scenes of digits: its vocabulary, what it learns from, its training.

It knows a digit by its style (thin or bold, light or dark), has learned from pictures of a single large
object, not as digits occur in scenes, and has classes that mean no digit; two of the ten digits it knows
in a single style only.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nlcli.console import progress
from nlcli.data.class_map import COLUMNS
from nlcli.data.sources.digit_painting import (
    DIGITS,
    SHAPES,
    TEXTURES,
    Painter,
    Weight,
    digit_mask,
    glyphs,
    shape_mask,
)
from nlcli.networks.backbone_record import is_saved
from nlcli.networks.graph import as_graph
from nlcli.runtime import quiet_tensorflow
from nlcli.stages.files import write_csv

if TYPE_CHECKING:
    from nlcli.networks.backbone import Backbone

PICTURES = 7000
EPOCHS = 6
_PICTURES_STREAM, _ORDER_STREAM = 3, 4
_POOR = {"eight": (("bold", "dark"),), "nine": (("thin", "light"),)}  # digits known in one style only
_STYLES = (("thin", "light"), ("thin", "dark"), ("bold", "light"), ("bold", "dark"))
_INPUT = 32  # side of the classifier's input
_BATCH = 32
_RATE = 2e-3


def vocabulary() -> list[tuple[str, ...]]:
    """The classifier's classes in order: digits by style, then shapes, then textures."""
    digits = [(*style, digit) for digit in DIGITS for style in _POOR.get(digit, _STYLES)]
    shapes = [(*style, shape) for shape in SHAPES for style in _STYLES]
    return [*digits, *shapes, *((tone, texture) for texture in TEXTURES for tone in ("light", "dark"))]


def write_class_map(path: Path) -> None:
    """Write the map from the classifier's classes to the digits."""
    rows = (
        (index, "-".join(source), " ".join(source), source[-1])
        for index, source in enumerate(vocabulary())
        if source[-1] in DIGITS
    )
    write_csv(path, COLUMNS, rows)


def make_classifier(directory: Path, pool: np.ndarray, side: int, seed: int) -> str:
    """Train and save the classifier, unless an earlier, interrupted run has; its fingerprint."""
    quiet_tensorflow()
    from nlcli.networks.weights import load_backbone, save_backbone

    if is_saved(directory):
        return load_backbone(directory).fingerprint
    pictures, labels = single_pictures(pool, side, seed, PICTURES)
    backbone = train_classifier(pictures, labels, seed, EPOCHS)
    return save_backbone(directory, backbone.trained_on(data="single digits by style", seed=seed))


def single_pictures(pool: np.ndarray, size: int, seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """``count`` pictures of single objects out of ``pool``, shrunk to the classifier's input.

    Returns:
        (count, 32, 32, 3) uint8 and their classes (count,) int32, all classes equally often.
    """
    _, values = glyphs()
    by_digit = {name: pool[values[pool] == value] for value, name in enumerate(DIGITS)}
    sources = vocabulary()
    labels = (np.arange(count) % len(sources)).astype(np.int32)
    pictures = np.empty((count, _INPUT, _INPUT, 3), np.uint8)
    with progress(count, "drawing pictures of single digits for the annotating classifier", unit="images") as bar:
        for number in range(count):
            rng = np.random.default_rng([seed, _PICTURES_STREAM, number])
            drawn = Image.fromarray(draw_single(sources[labels[number]], by_digit, size, rng))
            pictures[number] = np.asarray(drawn.resize((_INPUT, _INPUT), Image.Resampling.BILINEAR))
            bar.advance()
    return pictures, labels


def draw_single(
    source: tuple[str, ...], pool: dict[str, NDArray[np.int64]], size: int, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """One picture of a source class: a single large object, or only a ground.

    Args:
        source: ``(weight, tone, digit)``, ``(weight, tone, shape)`` or ``(tone, texture)``; the tone is
            light or dark, that of the object or, of a texture, of the ground.
        pool: Rows of ``glyphs()`` by digit.
    """
    if len(source) == 2:
        return Painter(size, source[0] == "light", source[1], rng).picture()
    own = source[1] == "light"
    painter = Painter(size, own if rng.random() < 0.15 else not own, str(rng.choice(TEXTURES)), rng)
    images, _ = glyphs()
    side = int(size * rng.uniform(0.36, 0.85))
    weight: Weight = "thin" if source[0] == "thin" else "bold"
    if source[2] in pool:
        mask = digit_mask(images[rng.choice(pool[source[2]])], side, weight, rng)
    else:
        mask = shape_mask(source[2], side, weight, rng)
    x, y = (int(v) for v in rng.integers(0, size - side + 1, 2))
    painter.place(0, mask, x, y, own, rng.uniform(0.28, 0.75))
    return painter.picture()


def train_classifier(pictures: np.ndarray, labels: np.ndarray, seed: int, epochs: int) -> Backbone:
    """A small network trained from scratch to tell the classes of ``vocabulary`` apart.

    Args:
        pictures: (n, 32, 32, 3) uint8.
        labels: (n,) int32.
    """
    quiet_tensorflow()
    import keras
    import tensorflow as tf

    from nlcli.networks.backbone import scale_pixels
    from nlcli.networks.weights import build_backbone

    names = [" ".join(source) for source in vocabulary()]
    backbone = build_backbone("small_cnn", "none", classes=names, activation="softmax", image_size=_INPUT, seed=seed)
    model, steps = backbone.model, len(labels) // _BATCH
    rate = keras.optimizers.schedules.CosineDecay(_RATE, epochs * steps, alpha=0.01)
    optimizer = keras.optimizers.Adam(rate)
    optimizer.build(model.trainable_variables)

    @as_graph
    def step(images: Any, target: Any) -> Any:
        with tf.GradientTape() as tape:
            logits = model(scale_pixels(images, backbone.preprocessing.scaling), training=True)["logits"]
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(target, logits))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    with progress(epochs * steps, "training the annotating classifier", unit="steps") as bar:
        for epoch in range(epochs):
            order = np.random.default_rng([seed, _ORDER_STREAM, epoch]).permutation(len(labels))
            losses = []
            for rows in np.split(order[: steps * _BATCH], steps):
                losses.append(step(pictures[rows], labels[rows]))
                bar.advance()
            bar.note(f"loss {float(np.mean([loss.numpy() for loss in losses])):.3f}")
    return backbone
