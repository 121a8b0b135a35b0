"""A small COCO on disk and a classifier whose every answer is written down, for tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nlcli.data.config import BuildCoco
from nlcli.networks.images import Preprocessing

SOURCES = ("tabby", "beagle", "mug", "spaniel", "ladle", "siamese")
CATEGORIES = ((1, "person", "person"), (17, "cat", "animal"), (18, "dog", "animal"), (47, "cup", "kitchen"))
MAP = "source_index,source_id,source_name,target_name\n1,,beagle,dog\n0,,tabby,cat\n2,,mug,cup\n3,,spaniel,dog\n5,,siamese,cat\n"


@dataclass
class WrittenClassifier:
    """Looks at an image's red value ``10 * n`` and gives row ``n`` of ``logits``."""

    logits: np.ndarray
    classes: tuple[str, ...] | None = SOURCES
    name: str = "written"
    activation: str = "softmax"
    preprocessing: Preprocessing = field(default_factory=lambda: Preprocessing(size=16, scaling="raw"))
    seen: int = 0
    fail_after: int | None = None

    def inference(self, precision: str, output: str) -> Callable[[np.ndarray], np.ndarray]:
        def answer(images: np.ndarray) -> np.ndarray:
            if self.fail_after is not None and self.seen + len(images) > self.fail_after:
                raise KeyboardInterrupt
            self.seen += len(images)
            return self.logits[np.rint(images[:, 8, 8, 0] / 10).astype(int)]

        return answer


def ranked(*best: int) -> np.ndarray:
    """Logits of the six source classes whose order is ``best``, then the others by index."""
    order = [*best, *(i for i in range(len(SOURCES)) if i not in best)]
    logits = np.zeros(len(SOURCES), np.float32)
    logits[order] = np.arange(len(SOURCES), 0, -1)
    return logits


def instances(split: str, objects: dict[int, list[tuple[int, int]]]) -> dict[str, Any]:
    """COCO's instances: for every image number its objects as (category id, iscrowd)."""
    annotations = [
        {"image_id": 100 + number, "category_id": category, "iscrowd": crowd, "bbox": [0, 0, 9, 9], "area": 81}
        for number, entries in objects.items()
        for category, crowd in entries
    ]
    return {
        "images": [{"id": 100 + n, "file_name": f"{split}{n:02d}.png", "width": 16, "height": 16} for n in objects],
        "annotations": [{"id": i + 1, **entry} for i, entry in enumerate(annotations)],
        "categories": [{"id": i, "name": n, "supercategory": s} for i, n, s in CATEGORIES],
    }


def write_images(folder: Path, split: str, numbers: list[int]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        Image.new("RGB", (16, 16), (10 * number, 0, 0)).save(folder / f"{split}{number:02d}.png")


def write_world(root: Path) -> BuildCoco:
    """Four training images (0 to 3) and six others (4 to 9), their annotations and the class map."""
    cat, dog, cup, person = 17, 18, 47, 1
    train = {0: [(cat, 0), (cat, 0), (person, 0)], 1: [(dog, 1)], 2: [], 3: [(cup, 0), (dog, 0)]}
    val = {4: [(cat, 0)], 5: [(cup, 0)], 6: [(person, 0)], 7: [(dog, 0), (cat, 0)], 8: [(cup, 0)], 9: [(cat, 0)]}
    write_images(root / "train2014", "train", list(train))
    write_images(root / "val2014", "val", list(val))
    for split, objects in (("train", train), ("val", val)):
        (root / f"instances_{split}.json").write_text(json.dumps(instances(split, objects)))
    (root / "map.csv").write_text(MAP)
    return BuildCoco(
        train_images=root / "train2014",
        train_annotations=root / "instances_train.json",
        val_images=root / "val2014",
        val_annotations=root / "instances_val.json",
        output=root / "out",
        class_map=str(root / "map.csv"),
        top_k=2,
        keep=4,
        workers=1,
        batch_size=3,
    )


LOGITS = np.stack(
    [
        ranked(0, 4),
        ranked(1, 3),
        ranked(4, 2),
        ranked(2, 0),  # train: cat / dog / cup / cup + cat
        *[ranked(0, 1)] * 6,  # the others: cat + dog
    ]
)
