"""The average baseline: a cosine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nlcli.detection import make_detector
from worlds.detection import World, data_of, scores_of


def test_average_is_the_cosine_to_the_mean(world: World, tmp_path: Path) -> None:
    detector, data = make_detector("average", {"references": 0}), data_of(world)
    detector.fit(data, 0, tmp_path)
    rows, found = scores_of(detector, data, "test")
    train = world.rows("train")
    for i in (0, 17, 60):
        mean = world.features[train[world.noisy[train] == world.noisy[rows[i]]]].mean(axis=0)
        x = world.features[rows[i]]
        assert found[i] == pytest.approx(x @ mean / np.linalg.norm(x) / np.linalg.norm(mean), rel=1e-5)
    assert detector.score(np.zeros((1, 16), np.float32), np.array([1])) == 0  # no direction, no resemblance
