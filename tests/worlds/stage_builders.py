"""Small data sets for tests, made in memory or written as stages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np

from nlcli.data.label_files import write_dataset
from nlcli.data.labels import FULL, LabelTable, matrix_from_lists
from nlcli.stages.config import StageConfig
from nlcli.stages.options import Option, Output, Workers
from nlcli.stages.stage import open_stage


class MakeConfig(StageConfig):
    """A stage for tests; ``size`` and ``seed`` decide the result, ``workers`` does not."""

    output: Output
    source: Annotated[Path | None, Option("What is read.", role="input")] = None
    sources: Annotated[tuple[Path, ...], Option("What else is read.", role="input")] = ()
    size: Annotated[int, Option("What is made.")] = 3
    seed: Annotated[int, Option("Seed of what is made.")] = 0
    workers: Workers = 1


def small_table(root: Path = Path("/images")) -> LabelTable:
    """Four images, three classes: one fully verified, two partly, one not at all.

    ====  ==========  =============  =======  =======  ============
    key   split       noisy          present  absent   verification
    ====  ==========  =============  =======  =======  ============
    w     train       a 0.5, c 0.25  c        a        partial
    x     train       b 1            a        -        full
    y     validation  -              -        b        partial
    z     test        c 0.75         -        -        none
    ====  ==========  =============  =======  =======  ============
    """
    return LabelTable(
        task="multi-label",
        classes=("a", "b", "c"),
        groups=("g", None, "g"),
        keys=np.array(["w", "x", "y", "z"], object),
        paths=np.array(["w.jpg", "x, 1.jpg", "y.jpg", "z.jpg"], object),
        image_root=root,
        split=np.array([0, 0, 1, 2], np.int8),
        noisy=matrix_from_lists([[0, 2], [1], [], [2]], 3, [[0.5, 0.25], [1.0], [], [0.75]]),
        present=matrix_from_lists([[2], [0], [], []], 3),
        absent=matrix_from_lists([[0], [], [1], []], 3),
        verification=np.array([1, FULL, 1, 0], np.uint8),
    )


def verified_table(images: int, num_classes: int, seed: int = 0, splits: tuple[int, int] = (0, 0)) -> LabelTable:
    """``images`` fully verified images; ``splits`` of them at the end are validation and test."""
    rng = np.random.default_rng(seed)
    v = rng.random((images, num_classes)) < 0.3
    y = np.where(rng.random(v.shape) < 0.2, ~v, v)
    split = np.zeros(images, np.int8)
    validation, test = splits
    split[images - validation - test : images - test] = 1
    split[images - test :] = 2
    return LabelTable(
        task="multi-label",
        classes=tuple(f"c{i}" for i in range(num_classes)),
        keys=np.array([f"k{i:05d}" for i in range(images)], object),
        paths=np.array([f"k{i:05d}.jpg" for i in range(images)], object),
        image_root=Path("/images"),
        split=split,
        noisy=matrix_from_lists(
            [np.flatnonzero(row).tolist() for row in y], num_classes, [[1.0] * int(row.sum()) for row in y]
        ),
        present=matrix_from_lists([np.flatnonzero(row).tolist() for row in v], num_classes),
        absent=matrix_from_lists([[]] * images, num_classes),
        verification=np.full(images, FULL, np.uint8),
    )


def published(table: LabelTable, output: Path) -> Path:
    """Write ``table`` as a finished data set directory."""
    with open_stage("dataset", MakeConfig(output=output, size=len(table)), {}) as stage:
        if not stage.up_to_date:
            write_dataset(stage.work, table, {"name": "test", "source": "made by a test"})
            stage.finish({"images": len(table)})
    return output
