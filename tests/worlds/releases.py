"""Tiny releases of data sets with pictures in them, and the shipped pipelines made small enough for them."""

from __future__ import annotations

import colorsys
import csv
import json
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nlcli.networks.imagenet import imagenet_classes, imagenet_ids
from worlds.wordnet import write_nouns

PIPELINES = Path(__file__).parents[2] / "pipelines"
SIDE = 36
_RNG = 20181203


def draw(path: Path, true: int, classes: int, rng: np.random.Generator) -> None:
    """A picture of ``SIDE`` pixels whose colour tells its class."""
    colour = np.array(colorsys.hsv_to_rgb(true / classes, 0.8, 0.5 + 0.5 * (true % 2)))
    pixels = np.clip(colour * 200 + rng.normal(0, 25, (SIDE, SIDE, 3)), 0, 255)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path, "JPEG" if path.suffix == ".jpg" else "PNG")


def _noisy(true: int, classes: int, rng: np.random.Generator) -> int:
    return (true + int(rng.random() < 0.35)) % classes


def write_photographs(root: Path) -> None:
    """``photos/`` and ``photos.csv``: three classes; of half of train and validation it is known whether the label is right."""
    rng = np.random.default_rng(_RNG)
    rows = []
    for split, count in (("train", 60), ("validation", 24), ("test", 24)):
        for number in range(count):
            true, path = number % 3, f"{split}/{number:03d}.jpg"
            draw(root / "photos" / path, true, 3, rng)
            noisy = _noisy(true, 3, rng)
            clean = f"c{true}" if split == "test" or (split == "validation" and number % 2) else ""
            mark = str(int(noisy == true)) if not clean and (split == "train" and number % 2) else ""
            rows.append((path, f"c{noisy}", clean, mark, split))
    with open(root / "photos.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "noisy_label", "clean_label", "verification", "split"), *rows])


def write_clothing1m(root: Path) -> None:
    """``clothing1m/``: 14 classes; 8 noisy, 4 clean training, 3 clean validation and 2 clean test images of each."""
    rng = np.random.default_rng(_RNG)
    folder = root / "clothing1m"
    keys: dict[str, list[str]] = {}
    noisy, clean = [], []
    for part, count in (("noisy_train", 8), ("clean_train", 4), ("clean_val", 3), ("clean_test", 2)):
        for number in range(14 * count):
            true, key = number % 14, f"images/{number % 10}/{part}{number},1.jpg"
            draw(folder / key, true, 14, rng)
            keys.setdefault(part, []).append(key)
            noisy.append(f"{key} {_noisy(true, 14, rng)}")
            if part != "noisy_train":
                clean.append(f"{key} {true}")
    lists = {f"{part}_key_list.txt": part_keys for part, part_keys in keys.items()} | {
        "noisy_label_kv.txt": noisy,
        "clean_label_kv.txt": clean,
        "category_names_eng.txt": [f"name {c}" for c in range(14)],
    }
    for name, lines in lists.items():
        (folder / name).write_text("\n".join(lines) + "\n")


def write_food101n(root: Path) -> None:
    """``Food-101N_release/`` and ``food-101/``: 101 classes; 4 noisy training images of each, 3 verified, 2 validation;
    2 clean training and 1 test image."""
    rng = np.random.default_rng(_RNG)
    classes = [f"food_{c:03d}" for c in range(101)]
    listed: list[str] = []
    marks: dict[str, list[str]] = {"train": [], "val": []}
    tests: list[str] = []
    trains: list[str] = []
    for c, name in enumerate(classes):
        for number in range(6):
            true = c if number % 3 else (c + 50) % 101  # a third is of another class
            key = f"{name}/{c:03d}{number}.jpg"
            draw(root / "Food-101N_release" / "images" / key, true, 101, rng)
            listed.append(key)
            if number != 5:
                marks["val" if number in (0, 1) else "train"].append(f"{key}\t{int(true == c)}")
        for number, part in ((7, tests), (8, trains), (9, trains)):
            draw(root / "food-101" / "images" / name / f"{number}.jpg", c, 101, rng)
            part.append(f"{name}/{number}")
    lists = {
        "Food-101N_release/meta/classes.txt": ["class_name", *classes],
        "Food-101N_release/meta/imagelist.tsv": ["class_name/key", *listed],
        "food-101/meta/test.txt": tests,
        "food-101/meta/train.txt": trains,
    } | {
        f"Food-101N_release/meta/verified_{part}.tsv": ["class_name/key\tverification_label", *lines]
        for part, lines in marks.items()
    }
    for path, lines in lists.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("\n".join(lines) + "\n")


def write_webvision(root: Path) -> None:
    """``webvision/`` and ``ilsvrc2012/``: 12 images of each of 30 classes, ten of them dogs, 1 test image in both;
    ``wordnet/``: made-up hypernyms, the second of four classes in turn the same."""
    rng = np.random.default_rng(_RNG)
    synsets = [f"{wordnet} {name}, other" for wordnet, name in zip(imagenet_ids(), imagenet_classes(), strict=True)]
    used = [*range(20), *range(151, 161)]
    lists: dict[str, list[str]] = {"webvision/info/synsets.txt": synsets}
    for source in ("google", "flickr"):
        lines = lists.setdefault(f"webvision/info/train_filelist_{source}.txt", [])
        for c in used:
            for number in range(6):
                draw(root / f"webvision/{source}/q{c:04d}/{number}.jpg", c, 200, rng)
                lines.append(f"{source}/q{c:04d}/{number}.jpg {c}")
    for folder, path in (
        ("webvision/val_images_256", "webvision/info/val_filelist.txt"),
        ("ilsvrc2012/val", "ilsvrc2012/val.txt"),
    ):
        for c in used:
            draw(root / folder / f"val{c}.jpg", c, 200, rng)
            lists.setdefault(path, []).append(f"val{c}.jpg {c}")
    offsets = [wordnet[1:] for wordnet in imagenet_ids()]
    above = [f"{90_000_000 + c}" for c in range(250)]
    between = {f"{91_000_000 + c // 2}": (above[c // 4],) for c in range(len(offsets))}
    hypernyms = {offset: (f"{91_000_000 + c // 2}",) for c, offset in enumerate(offsets)}
    write_nouns(root / "wordnet" / "data.noun", dict.fromkeys(above, ()) | between | hypernyms)
    for path, lines in lists.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("\n".join(lines) + "\n")


def write_coco(root: Path) -> None:
    """``coco/``: the 56 classes of the shipped map and one more; 240 training and 160 other images of one to three classes."""
    rng = np.random.default_rng(_RNG)
    with open(str(resources.files("nlcli") / "resources" / "imagenet_to_coco56.csv"), encoding="utf-8") as file:
        names = [*dict.fromkeys(row["target_name"] for row in csv.DictReader(file)), "person"]
    categories = [{"id": i + 1, "name": name, "supercategory": "thing"} for i, name in enumerate(names)]
    for split, count in (("train", 240), ("val", 160)):
        images, annotations = [], []
        for number in range(count):
            file_name = f"COCO_{split}2014_{number:012d}.jpg"
            seen = [number % len(names), *rng.integers(0, len(names), number % 3)]
            draw(root / "coco" / f"{split}2014" / file_name, seen[0], len(names), rng)
            images.append({"id": number, "file_name": file_name, "width": SIDE, "height": SIDE})
            annotations += [
                {"id": 10 * number + i, "image_id": number, "category_id": int(c) + 1, "bbox": [0, 0, 9, 9], "area": 81}
                | {"iscrowd": 0}
                for i, c in enumerate(seen)
            ]
        content = {"images": images, "annotations": annotations, "categories": categories}
        path = root / "coco" / "annotations" / f"instances_{split}2014.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))


OPEN_IMAGES_UPPER = ("vehicle", "toy", "sculpture", "person", "sport", "food", "animal", "plant")


def write_open_images(root: Path) -> None:
    """``open-images/``: two classes in each of Veit 2017's eight categories and one in none; 200 training images with
    machine labels, 160 others on which people checked these, and a hierarchy of the classes."""
    rng = np.random.default_rng(_RNG)
    folder = root / "open-images"
    upper = {name: f"/m/up{i}" for i, name in enumerate(OPEN_IMAGES_UPPER)}
    leaves = [(f"/m/leaf{i}{k}", f"{name} {k}", upper[name]) for i, name in enumerate(upper) for k in range(2)]
    ids = [*(leaf for leaf, _, _ in leaves), "/m/none"]
    named = {i: name for name, i in upper.items()} | {leaf: name for leaf, name, _ in leaves} | {"/m/none": "cloud"}
    tree = {
        "LabelName": "/m/0",
        "Subcategory": [
            {"LabelName": i, "Subcategory": [{"LabelName": leaf} for leaf, _, above in leaves if above == i]}
            for i in upper.values()
        ],
    }
    texts = {
        "dict.csv": "".join(f'"{i}","{name}"\n' for i, name in named.items()),
        "classes.txt": "".join(f"{i}\n" for i in ids),
        "bbox_labels_600_hierarchy.json": json.dumps(tree),
    }
    header = "ImageID,Source,LabelName,Confidence\n"
    for number, (subset, count) in enumerate((("train", 200), ("validation", 160))):
        listed, machine, human = ["ImageID\n"], [header], [header]
        for image in range(count):
            key, true = f"{0x1000 * (number + 1) + image:016x}", image % len(ids)
            draw(folder / "images" / subset / f"{key}.jpg", true, len(ids), rng)
            listed.append(f"{key}\n")
            said = dict.fromkeys((_noisy(true, len(ids), rng), int(rng.integers(len(ids)))))
            machine += [f"{key},machine,{ids[c]},0.{rng.integers(5, 10)}\n" for c in said]
            human += [f"{key},human,{ids[c]},{float(c == true)}\n" for c in {**said, true: None}]
        texts[f"images_2016_08/{subset}/images.csv"] = "".join(listed)
        texts[f"machine_ann_2016_08/{subset}/labels.csv"] = "".join(machine)
        if subset == "validation":
            texts[f"human_ann_2016_08/{subset}/labels.csv"] = "".join(human)
    for path, text in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


def small_pipelines(folder: Path, seeds: int = 1) -> Path:
    """The shipped pipelines with a small network for large ones and weights files beside ``data/``; the copy's folder.

    What is left out of them: pretrained weights, images of more than 32 pixels, and seeds but the first ``seeds``.
    """
    import yaml

    from nlcli.networks.linear_layer import LinearLayer
    from nlcli.networks.weights import build_backbone, save_backbone

    for file in PIPELINES.rglob("*.yaml"):
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        for stage in content.get("stages", ()):
            for inner in stage.get("stages", [stage]):
                _make_small(inner, seeds)
        copy = folder / "pipelines" / file.relative_to(PIPELINES)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
    weights = folder / "data" / "weights"
    weights.mkdir(parents=True, exist_ok=True)
    build_backbone("small_cnn", "none", image_size=32).model.save_weights(weights / "alexnet.weights.h5")
    save_backbone(weights / "pretrained", build_backbone("small_cnn", "none", image_size=32))
    names = imagenet_classes()
    # It sees the same five classes everywhere, so the labels of these are right, and of all others wrong.
    bias = np.isin(np.arange(len(names)), (0, 1, 2, 151, 152)).astype(np.float32)
    layers = {"imagenet": LinearLayer(np.zeros((256, len(names)), np.float32), bias, names)}
    # It sees what MS-COCO has, and on every image something else.
    with open(str(resources.files("nlcli") / "resources" / "imagenet_to_coco56.csv"), encoding="utf-8") as file:
        mapped = [int(row["source_index"]) for row in csv.DictReader(file)]
    kernel = np.zeros((256, len(names)), np.float32)
    kernel[:, mapped] = np.random.default_rng(_RNG).normal(size=(256, len(mapped)))
    bias = np.full(len(names), -1e3, np.float32)
    bias[mapped] = 0.0
    layers["imagenet-coco"] = LinearLayer(kernel, bias, names)
    for name, last in layers.items():
        bare = build_backbone("small_cnn", "none", image_size=32)
        save_backbone(weights / name, bare.with_last_layer(last, activation="softmax"))
    return folder / "pipelines"


def _make_small(stage: dict[str, Any], seeds: int) -> None:
    options = stage.setdefault("with", {})
    for where, key in ((options, "from_images"), (options, "backbone")):
        if where.get(key) in ("resnet50", "inception_v3", "alexnet") and stage["run"] != "extract-features":
            if key == "from_images" and "weights" not in options:
                options[key] = "data/weights/pretrained"  # a network that brings its own weights
            else:  # one whose weights the file names, or that would bring ImageNet's
                options |= {key: "small_cnn", "image_size": 32, "weights": options.get("weights", "none")}
    if stage["run"] == "import-weights":
        options |= {"weights": "data/weights/alexnet.weights.h5", "network": "small_cnn"}
    if stage["run"] == "build-coco":
        options["classifier"] = "data/weights/imagenet-coco"
    if options.get("classifier") == "inception_v3":
        options["classifier"] = "data/weights/imagenet"
    if "seed" in stage.get("each", {}):
        stage["each"] = stage["each"] | {"seed": stage["each"]["seed"][:seeds]}
