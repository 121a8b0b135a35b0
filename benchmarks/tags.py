"""Ten million tags of a million images: processor time and peak memory of ``build-tags``, from a long and a wide table.

The files are generated, pictures without content included, in the temporary folder; everything is removed afterwards.
The floor is parsing the same long table with pyarrow and nothing else.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._process import cost_of

IMAGES, TAGS, CLASSES = 1_000_000, 10, 1000
CHECKED = 0.003
_FOLDER = 1000
_TARGET = "at most 60 s on 2 cores and 4 GiB"
_FLOOR = """
import sys, pyarrow.csv as c
c.read_csv(sys.argv[1])
"""


def run(quick: bool) -> list[dict[str, Any]]:
    """Rows of the table; ``quick`` makes a fiftieth of the images."""
    images = IMAGES // 50 if quick else IMAGES
    with tempfile.TemporaryDirectory(prefix="tags-") as place:
        root = Path(place)
        started = time.perf_counter()
        generate(root, images)
        print(f"generated in {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
        floor, floor_peak = cost_of([sys.executable, "-c", _FLOOR, str(root / "long.csv")])
        rows: list[dict[str, Any]] = [
            {"name": f"parse the long table, {images:,} images", "value": floor, "unit": "s", "peak_memory": floor_peak}
        ]
        for name in ("long.csv", "long.parquet", "wide.csv"):
            options = ["--verified-means", "listed"] if name.startswith("long") else []
            command = ["-m", "nlcli", "-q", "build-tags", "--table", str(root / name), "--images", str(root / "photos")]
            built, peak = cost_of([sys.executable, *command, "--output", str(root / f"data-{name}"), *options])
            rows.append(
                {
                    "name": f"build-tags from {name}, {images * TAGS:,} tags",
                    "value": built,
                    "unit": "s",
                    "ratio": built / floor,
                    "ratio_to": "parsing",
                    "target": _TARGET,
                    "peak_memory": peak,
                }
            )
    return rows


def generate(root: Path, images: int, seed: int = 0) -> None:
    """Empty pictures, a thousand a folder, and the same tags as a long and as a wide table."""
    import pyarrow as pa
    import pyarrow.csv as csv
    import pyarrow.parquet as pq

    paths = []
    for number in range(images):
        folder, inside = divmod(number, _FOLDER)
        path = f"{folder:04d}/{inside:03d}.jpg"
        if not inside:
            (root / "photos" / f"{folder:04d}").mkdir(parents=True)
        os.close(os.open(root / "photos" / path, os.O_CREAT | os.O_WRONLY))
        paths.append(path)
    rng = np.random.default_rng(seed)
    chance = 1 / np.arange(1, CLASSES + 1) ** 0.7
    tags = rng.choice(CLASSES, size=(images, TAGS), p=chance / chance.sum()).astype(np.int32)
    names = np.array([f"class {c}" for c in range(CLASSES)])
    checked = rng.random(images) < CHECKED
    confidence = np.where(checked[:, None], 1.0, rng.integers(1, 101, tags.shape) / 100)
    long = pa.table(
        {
            "path": pa.array(np.repeat(np.array(paths), TAGS)),
            "label": pa.DictionaryArray.from_arrays(pa.array(tags.ravel()), pa.array(names)).cast(pa.string()),
            "source": pa.array(np.where(np.repeat(checked, TAGS), "human", "machine")),
            "confidence": pa.array(confidence.ravel()),
        }
    )
    csv.write_csv(long, root / "long.csv", csv.WriteOptions(quoting_style="none"))
    pq.write_table(long, root / "long.parquet")
    cells = ["|".join(names[row]) for row in tags]
    wide = {
        "path": paths,
        "noisy": cells,
        "present": [cell if seen else "" for cell, seen in zip(cells, checked, strict=True)],
        "verified": ["full" if seen else "" for seen in checked],
    }
    csv.write_csv(pa.table(wide), root / "wide.csv", csv.WriteOptions(quoting_style="none"))
