"""Open Images V1 at full size: time and peak memory of building it, and of reading it back.

The files are generated: as many images, labels and classes as the published ones (9,011,219 +
167,056 images, 79 M + 2 M machine labels, 6,012 trainable classes of 7,844), quoted image lists of
the real width, labels sorted by image, some repeated, human labels on the validation images. Needs
10 GB of disk in the temporary folder; everything is removed afterwards.

The floor of building is parsing the same columns of the same files with pyarrow and nothing else.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

IMAGES = {"train": 9_011_219, "validation": 167_056}
LABELS_PER_IMAGE = {"train": 8.784, "validation": 12.258}
TRAINABLE, CLASSES = 6_012, 7_844
_BLOCK = 500_000
_GIB = 8

_FLOOR = """
import sys, pyarrow as pa, pyarrow.csv as c
for path, columns, newlines in zip(sys.argv[1::3], sys.argv[2::3], sys.argv[3::3]):
    with pa.OSFile(path) as file:
        parse = c.ParseOptions(newlines_in_values=newlines == "1")
        convert = c.ConvertOptions(include_columns=columns.split(","))
        reader = c.open_csv(file, c.ReadOptions(block_size=16 << 20), parse, convert)
        for batch in reader:
            pass
"""
_READ = """
import sys
from nlcli.data.label_files import read_dataset
table = read_dataset(sys.argv[1])
print(len(table), table.num_classes, table.noisy.nnz)
"""


def run(quick: bool) -> list[dict]:
    """Rows of the table; ``quick`` makes a fiftieth of the images."""
    scale = 0.02 if quick else 1.0
    with tempfile.TemporaryDirectory(prefix="open-images-") as place:
        root, output = Path(place) / "root", Path(place) / "data"
        started = time.perf_counter()
        size = generate(root, scale)
        print(f"generated {size / 2**30:.2f} GiB in {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
        files = []
        for subset in IMAGES:
            files += [root / f"images_2016_08/{subset}/images.csv", "ImageID", "1"]
            files += [root / f"machine_ann_2016_08/{subset}/labels.csv", "ImageID,LabelName,Confidence", "0"]
        floor, floor_peak = measured([sys.executable, "-c", _FLOOR, *map(str, files)])
        built, built_peak = measured(
            [sys.executable, "-m", "nlcli", "-q", "build-openimages", "--root", str(root), "--output", str(output)]
        )
        read, read_peak = measured([sys.executable, "-c", _READ, str(output)])
        stored = sum(path.stat().st_size for path in output.iterdir())
    images = round(sum(IMAGES.values()) * scale)
    what = f"{images:,} images"
    limit = f"at most {_GIB} GiB"
    return [
        {"name": f"parse the CSV files, {what}", "value": floor, "unit": "s", "peak_memory": floor_peak},
        {
            "name": f"build-openimages, {what}",
            "value": built,
            "unit": "s",
            "ratio": built / floor,
            "ratio_to": "parsing",
            "target": limit,
            "peak_memory": built_peak,
        },
        {
            "name": f"read_dataset, {what}",
            "value": read,
            "unit": "s",
            "ratio": read / floor,
            "ratio_to": "parsing",
            "target": limit,
            "peak_memory": read_peak,
        },
        {
            "name": f"data set on disk, {what}",
            "value": stored / 2**20,
            "unit": "MiB",
            "ratio": stored / size,
            "ratio_to": "CSV files",
        },
    ]


def measured(command: list[str]) -> tuple[float, int]:
    """Wall seconds and peak memory in bytes of a program, which must succeed."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    if status:
        raise RuntimeError(f"{command[:6]} ended with status {status}")
    return seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def generate(root: Path, scale: float, seed: int = 0) -> int:
    """Write V1's files, ``scale`` times as many images as there are; returns their size in bytes."""
    rng = np.random.default_rng(seed)
    ids = _class_ids(rng)
    root.mkdir(parents=True)
    with open(root / "dict.csv", "w", encoding="utf-8") as file:
        file.writelines(f'"{name}","class {number}"\n' for number, name in enumerate(ids.tolist()))
    # Half of the labels by Zipf's law, half alike, so that every trainable class is frequent enough
    # by the data set's rule; the other classes share a thousandth, too few for it.
    popular = 1 / np.arange(1, TRAINABLE + 1)
    chance = np.full(CLASSES, 2e-6 / scale if scale < 1 else 2e-6)
    chance[:TRAINABLE] = 0.5 * popular / popular.sum() + 0.5 / TRAINABLE
    cumulative = np.cumsum(chance / chance.sum())
    everything = rng.integers(0, 2**63, round(sum(IMAGES.values()) * scale * 1.001), dtype=np.int64)
    everything = rng.permutation(np.unique(everything))
    first, size = 0, 0
    for subset, count in IMAGES.items():
        images = np.sort(everything[first : first + round(count * scale)])
        first += len(images)
        folders = [root / name / subset for name in ("images_2016_08", "machine_ann_2016_08", "human_ann_2016_08")]
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        with (
            open(folders[0] / "images.csv", "wb") as listing,
            open(folders[1] / "labels.csv", "wb") as machine,
            open(folders[2] / "labels.csv", "wb") as human,
        ):
            listing.write(
                b"ImageID,Subset,OriginalURL,OriginalLandingURL,License,AuthorProfileURL,Author,Title,OriginalSize,"
                b"OriginalMD5,Thumbnail300KURL\n"
            )
            machine.write(b"ImageID,Source,LabelName,Confidence\n")
            human.write(b"ImageID,Source,LabelName,Confidence\n")
            for start in range(0, len(images), _BLOCK):
                part = images[start : start + _BLOCK]
                names = [f"{i:016x}" for i in part.tolist()]
                listing.writelines(_IMAGE % (name.encode(), subset.encode()) for name in names)
                labels = rng.poisson(LABELS_PER_IMAGE[subset], len(part))
                row = np.repeat(np.arange(len(part)), labels)
                column = np.minimum(np.searchsorted(cumulative, rng.random(len(row))), CLASSES - 1)
                tenths = rng.integers(5, 11, len(row))
                _write_labels(machine, names, ids, row, column, tenths, b"machine")
                if subset == "validation":
                    _write_labels(human, names, ids, *_judged(rng, row, column), b"human")
        if subset == "train":
            (folders[2] / "labels.csv").unlink()  # V1 has human labels for validation images only
        size += sum(f.stat().st_size for folder in folders for f in folder.iterdir())
    return size


