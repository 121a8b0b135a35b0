"""Graphs of nearest neighbours: their size, and labels that spread over one by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nlcli.detection import make_detector
from nlcli.detection.per_class import ClassImages
from worlds.detection import CLASSES, World, data_of


def test_graphs_are_bounded(world: World, tmp_path: Path) -> None:
    detector, data = make_detector("label-spreading", {"unlabelled": 7}), data_of(world)
    detector.fit(data, 0, tmp_path)
    for c in range(len(CLASSES)):
        positions = detector.positions(data, c, 0)  # type: ignore[attr-defined]
        label = data.train.label[positions]
        assert np.sum(label < 0) == 7
        assert np.sum(label >= 0) == np.sum((data.train.noisy == c) & (data.train.label >= 0))


def test_propagated_labels_by_hand() -> None:
    detector = make_detector("label-propagation")
    images = ClassImages(np.eye(4, dtype=np.float32), np.array([1, 1, 0, -1]))
    # Image 0 got 3/4 right, image 1 all right; no verified image is linked to images 2 and 3.
    state = {"right": np.array([0.75, 1, 0, 0]), "any": np.array([1, 1, 0, 0])}
    asked = np.array([[1, 0.9, 0, 0], [0, 1, 0.9, 0], [0, 0, 0.9, 1]], np.float32)
    found = detector.score_class(images, state, {"neighbours": 2}, asked)  # type: ignore[attr-defined]
    np.testing.assert_allclose(found, [1.75 / 2, 1, 2 / 3])  # the last one: the share of right labels in the class
