"""A planted world for each module, and detectors that are fitted on it once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nlcli.detection import make_detector
from nlcli.detection.base import Data, Detector
from worlds.detection import World, data_of, make_world

QUICK: dict[str, dict[str, Any]] = {
    "mlp": {"weight_decay": 0.01},
    "knn": {},
    "svm": {},
    "label-propagation": {},
    "label-spreading": {},
    "classification-filter": {},
    "confident-learning": {},
    "margin": {},
    "posterior": {},
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def fitted(world: World, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Detector, Data, Path]]:
    """Each detector fitted once with quick settings."""
    made: dict[str, tuple[Detector, Data, Path]] = {}

    def fit(name: str) -> tuple[Detector, Data, Path]:
        if name not in made:
            detector, data, work = make_detector(name, QUICK[name]), data_of(world), tmp_path_factory.mktemp(name)
            detector.fit(data, 0, work)
            made[name] = detector, data, work
        return made[name]

    return fit
