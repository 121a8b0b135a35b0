"""Many images and many classes: processor time and peak memory of ``build-folders`` and ``add-noise``.

A million images of 1,000 classes from a CSV table, a tenth of them checked; the same with every class known, and noise
planted into it; and 40,000 images in the folders of 20,000 classes. The files are generated, pictures without content
included, in the temporary folder; everything is removed afterwards. The floor is reading the same table with Python's
``csv`` and asking for every picture whether it is there. Times are processor seconds: what else a machine does counts
little in them.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._process import cost_of

IMAGES, CLASSES = 1_000_000, 1000
FOLDERS, IN_FOLDER = 20_000, 2
_A_FOLDER = 1000
_FLOOR = """
import csv, os, sys
with open(sys.argv[1], newline="") as file:
    rows = list(csv.DictReader(file))
print(sum(os.path.isfile(os.path.join(sys.argv[2], row["path"])) for row in rows))
"""


def run(quick: bool) -> list[dict[str, Any]]:
    """Rows of the table; ``quick`` makes a fiftieth of the images and of the folders."""
    part = 50 if quick else 1
    with tempfile.TemporaryDirectory(prefix="tables-") as place:
        root = Path(place)
        images, folders = IMAGES // part, FOLDERS // part
        _tables(root, images)
        _touch(root / "folders", (f"class {c:05d}/{i}.jpg" for c in range(folders) for i in range(IN_FOLDER)))
        photos, output = ["--images", str(root / "photos")], "--output"
        build = ["-m", "nlcli", "-q", "build-folders"]
        listed = [*build, "--table", str(root / "list.csv"), *photos, output, str(root / "listed")]
        clean = [*build, "--table", str(root / "clean.csv"), *photos, output, str(root / "clean")]
        noise = ["-m", "nlcli", "-q", "add-noise", "--kind", "symmetric", "--rate", "0.3"]
        noise += ["--dataset", str(root / "clean"), output, str(root / "noisy")]
        of_folders = [*build, "--images", str(root / "folders"), output, str(root / "many")]
        floor = cost_of([sys.executable, "-c", _FLOOR, str(root / "list.csv"), str(root / "photos")])
        rows: list[dict[str, Any]] = [
            {
                "name": f"read {images:,} rows, look for the pictures",
                "value": floor[0],
                "unit": "s",
                "peak_memory": floor[1],
            }
        ]
        for name, command, target in (
            (f"build-folders, {images:,} rows of {CLASSES:,} classes", listed, "at most 20 s and 0.6 GiB"),
            (f"build-folders, {images:,} rows, all checked", clean, "at most 20 s and 0.6 GiB"),
            (f"add-noise, {images:,} rows", noise, "at most 20 s and 0.6 GiB"),
            (f"build-folders, {folders:,} classes", of_folders, "at most 60 s and 1 GiB"),
        ):
            seconds, peak = cost_of([sys.executable, *command])
            ratio = {"ratio": seconds / floor[0], "ratio_to": "reading and looking"} if command is listed else {}
            rows.append({"name": name, "value": seconds, "unit": "s", "target": target, "peak_memory": peak, **ratio})
    return rows


def _touch(root: Path, paths: Iterable[str]) -> None:
    made: set[str] = set()
    for path in paths:
        folder = os.path.dirname(path)
        if folder not in made:
            (root / folder).mkdir(parents=True)
            made.add(folder)
        os.close(os.open(root / path, os.O_CREAT | os.O_WRONLY))


def _tables(root: Path, images: int, seed: int = 0) -> None:
    """``list.csv``, ``clean.csv`` and the pictures that they name."""
    rng = np.random.default_rng(seed)
    true = rng.integers(CLASSES, size=images)
    noisy = np.where(rng.random(images) < 0.8, true, rng.integers(CLASSES, size=images)).tolist()
    checked = (rng.random(images) < 0.1).tolist()
    paths = [f"folder_{i // _A_FOLDER:04d}/photograph_{i:07d}.jpg" for i in range(images)]
    _touch(root / "photos", paths)
    with open(root / "list.csv", "w") as listed, open(root / "clean.csv", "w") as clean:
        for file in (listed, clean):
            file.write("path,noisy_label,clean_label\n")
        for path, called, seen, t in zip(paths, noisy, checked, true.tolist(), strict=True):
            listed.write(f"{path},class {called:03d},{f'class {t:03d}' if seen else ''}\n")
            clean.write(f"{path},class {t:03d},class {t:03d}\n")
