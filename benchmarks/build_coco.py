"""``build-coco`` on annotations of COCO's size without inference, beside parsing the same JSON.

The files are made to the measure of instances_train2014 and instances_val2014: 82,783 and 40,504
images, 604,907 and 291,875 objects, some 700 bytes each, most of them a polygon. The images are
empty files: none is opened, because the predictions are there already (drawn at random). What is
timed is everything else: hashing, parsing, checking, pycocotools' index, listing the folders,
mapping, statistics, figure, and writing.
"""

from __future__ import annotations

import importlib
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np

IMAGES = {"train": 82_783, "val": 40_504}
OBJECTS = {"train": 604_907, "val": 291_875}


def run(quick: bool) -> list[dict]:
    """Seconds of building and of building again unchanged, with their ratio to parsing."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for split in IMAGES:
            _write_split(root, split, 10 if quick else 1)
        return _measure(root, turns=3 if quick else 2)


def _measure(root: Path, turns: int) -> list[dict]:
    annotate = importlib.import_module("nlcli.data.annotate")
    from nlcli.data.config import BuildCoco
    from nlcli.data.sources.coco import build_coco

    def config(name: str) -> BuildCoco:
        return BuildCoco(
            train_images=root / "train2014",
            train_annotations=root / "train.json",
            val_images=root / "val2014",
            val_annotations=root / "val.json",
            output=root / name,
            predictions=root / "predictions",
        )

    def parse() -> None:
        for split in IMAGES:
            with open(root / f"{split}.json", encoding="utf-8") as file:
                json.load(file)

    seconds: dict[str, list[float]] = {"parse": [], "build": [], "again": []}
    parse()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with (
        mock.patch.object(annotate, "open_classifier", _pretended_classifier),
        mock.patch.object(annotate, "_predict_parts", _write_random_parts),
    ):
        build_coco(config("first"))  # makes the predictions, which the others find
        for turn in range(turns):
            seconds["parse"].append(_time(parse))
            seconds["build"].append(_time(lambda turn=turn: build_coco(config(f"out{turn}"))))
            seconds["again"].append(_time(lambda turn=turn: build_coco(config(f"out{turn}"))))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1 if sys.platform == "darwin" else 1024
    parsing = statistics.median(seconds["parse"])

    def row(name: str, key: str, target: str | None, memory: int | None) -> dict[str, Any]:
        ratio = statistics.median(a / b for a, b in zip(seconds[key], seconds["parse"], strict=True))
        return {
            "name": name,
            "value": statistics.median(seconds[key]),
            "unit": "s",
            "ratio": ratio,
            "ratio_to": "parsing the JSON",
            "target": target,
            "peak_memory": memory,
        }

    return [
        {"name": "json.load of both files", "value": parsing, "unit": "s", "peak_memory": before * unit},
        row("build-coco without inference", "build", "at most 1.5", peak * unit),
        row("build-coco, up to date", "again", None, None),
    ]


def _time(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _write_split(root: Path, split: str, divisor: int) -> None:
    rng = np.random.default_rng([7, len(split)])
    images, objects = IMAGES[split] // divisor, OBJECTS[split] // divisor
    folder = root / f"{split}2014"
    folder.mkdir()
    names = [f"COCO_{split}2014_{number:012d}.jpg" for number in range(images)]
    for name in names:
        (folder / name).touch()
    categories = _categories()
    listed = ",".join(
        f'{{"license": 5, "file_name": "{name}", "coco_url": "http://images.cocodataset.org/{split}2014/{name}", '
        f'"height": 480, "width": 640, "date_captured": "2013-11-14 16:28:13", "id": {number}}}'
        for number, name in enumerate(names)
    )
    polygons = [json.dumps([np.round(rng.uniform(0, 640, 88), 2).tolist()]) for _ in range(500)]
    of_image, category = rng.integers(0, images, objects), rng.integers(1, len(categories) + 1, objects)
    with open(root / f"{split}.json", "w", encoding="utf-8") as file:
        file.write('{"info": {"year": 2014}, "licenses": [], "images": [' + listed + '], "annotations": [')
        for number, (image, kind) in enumerate(zip(of_image.tolist(), category.tolist(), strict=True)):
            file.write(
                f'{"," if number else ""}{{"segmentation": {polygons[number % 500]}, "area": 702.1057499999998, '
                f'"iscrowd": 0, "image_id": {image}, "bbox": [473.07, 395.93, 38.65, 28.67], "category_id": {kind}, '
                f'"id": {number + 1}}}'
            )
        kinds = [{"supercategory": "thing", "id": i, "name": name} for i, name in enumerate(categories, start=1)]
        file.write('], "categories": ' + json.dumps(kinds) + "}")


def _categories() -> list[str]:
    from nlcli.data.class_map import read_class_map

    return [*read_class_map("imagenet-coco56").targets, *(f"other {number}" for number in range(24))]


def _pretended_classifier(config: Any) -> Any:
    from nlcli.networks.imagenet import imagenet_classes
    from nlcli.networks.images import Preprocessing

    return SimpleNamespace(name="pretended", classes=imagenet_classes(), preprocessing=Preprocessing(size=299))


def _write_random_parts(stage: Any, config: Any, classifier: Any, images: Sequence[Any]) -> None:
    annotate = importlib.import_module("nlcli.data.annotate")
    rng = np.random.default_rng(3)
    for number, start in enumerate(range(0, len(images), annotate.PART_IMAGES)):
        keys = [image.key for image in images[start : start + annotate.PART_IMAGES]]
        indices = rng.integers(0, 1000, (len(keys), config.keep)).astype(np.int32)
        scores = np.sort(rng.random((len(keys), config.keep), np.float32), axis=1)[:, ::-1]
        annotate._write_part(annotate._part_path(stage.work, number), keys, indices, scores, {})
