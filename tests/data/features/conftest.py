"""Fixtures of the tests of features."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nlcli.data.features.extract import extract_features
from nlcli.networks.backbone import Backbone
from nlcli.networks.images import load_image
from nlcli.networks.weights import build_backbone, load_backbone, save_backbone
from worlds.extraction import BROKEN, config_of, table_of
from worlds.stage_builders import published


@pytest.fixture(scope="package")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of 23 images, two of them broken, and a saved backbone."""
    folder = tmp_path_factory.mktemp("features")
    (folder / "images").mkdir()
    rng = np.random.default_rng(0)
    for i in range(23):
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(folder / f"images/{i}.png")
    (folder / "images/4.png").write_bytes(b"")
    (folder / "images/11.png").unlink()
    published(table_of(folder / "images", 23), folder / "dataset")
    save_backbone(folder / "backbone", build_backbone("small_cnn", "none", classes=("a", "b"), image_size=32))
    return folder


@pytest.fixture(scope="package")
def extracted(work: Path) -> Path:
    return extract_features(config_of(work, work / "features"))


@pytest.fixture
def copy(extracted: Path, tmp_path: Path) -> Path:
    """Features to damage."""
    shutil.copytree(extracted, tmp_path / "features")
    return tmp_path / "features"


@pytest.fixture(scope="package")
def backbone(work: Path) -> Backbone:
    return load_backbone(work / "backbone")


@pytest.fixture(scope="package")
def expected(work: Path, backbone: Backbone) -> np.ndarray:
    """Features of the 21 good images, one by one through the plain model."""
    from nlcli.networks.backbone import scale_pixels

    good = [i for i in range(23) if i not in BROKEN]
    images = np.stack([load_image(work / f"images/{i}.png", backbone.preprocessing) for i in good])
    scaled = scale_pixels(images, backbone.preprocessing.scaling)
    return backbone.model(scaled, training=False)["features"].numpy()
