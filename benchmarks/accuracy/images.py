"""The data sets: features and true labels as arrays, made by pipelines where they are not there yet."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
SHARED = HERE.parents[1] / ".." / "shared" / "data"
NEEDS_SHARED = {"clothing": SHARED / "clothing", "coco": SHARED / "coco_sample"}


@dataclass(frozen=True, eq=False)
class Images:
    """A data set.

    Attributes:
        features: (N, D) float32.
        truth: (N,) int64 classes, or (N, C) uint8.
        noisy: (N, C) uint8 where noisy labels come with the data; None where they are planted.
        split: (N,) int8, 2 is test; None: every seed has another fifth of the images as test.
        matrix: (C, C) for noise by class; None: by what is easily taken for another.
    """

    features: np.ndarray
    truth: np.ndarray
    noisy: np.ndarray | None = None
    split: np.ndarray | None = None
    matrix: np.ndarray | None = None


def available(name: str, runs: Path) -> bool:
    """Whether the data set can be had here."""
    return name not in NEEDS_SHARED or NEEDS_SHARED[name].exists() or _features(name, runs).is_dir()


def _features(name: str, runs: Path) -> Path:
    folder = {"digits": "demo-single-label", "scenes": "demo"}.get(name, name)
    return runs / folder / "features"


@cache
def images(name: str, runs: Path) -> Images:
    """Data set ``name``; its directories are those of a pipeline in ``runs``."""
    place = _features(name, runs).parent
    if not _features(name, runs).is_dir():
        _run_pipeline(name, place)
    from nlcli.data.features.store import FeatureStore
    from nlcli.data.label_files import read_dataset

    table = read_dataset(place / ("clean" if name == "digits" else "dataset"))
    store = FeatureStore(place / "features")
    features = np.asarray(store.read(store.rows_of(table.keys)), np.float32)
    if table.task == "multi-label":
        rows = np.arange(len(table))
        truth, known = table.verified_targets(rows)
        full = known.all(axis=1)
        noisy = table.noisy_targets(rows)
        split = table.split[full] if name == "scenes" else None
        return Images(features[full], truth[full], noisy[full], split)
    from nlcli.data.labels import noisy_classes

    true = noisy_classes(table)  # labels of folders, which are right
    if name == "clothing":
        return Images(features, true)
    from nlcli.data.derived.add_noise import read_matrix

    matrix = read_matrix(place / "digits" / "confusion.csv", table.classes, np.arange(table.num_classes))
    return Images(features, true, split=table.split, matrix=matrix)


def _run_pipeline(name: str, place: Path) -> None:
    if not available(name, place.parent):
        raise SystemExit(f"{name} needs {NEEDS_SHARED[name].resolve()}, which is not there")
    pipelines = HERE.parents[1] / "pipelines"
    file = {
        "digits": pipelines / "demo_single_label.yaml",
        "scenes": pipelines / "parts" / "demo_scenes.yaml",
        "clothing": HERE / "clothing.yaml",
        "coco": HERE / "coco.yaml",
        "scene-pile": HERE / "scene_pile.yaml",
    }[name]
    print(f"{name}: data set and features ...", flush=True)
    workdir = str(place.resolve())
    command = [sys.executable, "-m", "nlcli", "run", str(file), "--workdir", workdir, "--only", "features"]
    # Paths in a pipeline are those of the folder that it is run in; those of the shared images are beside the file's.
    subprocess.run(command, check=True, cwd=HERE if name in NEEDS_SHARED else None)
