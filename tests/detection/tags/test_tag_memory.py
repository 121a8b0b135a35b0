"""A detection of tags holds no table of images by classes: what it takes grows with the images, not with their product."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import resource, sys
from pathlib import Path
import numpy as np
from scipy.sparse import csr_array
from nlcli.data.labels import LabelTable, strings
from nlcli.detection.tags import make_tag_detector
from nlcli.detection.tags.detect_tags import TagSettings, detect_tags

N, C, D = int(sys.argv[2]), 1000, 8
rng = np.random.default_rng(0)
keys = strings([f"{i:08d}" for i in range(N)])
true = rng.integers(0, C, (N, 3)).astype(np.int32)
features = rng.normal(size=(N, D)).astype(np.float32)

def table_of(tags, dtype, rows=None):
    width = np.full(N, 3) if rows is None else np.where(rows, 3, 0)
    indices = tags.ravel() if rows is None else tags[rows].ravel()
    matrix = csr_array((np.ones(len(indices), dtype), indices, np.concatenate([[0], np.cumsum(width)])), shape=(N, C))
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix

split = np.zeros(N, np.int8)
split[-400:-200], split[-200:] = 1, 2
verified = (split > 0) | (np.arange(N) < 100)
table = LabelTable(
    task="multi-label", classes=tuple(f"class {i}" for i in range(C)), keys=keys, paths=keys, image_root=Path("/i"),
    split=split, noisy=table_of(true, np.float32), present=table_of(true, np.uint8, verified),
    absent=csr_array((N, C), dtype=np.uint8), verification=np.where(verified, 2, 0).astype(np.uint8),
)

class Store:
    path, backbone_fingerprint, shape = Path("/x"), "b", (N, D)
    keys = keys
    def rows_of(self, keys, strict=True):
        return np.arange(N)
    def read(self, rows):
        return features[rows]

detect_tags(
    TagSettings(0, 1.0, None, None, 0.05, 10), make_tag_detector("neighbours", {"images": 1000, "neighbours": 10}),
    table, Store(), Path("/nowhere"), Path(sys.argv[1]),
)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_images_times_classes(tmp_path: Path) -> None:
    peaks = []
    for images in (5_000, 45_000):
        work = tmp_path / str(images)
        work.mkdir()
        made = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(work), str(images)], capture_output=True, text=True, check=True
        )
        peaks.append(int(made.stdout.split()[-1]))
    # 40,000 images more: scores and probabilities of all entries alone would take 458 MiB more.
    assert peaks[1] - peaks[0] < 220, peaks
