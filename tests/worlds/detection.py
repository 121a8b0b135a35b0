"""A planted single-label world on disk: six clusters of features, a third of the noisy labels wrong."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._features import write_features
from nlcli.data.detection_files import ErrorRates
from nlcli.data.features.store import FeatureStore
from nlcli.data.label_files import read_dataset
from nlcli.data.labels import SPLITS, LabelTable, single_label_table
from nlcli.detection.base import Data, Detector, labelled_images
from nlcli.detection.config import DetectNoise
from nlcli.detection.threshold import class_errors, error_rates
from nlcli.detection.verification import verification_labels, withheld
from worlds.stage_builders import published

CLASSES = ("ant, red", "bee", "cat", "dog", "elk", "fox")
SIZES = {"train": 420, "validation": 150, "test": 120}


@dataclass
class World:
    """Images, labels and features; ``table`` has all that is verified.

    Attributes:
        features: (n, D) float32, non-negative as pooled features are.
        true, noisy: (n,) classes.
        verified: (n,) bool; half of train, all of validation and test.
    """

    features: np.ndarray
    true: np.ndarray
    noisy: np.ndarray
    verified: np.ndarray
    split: np.ndarray
    keys: list[str]
    root: Path
    made: dict[str, Path] = field(default_factory=dict)

    def rows(self, name: str) -> np.ndarray:
        return np.flatnonzero(self.split == SPLITS.index(name))

    @property
    def right(self) -> np.ndarray:
        """(n,) int8, 1 where the noisy label is right."""
        return (self.noisy == self.true).astype(np.int8)

    def table(self, label: np.ndarray | None = None) -> LabelTable:
        """Verified noisy labels, by ``label`` (1, 0, -1) where it is given."""
        label = np.where(self.verified, self.right, -1) if label is None else label
        true = np.where(label == 1, self.noisy, np.where(label == 0, (self.noisy + 1) % len(CLASSES), -1))
        return single_label_table(
            CLASSES, self.keys, [f"{key}.jpg" for key in self.keys], Path("/images"), self.split, self.noisy, true
        )

    def dataset(self, name: str = "dataset", table: LabelTable | None = None) -> Path:
        """A data set directory; ``name`` tells which."""
        if name not in self.made:
            self.made[name] = published(self.table() if table is None else table, self.root / name)
        return self.made[name]

    def stored(self, name: str = "features", dataset: Path | None = None, **options: Any) -> Path:
        """The features of ``dataset``, in an order of their own."""
        if name not in self.made:
            fingerprint = read_dataset(self.dataset() if dataset is None else dataset).fingerprint
            order = np.random.default_rng(5).permutation(len(self.keys))
            self.made[name] = write_features(
                self.root / name,
                [self.keys[i] for i in order],
                self.features[order],
                fingerprint,
                shard_rows=200,
                **options,
            )
        return self.made[name]

    def config(self, output: str, method: str, **settings: Any) -> DetectNoise:
        """A stage's configuration; options of the detector are ``options``."""
        values = {
            "dataset": self.dataset(),
            "features": self.stored(),
            "output": self.root / output,
            "method": method,
            "suspects": 0,
        }
        return DetectNoise(**{**values, **settings})

    def with_label(self, name: str, label: np.ndarray) -> dict[str, Path]:
        """Data set and features of the same images with other verification."""
        dataset = self.dataset(name, self.table(label))
        return {"dataset": dataset, "features": self.stored(f"{name}-features", dataset)}


def make_world(root: Path, seed: int = 0, width: int = 16) -> World:
    """Clusters around random points; a wrong label is that of the next class or of any other."""
    rng = np.random.default_rng(seed)
    count = sum(SIZES.values())
    true = rng.integers(len(CLASSES), size=count)
    centres = 1.5 * rng.random((len(CLASSES), width))
    features = np.abs(centres[true] + 0.35 * rng.normal(size=(count, width))).astype(np.float32)
    wrong = rng.random(count) < 0.35
    other = np.where(rng.random(count) < 0.6, (true + 1) % 6, (true + rng.integers(1, 6, count)) % 6)
    split = np.repeat(np.arange(3, dtype=np.int8), list(SIZES.values()))
    verified = (split > 0) | (rng.random(count) < 0.5)
    keys = [f"shop/{i:04d},{i % 7}" for i in range(count)]
    return World(features, true, np.where(wrong, other, true), verified, split, keys, root)


def data_of(world: World, label: np.ndarray | None = None, **options: Any) -> Data:
    """What a detector sees of ``world``: nothing verified of test."""
    table = world.table()
    shown = verification_labels(table) if label is None else label
    return Data(withheld(table, np.where(world.split == 2, -1, shown)), FeatureStore(world.stored()), **options)


def scores_of(detector: Detector, data: Data, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a split and the detector's scores of them."""
    images = labelled_images(data.table, data.store, data.table.rows(split))
    given = detector.score(data.features(images, np.arange(len(images))), images.noisy, images.rows)
    return images.rows, given


def rates_of(verdict: np.ndarray, label: np.ndarray, noisy: np.ndarray) -> ErrorRates:
    """Error rates over all classes of (n,) verdicts."""
    count = int(noisy.max()) + 1
    of_classes = class_errors(verdict, label, noisy, [f"c{c}" for c in range(count)], np.zeros(count, bool))
    rates = error_rates(of_classes)
    assert rates is not None
    return rates


def relabelled(world: World, **changes: Any) -> World:
    """``world`` with other fields, its directories beside."""
    return replace(world, made={}, **changes)
