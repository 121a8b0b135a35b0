"""A planted world of several labels an image on disk: a data set with its truth, and features."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks._features import write_features
from nlcli.data.label_files import read_dataset, write_dataset
from nlcli.data.labels import LabelTable
from nlcli.data.true_tags import write_true_tags
from nlcli.detection.tags.checks import planted
from nlcli.stages.stage import open_stage
from worlds.stage_builders import MakeConfig


@dataclass(frozen=True)
class TagWorld:
    """See ``nlcli.detection.tags.checks.planted``, with clearer features; ``true`` is (N, C) bool."""

    dataset: Path
    features: Path
    table: LabelTable
    true: np.ndarray


def make_tag_world(root: Path, table: LabelTable | None = None, *, truth: bool = True) -> TagWorld:
    """Write the planted problem, or ``table`` of the same images, with its features."""
    from scipy.sparse import csr_array

    world = planted(spread=0.4)
    table = world.table if table is None else table
    with open_stage("dataset", MakeConfig(output=root / "dataset", size=len(table)), {}) as stage:
        write_dataset(stage.work, table, {"name": "tags", "source": "made by a test"})
        if truth:
            write_true_tags(stage.work, table.keys, csr_array(world.true.astype(np.uint8)), np.ones(len(table), bool))
        stage.finish({"images": len(table)})
    order = np.random.default_rng(5).permutation(len(table))
    features = write_features(
        root / "features",
        [str(table.keys[i]) for i in order],
        world.store.read(order),
        read_dataset(root / "dataset").fingerprint,
        shard_rows=300,
    )
    return TagWorld(root / "dataset", features, table, world.true)
