"""FiftyOne's own format of classified images (``FiftyOneImageClassificationDataset``), one folder a split.

``labels.json`` has the classes and, for every image by a number, the index of its class, or a list of them (several
labels); null without one. ``data.json`` says where each picture is, so that none is copied. Load one split with
``fiftyone.Dataset.from_dir(dataset_dir="...", dataset_type=fiftyone.types.FiftyOneImageClassificationDataset,
data_path="data.json")``. Labels are the best that is known; which of them a person saw has no place in this format.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from nlcli.data.exports.exported_image import exported_images
from nlcli.data.labels import SPLITS, LabelTable
from nlcli.stages.files import write_json


def write(folder: Path, table: LabelTable) -> None:
    """Write a folder for each split that has images."""
    labels: dict[str, dict[str, Any]] = {name: {} for name in SPLITS}
    pictures: dict[str, dict[str, str]] = {name: {} for name in SPLITS}
    single = table.task == "single-label"
    root = os.path.abspath(table.image_root)
    for image in exported_images(table):
        number = f"{image.row:09d}"  # FiftyOne cuts what looks like an ending off a name, so paths are none
        first = image.labels[0] if image.labels else None
        labels[image.split][number] = first if single else image.labels
        pictures[image.split][number] = os.path.join(root, image.path)
    for split in SPLITS:
        if labels[split]:
            (folder / split).mkdir()
            write_json(folder / split / "labels.json", {"classes": list(table.classes), "labels": labels[split]})
            write_json(folder / split / "data.json", pictures[split])
