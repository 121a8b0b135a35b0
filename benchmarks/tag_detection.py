"""Wrong and missing tags of a million images of 1,000 classes: processor time and peak memory of ``detect-noise``.

Ten tags an image, of which a fifth is missing and as many others are there; 256 features; of 4,000 images a person
checked every class. Data set and features are generated in the temporary folder and removed afterwards. Times are
processor seconds: what else a machine does counts little in them.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from benchmarks._features import write_features
from benchmarks._process import cost_of
from nlcli.data.label_files import read_dataset, write_dataset
from nlcli.data.labels import FULL, SPLITS, LabelTable, strings
from nlcli.stages.config import StageConfig
from nlcli.stages.options import Option, Output
from nlcli.stages.stage import open_stage

IMAGES, TAGS, CLASSES, WIDTH = 1_000_000, 10, 1000, 256
CHECKED = {"train": 2000, "validation": 1000, "test": 1000}
MISSING = 0.2
_BLOCK = 20_000


class _MadeTags(StageConfig):
    """Where the made-up data set goes."""

    output: Output
    images: Annotated[int, Option("How many.")]


def run(quick: bool) -> list[dict[str, Any]]:
    """Rows of the table; ``quick`` makes a fiftieth of the images."""
    images = IMAGES // 50 if quick else IMAGES
    with tempfile.TemporaryDirectory(prefix="tag-detection-") as place:
        root = Path(place)
        generate(root, images)
        command = [sys.executable, "-m", "nlcli", "-q", "detect-noise", "--dataset", str(root / "data")]
        command += ["--features", str(root / "features"), "--output", str(root / "detection")]
        seconds, peak = cost_of(command)
    return [
        {
            "name": f"detect-noise, {images:,} images of {CLASSES:,} classes, {WIDTH} features",
            "value": seconds,
            "unit": "s",
            "target": "at most 4 GiB",
            "peak_memory": peak,
        }
    ]


def generate(root: Path, images: int, seed: int = 0) -> None:
    """``data`` and ``features``: a direction for every class, which the features of its images go along."""
    from scipy.sparse import csr_array, vstack

    rng = np.random.default_rng(seed)
    chance = 1 / np.arange(1, CLASSES + 1) ** 0.7
    chance /= chance.sum()
    directions = (rng.random((CLASSES, WIDTH)) ** 3).astype(np.float32)
    features = np.empty((images, WIDTH), np.float16)
    true, noisy = [], []
    for first in range(0, images, _BLOCK):
        count = min(_BLOCK, images - first)
        there = _drawn(rng, count, chance, TAGS)
        left = there.copy()
        left.data *= rng.random(len(left.data)) >= MISSING
        given = left + _drawn(rng, count, chance, round(MISSING * TAGS))
        given.data = np.minimum(given.data, 1)
        given.eliminate_zeros()
        spread = rng.normal(0.0, 0.8, (count, WIDTH)).astype(np.float32)
        features[first : first + count] = np.maximum(0.0, there @ directions + spread)
        true.append(there)
        noisy.append(given)
    split, verification = np.zeros(images, np.int8), np.zeros(images, np.uint8)
    checked = rng.permutation(images)[: sum(CHECKED.values())]
    split[checked] = np.repeat(np.arange(len(SPLITS)), list(CHECKED.values()))
    verification[checked] = FULL
    known = csr_array((verification > 0).astype(np.uint8)[:, None])
    present = csr_array(vstack(true).multiply(known), dtype=np.uint8)
    present.eliminate_zeros()
    keys = strings([f"i{i:07d}" for i in range(images)])
    table = LabelTable(
        task="multi-label",
        classes=tuple(f"class {c}" for c in range(CLASSES)),
        keys=keys,
        paths=keys,
        image_root=root,
        split=split,
        noisy=csr_array(vstack(noisy), dtype=np.float32),
        present=present,
        absent=csr_array((images, CLASSES), dtype=np.uint8),
        verification=verification,
    )
    with open_stage("dataset", _MadeTags(output=root / "data", images=images), {}) as stage:
        write_dataset(stage.work, table, {"name": "made", "source": "made by a benchmark"})
        stage.finish({"images": images})
    write_features(root / "features", keys.tolist(), features, read_dataset(root / "data").fingerprint)


def _drawn(rng: np.random.Generator, images: int, chance: np.ndarray, tags: int) -> Any:
    """(images, C) CSR of ones: classes drawn by ``chance``, ``tags`` of each image or, where one came twice, fewer."""
    from scipy.sparse import csr_array

    classes = rng.choice(len(chance), size=images * tags, p=chance)
    rows = np.repeat(np.arange(images), tags)
    drawn = csr_array((np.ones(len(rows), np.float32), (rows, classes)), shape=(images, len(chance)))
    drawn.sum_duplicates()
    drawn.data[:] = 1
    return drawn
