"""Every kind of stage as one small command each, in an order in which each reads what those before it made.

Names of classes and of pictures differ in capitals alone, and in how letters are composed.
"""

from __future__ import annotations

import csv
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("Cat", "cat", "Caf\u00e9", "Cafe\u0301")
EXPORTS = ("csv", "parquet", "coco", "imagefolder", "labelstudio", "cvat", "fiftyone")
_KEEP = ("--class-names=keep",)
_DATA = ("--dataset", "noisy", "--features", "features")


def _command(text: str, *more: str, output: str) -> tuple[str, ...]:
    return (*text.split(), *more, "--output", output)


BUILD = _command("build-folders --images photographs", *_KEEP, output="out")
PAGE = _command("report data", output="out.html")
COMMANDS: tuple[Sequence[str], ...] = (
    _command(
        "build-folders --images photographs --verified=train --verified=validation --verified=test",
        *_KEEP,
        output="data",
    ),
    _command("build-tags --table tags.csv --images photographs", *_KEEP, output="tags"),
    _command("add-noise --dataset data --rate 0.3 --verified 0.5", output="noisy"),
    _command("import-features --dataset noisy --source vectors.npy --keys keys.txt", output="features"),
    _command("detect-noise --method knn --set neighbours=1", *_DATA, output="detection"),
    _command("detect-noise --method posterior", *_DATA, output="posterior"),
    _command(
        "clean-labels --dataset noisy --from posterior --precision 0 --max-changes 1",
        *(f"--export={name}" for name in EXPORTS),
        output="cleaned",
    ),
    _command("restore-labels --dataset cleaned", output="given-back"),
    _command("suggest --dataset noisy --from posterior --count 8 --export=cvat --export=labelstudio", output="queue"),
    _command("import-verification --dataset noisy --suggestion queue --answers answers.csv", output="checked"),
    _command("train-head --method auto", *_DATA, output="run"),
    _command("eval run --bootstrap 20 --examples 4", output="scored"),
    _command("eval posterior --bootstrap 20", output="errors"),
    _command("report data posterior scored", output="page.html"),
    _command("train-head --method noisy", *_DATA, output="plain"),
    _command("eval plain --bootstrap 20 --examples 0", output="scored-plain"),
    _command("compare scored scored-plain", output="compared"),
    _command("analyse scored scored-plain", output="analysed"),
    _command("table --by none --row auto=scored --row noisy=scored-plain", output="tabled"),
    _command("build-digits --kind single --train-images 60 --val-images 30", output="digits"),
    _command("build-digits --train-images 40 --val-images 40", output="scenes"),
    _command("deduplicate --dataset noisy", output="unique"),
    _command("tune --method noisy --trials 2 --steps 20 --bootstrap 100", *_DATA, output="tuned"),
    _command("train-head --method residual --steps 20", *_DATA, output="residual"),
    _command(
        "build-coco --train-images scenes/images/train --train-annotations scenes/annotations/instances_train.json "
        "--val-images scenes/images/val --val-annotations scenes/annotations/instances_val.json "
        "--classifier scenes/classifier --class-map scenes/class_map.csv --top-k 2",
        output="coco",
    ),
    _command(
        "pretrain-backbone --dataset noisy --backbone small_cnn --weights none --image-size 32 --steps 4",
        "--eval-every=2",
        output="backbone",
    ),
    _command("annotate --images photographs --classifier backbone --keep 2", output="predictions"),
    _command("extract-features --dataset noisy --backbone backbone", output="extracted"),
    _command("train-head --method noisy --steps 20 --dataset noisy --features extracted", output="head"),
    _command("predict photographs --run head --format csv", output="scores.csv"),
    _command("export-model head --format keras", output="exported"),
    _command(
        "clean photographs --backbone small_cnn --weights none --pretrain-steps 4 --jobs 1", *_KEEP, output="pile"
    ),
)


def write_sources(folder: Path) -> None:
    """What the commands read: ``photographs/CLASS/NNN.png``, two of a class alike in name; tables, vectors, answers."""
    rng = np.random.default_rng(0)
    keys = []
    for number, name in enumerate(CLASSES):
        (folder / "photographs" / name).mkdir(parents=True)
        for picture in range(10):
            file = ("img.png", "IMG.png")[picture] if picture < 2 else f"{picture:03d}.png"
            pixels = np.clip(np.eye(4)[number][:3] * 120 + rng.integers(0, 130, (24, 24, 3)), 0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / "photographs" / name / file, "PNG")
            keys.append(f"{name}/{file}")
    (folder / "keys.txt").write_text("\n".join(keys) + "\n", "utf-8")
    vectors = np.repeat(np.eye(4, 6), 10, axis=0) + rng.normal(0, 0.4, (len(keys), 6))
    np.save(folder / "vectors.npy", vectors.astype(np.float32))
    with open(folder / "tags.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "noisy"), *((key, f"{key.split('/')[0]}|Dog") for key in keys)])
    with open(folder / "answers.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "label"), *((key, key.split("/")[0]) for key in keys[::5])])


def taken_for_one(names: Iterable[str]) -> list[str]:
    """Those of ``names`` (paths) that are one to a file system without capitals, or to one that composes letters."""
    alike = Counter(unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold()) for name in names)
    return sorted(name for name, times in alike.items() if times > 1)
