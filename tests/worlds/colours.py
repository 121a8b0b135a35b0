"""A tiny COCO of colours with an annotating classifier that knows nothing, for tests of whole pipelines."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

CATEGORIES = ("red", "green", "blue")


def write_colours(root: Path) -> None:
    """Write train/, val/, train.json, val.json, classifier/ and map.csv into ``root``."""
    from nlcli.networks.weights import build_backbone, save_backbone

    rng = np.random.default_rng(0)
    for split, count in (("train", 60), ("val", 40)):
        (root / split).mkdir()
        images, annotations = [], []
        for number in range(count):
            shown = rng.permutation(3)[: rng.integers(1, 4)]
            pixels = rng.integers(0, 60, (40, 40, 3))
            pixels[..., shown] += 150
            Image.fromarray(pixels.astype(np.uint8)).save(root / split / f"{split}{number:03d}.jpg")
            images.append({"id": number, "file_name": f"{split}{number:03d}.jpg", "width": 40, "height": 40})
            annotations += [
                {
                    "id": 10 * number + int(c),
                    "image_id": number,
                    "category_id": int(c) + 1,
                    "iscrowd": 0,
                    "bbox": [0, 0, 9, 9],
                    "area": 81,
                }
                for c in shown
            ]
        categories = [{"id": i + 1, "name": name, "supercategory": "colour"} for i, name in enumerate(CATEGORIES)]
        content = {"images": images, "annotations": annotations, "categories": categories}
        (root / f"{split}.json").write_text(json.dumps(content))
    sources = [f"source {i}" for i in range(6)]
    save_backbone(root / "classifier", build_backbone("small_cnn", "none", classes=sources, image_size=32, seed=1))
    lines = [f"{i},,{name},{CATEGORIES[i % 3]}" for i, name in enumerate(sources)]
    (root / "map.csv").write_text("\n".join(["source_index,source_id,source_name,target_name", *lines]) + "\n")
