"""Fixtures of the tests of networks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from nlcli.networks.backbone import Backbone


@pytest.fixture(scope="package")
def small() -> Backbone:
    """A small network with three classes, as after training."""
    from nlcli.networks.weights import build_backbone
    from worlds.networks import randomise_norms

    backbone = build_backbone("small_cnn", "none", classes=("cat", "dog", "kite"), seed=3)
    randomise_norms(backbone.model)
    return backbone


@pytest.fixture
def saved(small: Backbone, tmp_path: Path) -> Path:
    """Its directory."""
    from nlcli.networks.weights import save_backbone

    save_backbone(tmp_path / "backbone", small)
    return tmp_path / "backbone"
