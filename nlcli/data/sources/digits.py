"""The embedded data: scenes of real handwritten digits, in COCO's own format, made offline.

The directory that is written stands for what a user of COCO has on disk:

``images/train``, ``images/val``
    JPEG scenes with one to five digits and some shapes that are not digits.
``annotations/instances_train.json``, ``instances_val.json``
    COCO annotations: boxes, polygons, areas; ten digit and four shape categories.
``classifier/``, ``class_map.csv``
    A trained classifier with another, finer vocabulary, and the map from its classes to the ten
    digits, for ``build-coco`` to annotate the scenes with.

The noise arises as it does for COCO. The classifier knows a digit by its style (thin or bold, light
or dark), has learned from pictures of a single large object, and has classes that mean no digit;
two of the ten digits it knows in a single style only. Small, crowded, faint and overlapped digits
are missed, and what resembles another digit is taken for it.

The 1,797 digit images are parted three ways, so that none is in two of the training scenes, the
validation and test scenes, and the classifier's training pictures.

``--kind single`` writes another data set, pictures of one digit each: see ``digit_singles``.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from nlcli.console import progress
from nlcli.data.class_map import COLUMNS
from nlcli.data.config import BuildDigits
from nlcli.data.sources.digit_scenes import (
    CATEGORIES,
    DIGITS,
    SHAPES,
    TEXTURES,
    Placed,
    draw_scene,
    draw_single,
    glyphs,
)
from nlcli.data.sources.digit_singles import write_singles
from nlcli.runtime import quiet_tensorflow
from nlcli.stages.files import atomic_path, write_csv
from nlcli.stages.stage import open_stage

if TYPE_CHECKING:
    from nlcli.networks.backbone import Backbone

_STREAMS = {"parts": 0, "train": 1, "val": 2, "single": 3, "order": 4}
_PARTS = (0.38, 0.24)  # of the digit images: training scenes, validation scenes; the rest: classifier
_POOR = {"eight": (("bold", "dark"),), "nine": (("thin", "light"),)}  # digits known in one style only
_STYLES = (("thin", "light"), ("thin", "dark"), ("bold", "light"), ("bold", "dark"))

_INPUT = 32  # side of the classifier's input
_PICTURES = 7000
_EPOCHS = 6
_BATCH = 32
_RATE = 2e-3


def vocabulary() -> list[tuple[str, ...]]:
    """The classifier's classes in order: digits by style, then shapes, then textures."""
    digits = [(*style, digit) for digit in DIGITS for style in _POOR.get(digit, _STYLES)]
    shapes = [(*style, shape) for shape in SHAPES for style in _STYLES]
    return [*digits, *shapes, *((tone, texture) for texture in TEXTURES for tone in ("light", "dark"))]


def build_digits(config: BuildDigits, *, force: bool = False) -> Path:
    """Draw the images and, for scenes, train the classifier; see the module's docstring for what is written.

    The same configuration gives the same files, to the bit on the same machine.
    """
    with open_stage("digits", config, {}, seed=config.seed, force=force) as stage:
        if stage.up_to_date:
            return stage.output
        if config.kind == "single":
            half = config.val_images // 2
            counts = {"train": config.train_images, "validation": half, "test": config.val_images - half}
            classes = write_singles(stage.work, counts, config.side, config.seed)
            stage.finish({"images": counts, "classes": classes})
            return stage.output
        parts = part_digits(config.seed)
        counts = {"train": config.train_images, "val": config.val_images}
        objects = {}
        with progress(sum(counts.values()), "drawing scenes of digits", unit="images") as bar:
            for name, count in counts.items():
                folder = stage.work / "images" / name
                folder.mkdir(parents=True, exist_ok=True)
                scenes = []
                for number in range(count):
                    rng = np.random.default_rng([config.seed, _STREAMS[name], number])
                    picture, placed = draw_scene(parts[name], config.side, rng)
                    _write_jpeg(folder / f"{number + 1:012d}.jpg", picture, int(rng.integers(70, 96)))
                    scenes.append(placed)
                    bar.advance()
                annotations = instances(scenes, config.side)
                (stage.work / "annotations").mkdir(exist_ok=True)
                with atomic_path(stage.work / "annotations" / f"instances_{name}.json") as temporary:
                    temporary.write_text(json.dumps(annotations), encoding="utf-8")
                objects[name] = len(annotations["annotations"])
        _write_class_map(stage.work / "class_map.csv")
        fingerprint = _make_classifier(stage.work / "classifier", parts["single"], config)
        stage.finish(
            {"images": counts, "objects": objects, "classes": list(DIGITS), "source_classes": len(vocabulary())},
            content={"classifier/model.keras": fingerprint},  # the file itself carries the time of its writing
        )
    return stage.output


def part_digits(seed: int) -> dict[str, np.ndarray]:
    """Rows of ``glyphs()`` for training scenes (train), validation scenes (val), classifier (single)."""
    _, values = glyphs()
    order = np.random.default_rng([seed, _STREAMS["parts"]]).permutation(len(values))
    ends = np.rint(np.cumsum(_PARTS) * len(order)).astype(int)
    train, val, single = np.split(order, ends)
    return {"train": np.sort(train), "val": np.sort(val), "single": np.sort(single)}


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


def _write_class_map(path: Path) -> None:
    rows = (
        (index, "-".join(source), " ".join(source), source[-1])
        for index, source in enumerate(vocabulary())
        if source[-1] in DIGITS
    )
    write_csv(path, COLUMNS, rows)


# --- the annotating classifier ---------------------------------------------------------------


def _make_classifier(directory: Path, pool: np.ndarray, config: BuildDigits) -> str:
    """Train and save the classifier, unless an earlier, interrupted run has; its fingerprint."""
    quiet_tensorflow()
    from nlcli.networks.weights import load_backbone, save_backbone

    if (directory / "backbone.json").is_file():
        return load_backbone(directory).fingerprint
    pictures, labels = single_pictures(pool, config.side, config.seed, _PICTURES)
    backbone = train_classifier(pictures, labels, config.seed)
    return save_backbone(directory, backbone.trained_on(data="single digits by style", seed=config.seed))


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
            rng = np.random.default_rng([seed, _STREAMS["single"], number])
            drawn = Image.fromarray(draw_single(sources[labels[number]], by_digit, size, rng))
            pictures[number] = np.asarray(drawn.resize((_INPUT, _INPUT), Image.Resampling.BILINEAR))
            bar.advance()
    return pictures, labels


def train_classifier(pictures: np.ndarray, labels: np.ndarray, seed: int, epochs: int = _EPOCHS) -> Backbone:
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

    @tf.function
    def step(images: Any, target: Any) -> Any:
        with tf.GradientTape() as tape:
            logits = model(scale_pixels(images, backbone.preprocessing.scaling), training=True)["logits"]
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(target, logits))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    with progress(epochs * steps, "training the annotating classifier", unit="steps") as bar:
        for epoch in range(epochs):
            order = np.random.default_rng([seed, _STREAMS["order"], epoch]).permutation(len(labels))
            losses = []
            for rows in np.split(order[: steps * _BATCH], steps):
                losses.append(step(pictures[rows], labels[rows]))
                bar.advance()
            bar.note(f"loss {float(np.mean([loss.numpy() for loss in losses])):.3f}")
    return backbone
