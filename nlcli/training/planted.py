"""A small problem whose truth is known, in memory: what methods are checked on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nlcli.data.labels import FULL, NONE, LabelTable, Task, matrix_from_lists

TRAIN, CLEAN, VALIDATION = 600, 120, 200
"""Training images, those of them that are verified, and validation images, which all are."""


class MemoryFeatures:
    """Features in memory, read as a ``FeatureStore`` is.

    Args:
        keys: of the images.
        features: (n, D) float32.
    """

    def __init__(self, keys: Sequence[str], features: np.ndarray) -> None:
        self.shape: tuple[int, int] = features.shape
        self.dtype: Any = features.dtype
        self._features, self._row = features, {key: row for row, key in enumerate(keys)}

    def rows_of(self, keys: Sequence[str] | np.ndarray, strict: bool = True) -> np.ndarray:
        """(n,) int64 rows of images by key; -1 where there is none."""
        return np.array([self._row.get(str(key), -1) for key in keys], np.int64)

    def read_into(self, sorted_rows: np.ndarray, out: np.ndarray) -> None:
        """Copy rows (n,) into ``out`` (n, D)."""
        np.take(self._features, sorted_rows, axis=0, out=out)


@dataclass(frozen=True)
class PlantedProblem:
    """Images of which features show the classes, and noisy labels that are wrong in a known way.

    Attributes:
        table: The labels. Every image has noisy labels; the first ``CLEAN`` are verified, and all of validation.
        store: The features.
        weights: (N,) float32, what a detection that mistakes about a tenth says that each noisy label weighs.
        true: (N, C) uint8, the truth.
        features: (N, D) float32, in the order of the table.
    """

    table: LabelTable
    store: MemoryFeatures
    weights: np.ndarray
    true: np.ndarray
    features: np.ndarray


def planted_problem(task: Task, *, num_features: int = 24, num_classes: int = 5, seed: int = 0) -> PlantedProblem:
    """The problem of one task.

    On multi-label data a class is noisily added wherever another is, and a third of a third one's labels
    is lost; on single-label data 3 of 10 labels are the class after the true one.
    """
    images = TRAIN + VALIDATION
    rng = np.random.default_rng(seed)
    if task == "single-label":
        true = np.eye(num_classes, dtype=np.uint8)[rng.integers(num_classes, size=images)]
        noisy = np.where((rng.random(images) < 0.3)[:, None], np.roll(true, 1, axis=1), true)
    else:
        true = (rng.random((images, num_classes)) < 0.3).astype(np.uint8)
        noisy = true.copy()
        noisy[:, 1] |= true[:, 0]
        noisy[:, 2] &= rng.random(images) < 0.67
    features = true @ rng.normal(size=(num_classes, num_features)) + 0.5 * rng.normal(size=(images, num_features))
    right = (noisy * true).sum(axis=1) == noisy.sum(axis=1)
    weights = np.clip(rng.normal(np.where(right, 0.7, 0.2), 0.2), 0, 1).astype(np.float32)
    return PlantedProblem(
        _table(task, true, noisy),
        MemoryFeatures(_keys(images), features.astype(np.float32)),
        weights,
        true,
        features.astype(np.float32),
    )


def _keys(images: int) -> list[str]:
    return [f"image {i:04d}" for i in range(images)]


def _table(task: Task, true: np.ndarray, noisy: np.ndarray) -> LabelTable:
    images, num_classes = true.shape
    checked = np.arange(images) < CLEAN
    checked[TRAIN:] = True
    shown = [np.flatnonzero(row).tolist() for row in true * checked[:, None]]
    listed = [np.flatnonzero(row).tolist() for row in noisy]
    return LabelTable(
        task=task,
        classes=tuple(f"class {c}" for c in range(num_classes)),
        keys=np.array(_keys(images), object),
        paths=np.array([f"{key}.jpg" for key in _keys(images)], object),
        image_root=Path("/nowhere"),
        split=np.where(np.arange(images) < TRAIN, 0, 1).astype(np.int8),
        noisy=matrix_from_lists(listed, num_classes, [[1.0] * len(row) for row in listed]),
        present=matrix_from_lists(shown, num_classes),
        absent=matrix_from_lists([[]] * images, num_classes),
        verification=np.where(checked, FULL, NONE).astype(np.uint8),
    )