_IMAGE = (
    b"%s,%s,https://c1.staticflickr.com/5/4129/5215831864_46f356962f_o.jpg,https://www.flickr.com/photos/brokentaco/"
    b'5215831864,https://creativecommons.org/licenses/by/2.0/,"https://www.flickr.com/people/brokentaco/","David, and '
    b'others","28 Nov 2010 Our ""new"" house.",211079,0Sad+xMj2ttXM1U8meEJ0A==,https://c1.staticflickr.com/5/4129/'
    b"5215831864_ee4e8c6535_z.jpg\n"
)


def _class_ids(rng: np.random.Generator) -> np.ndarray:
    letters = np.array(list("0123456789bcdfghjklmnpqrstvwxyz_"))
    found: dict[str, None] = {}
    while len(found) < CLASSES:
        found["/m/0" + "".join(letters[rng.integers(0, len(letters), rng.integers(3, 6))])] = None
    return np.array(list(found), object)


def _judged(rng: np.random.Generator, row: np.ndarray, column: np.ndarray) -> tuple[np.ndarray, ...]:
    """Each different machine label of an image, right in 73 of 100 cases (Veit 2017, section 4.1)."""
    pairs = np.unique(row * CLASSES + column)
    return pairs // CLASSES, pairs % CLASSES, np.where(rng.random(len(pairs)) < 0.734, 10, 0)


def _write_labels(
    file: object,
    names: list[str],
    ids: np.ndarray,
    row: np.ndarray,
    column: np.ndarray,
    tenths: np.ndarray,
    source: bytes,
) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.csv as pacsv

    taken = [
        pc.take(pa.array(names), pa.array(row)),
        pc.take(pa.array([source.decode()]), pa.array(np.zeros(len(row), np.int8))),
        pc.take(pa.array(ids, pa.string()), pa.array(column)),
        pc.take(pa.array([f"{i / 10:.1f}" for i in range(11)]), pa.array(tenths)),
    ]
    table = pa.Table.from_arrays(taken, names=["ImageID", "Source", "LabelName", "Confidence"])
    pacsv.write_csv(table, file, pacsv.WriteOptions(include_header=False, quoting_style="none"))
