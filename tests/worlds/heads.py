"""A data set and its features, for heads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._features import write_features
from nlcli.data.label_files import read_dataset
from nlcli.data.labels import LabelTable, matrix_from_lists, single_label_table
from nlcli.training.config import TrainHead
from worlds.small_training import planted
from worlds.stage_builders import published, verified_table

SPLITS = (150, 100)  # validation, test; 450 train


MISSING = ("k00003", "k00449", "k00450")


def table_of(images: int = 700, num_classes: int = 5) -> LabelTable:
    data = planted(images, classes=num_classes)
    table = verified_table(images, num_classes, splits=SPLITS)
    table.noisy = matrix_from_lists(
        [np.flatnonzero(row).tolist() for row in data.noisy],
        num_classes,
        [[1.0] * int(row.sum()) for row in data.noisy],
    )
    table.present = matrix_from_lists([np.flatnonzero(row).tolist() for row in data.true], num_classes)
    return table


class Work:
    """A data set and its features; images are stored in another order than the data set lists them."""

    def __init__(self, root: Path, table: LabelTable, **options: Any) -> None:
        self.root = root
        self.dataset = published(table, root / "dataset")
        self.table = read_dataset(self.dataset)
        self.features_of = planted(len(table), classes=table.num_classes, single=table.task == "single-label").features
        self.order = np.random.default_rng(7).permutation(len(table))
        self.features = self.write(root / "features", **options)

    def write(self, output: Path, dtype: str = "float32", **options: Any) -> Path:
        keys = [str(self.table.keys[i]) for i in self.order]
        options = {"missing": MISSING, "shard_rows": 300} | options
        fingerprint = options.pop("dataset_fingerprint", self.table.fingerprint)
        return write_features(output, keys, self.features_of[self.order].astype(dtype), fingerprint, **options)

    def config(self, output: str | Path, **changes: Any) -> TrainHead:
        settings = {
            "dataset": self.dataset,
            "features": self.features,
            "output": self.root / output,
            "method": "residual",
            "options": {"hidden": 16},
            "steps": 200,
            "learning_rate": 1e-2,
            "clean_fraction": 0.2,
        } | changes
        if settings["method"] != "residual":
            settings["options"] = changes.get("options", {})
        return TrainHead(**settings)


def single_label(images: int = 700, num_classes: int = 5, **labels: Any) -> LabelTable:
    """The planted single-label problem, fully verified unless ``right`` is given."""
    data = planted(images, classes=num_classes, single=True)
    split = np.zeros(images, np.int8)
    split[-sum(SPLITS) : -SPLITS[1]], split[-SPLITS[1] :] = 1, 2
    names = [f"k{i:05d}" for i in range(images)]
    true, noisy = data.true.argmax(1), data.noisy.argmax(1)
    labels = {"true": true, "noisy": noisy} | {name: make(true, noisy) for name, make in labels.items()}
    return single_label_table(
        [f"c{i}" for i in range(num_classes)],
        names,
        names,
        Path("/images"),
        split,
        labels["noisy"],
        labels["true"],
        labels.get("right"),
    )
