"""Features with noisy, partly verified labels, as detectors see them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._features import write_features
from nlcli.data.features.store import FeatureStore
from nlcli.data.labels import LabelTable, matrix_from_lists
from nlcli.detection.base import Data


def detection_data(
    folder: Path,
    features: np.ndarray,
    noisy: np.ndarray,
    label: np.ndarray,
    num_classes: int,
    split: np.ndarray | None = None,
    **options: Any,
) -> Data:
    """Images with one noisy class each, as a store in ``folder`` and a table in memory.

    Args:
        features: (n, D) float32.
        noisy: (n,) noisy classes.
        label: (n,) 1 verified right, 0 verified wrong, -1 not verified.
        split: (n,) 0 train, 1 validation, 2 test; all train when None.
        options: of ``Data``.
    """
    count = len(features)
    keys = [f"k{i:05d}" for i in range(count)]
    table = LabelTable(
        task="single-label",
        classes=tuple(f"c{i}" for i in range(num_classes)),
        keys=np.array(keys, object),
        paths=np.array([f"{key}.jpg" for key in keys], object),
        image_root=Path("/images"),
        split=np.zeros(count, np.int8) if split is None else split.astype(np.int8),
        noisy=matrix_from_lists([[int(c)] for c in noisy], num_classes, [[1.0]] * count),
        present=matrix_from_lists([[int(c)] if v == 1 else [] for c, v in zip(noisy, label, strict=True)], num_classes),
        absent=matrix_from_lists([[int(c)] if v == 0 else [] for c, v in zip(noisy, label, strict=True)], num_classes),
        verification=(label >= 0).astype(np.uint8),
        fingerprint="sha256:made",
    )
    store = FeatureStore(write_features(folder / "features", keys, features, table.fingerprint))
    return Data(table, store, **options)
