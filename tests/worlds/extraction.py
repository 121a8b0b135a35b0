"""Small extractions: 23 images of which two cannot be read, and a small network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nlcli.data.config import ExtractFeatures
from nlcli.data.labels import LabelTable, matrix_from_lists

BROKEN = {4: "the file is empty", 11: "there is no such file"}
"""Numbers of images that cannot be read, and why."""


def table_of(folder: Path, count: int) -> LabelTable:
    """``count`` images with noisy labels."""
    nothing = matrix_from_lists([[]] * count, 2)
    return LabelTable(
        task="multi-label",
        classes=("a", "b"),
        keys=np.array([f"k{i}" for i in range(count)], object),
        paths=np.array([f"{i}.png" for i in range(count)], object),
        image_root=folder,
        split=np.zeros(count, np.int8),
        noisy=matrix_from_lists([[i % 2] for i in range(count)], 2, [[1.0]] * count),
        present=nothing,
        absent=nothing.copy(),
        verification=np.zeros(count, np.uint8),
    )


def config_of(work: Path, output: Path, **changes: Any) -> ExtractFeatures:
    """Extraction of the fixture ``work``, in shards of five images."""
    options = {"shard_rows": 5, "batch_size": 3, "workers": 2} | changes
    return ExtractFeatures(dataset=work / "dataset", backbone=str(work / "backbone"), output=output, **options)
