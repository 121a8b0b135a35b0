"""COCO's JSON with categories of images, one file a split, for pycocotools and ``build-tags``.

An annotation is a label of an image without a box: the best that is known, with ``verified`` true where a person saw
it. What that leaves out stands at the image: ``noisy_category_ids`` with ``noisy_scores``, ``verification``, and, as
LVIS has it, ``neg_category_ids``, the classes that a person saw are not there. ``info`` has the ``task``, so that one
label an image is read as such.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nlcli.data.exports.exported_image import exported_images
from nlcli.data.labels import SPLITS, LabelTable
from nlcli.stages.files import atomic_path


def write(folder: Path, table: LabelTable) -> None:
    """Write ``SPLIT.json`` of every split that has images; ids of images and categories count from 1."""
    groups = table.groups or (None,) * table.num_classes
    categories = [
        {"id": number, "name": name, **({} if group is None else {"supercategory": group})}
        for number, (name, group) in enumerate(zip(table.classes, groups, strict=True), start=1)
    ]
    images: dict[str, list[dict[str, Any]]] = {name: [] for name in SPLITS}
    annotations: dict[str, list[dict[str, Any]]] = {name: [] for name in SPLITS}
    for image in exported_images(table):
        entry: dict[str, Any] = {
            "id": image.row + 1,
            "file_name": image.path,
            "split": image.split,
            "verification": image.verification,
            "noisy_category_ids": [one + 1 for one in image.noisy],
            "noisy_scores": image.confidence,
        }
        if image.absent:
            entry["neg_category_ids"] = [one + 1 for one in image.absent]
        images[image.split].append(entry)
        for one in image.labels:
            annotations[image.split].append(
                {
                    "id": len(annotations[image.split]) + 1,
                    "image_id": image.row + 1,
                    "category_id": one + 1,
                    "verified": one in image.present,
                }
            )
    for split in SPLITS:
        if images[split]:
            content = {
                "info": {"description": f"{split} images with labels of the image", "task": table.task},
                "images": images[split],
                "annotations": annotations[split],
                "categories": categories,
            }
            with atomic_path(folder / f"{split}.json") as temporary, open(temporary, "w", encoding="utf-8") as file:
                json.dump(content, file, ensure_ascii=False)
