"""Tiny releases of single-label data sets with pictures in them, and the shipped pipelines made small enough for them."""

from __future__ import annotations

import colorsys
import csv
import re
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from nlcli.networks.imagenet import imagenet_classes, imagenet_ids

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
    """``webvision/`` and ``ilsvrc2012/``: 12 images of each of 30 classes, ten of them dogs, 1 test image in both."""
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
    for path, lines in lists.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("\n".join(lines) + "\n")


def small_pipelines(folder: Path) -> Path:
    """The shipped pipelines with a small network for large ones and weights files beside ``data/``; the copy's folder.

    What is left out of them: pretrained weights, and images of more than 32 pixels.
    """
    from nlcli.networks.linear_layer import LinearLayer
    from nlcli.networks.weights import build_backbone, save_backbone

    shutil.copytree(PIPELINES, folder / "pipelines")
    for file in (folder / "pipelines").rglob("*.yaml"):
        text = file.read_text(encoding="utf-8")
        # A network whose weights the file names, and one that brings its own.
        bare = r"\1from_images: small_cnn\n\1image_size: 32\n"
        text = re.sub(r"^( +)from_images: (?:resnet50|alexnet)\n(?= +weights: )", bare, text, flags=re.MULTILINE)
        text = re.sub(
            r"^( +)from_images: resnet50$", r"\1from_images: data/weights/pretrained", text, flags=re.MULTILINE
        )
        text = text.replace("classifier: inception_v3", "classifier: data/weights/imagenet")
        file.write_text(text, encoding="utf-8")
    weights = folder / "data" / "weights"
    weights.mkdir(parents=True, exist_ok=True)
    build_backbone("small_cnn", "none", image_size=32).model.save_weights(weights / "alexnet.weights.h5")
    save_backbone(weights / "pretrained", build_backbone("small_cnn", "none", image_size=32))
    # It sees the same five classes everywhere, so the labels of these are right, and of all others wrong.
    names = imagenet_classes()
    bias = np.isin(np.arange(len(names)), (0, 1, 2, 151, 152)).astype(np.float32)
    last = LinearLayer(np.zeros((256, len(names)), np.float32), bias, names)
    classifier = build_backbone("small_cnn", "none", image_size=32).with_last_layer(last, activation="softmax")
    save_backbone(weights / "imagenet", classifier)
    return folder / "pipelines"
