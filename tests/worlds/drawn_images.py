"""Images whose colours say which classes they hold, and a small network for them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nlcli.data.labels import LabelTable
from nlcli.training.config import PretrainBackbone
from worlds.stage_builders import published, verified_table

SIZE = 32


def draw_images(table: LabelTable, folder: Path, seed: int = 0) -> None:
    """Images whose red, green and blue say whether classes 0, 1 and 2 are there."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    v, _ = table.verified_targets(np.arange(len(table)))
    for path, labels in zip(table.paths, v, strict=True):
        pixels = 40 + rng.integers(0, 60, (SIZE, SIZE, 3)) + 120 * labels.astype(int)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / str(path), quality=90)


def make_dataset(folder: Path, images: int = 120, **changes: Any) -> Path:
    table = verified_table(images, 3, splits=(30, 0))
    table = replace(table, image_root=folder / "images", **changes)
    draw_images(table, folder / "images")
    return published(table, folder / "dataset")


def config(dataset: Path, output: Path, **options: Any) -> PretrainBackbone:
    settings: dict[str, Any] = {
        "backbone": "small_cnn",
        "weights": "none",
        "image_size": SIZE,
        "steps": 30,
        "batch_size": 16,
        "eval_every": 10,
        "learning_rate": 1e-3,
        "workers": 2,
    }
    return PretrainBackbone(dataset=dataset, output=output, **settings | options)
