"""Fixtures shared by all tests."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import pytest

if TYPE_CHECKING:
    from worlds.coco import WrittenClassifier

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real photographs and weights that stand beside some checkouts; the test skips without them."""
    if not SHARED.is_dir():
        pytest.skip("the real sample data are not beside this checkout")
    return SHARED


@pytest.fixture
def classifier(monkeypatch: pytest.MonkeyPatch) -> WrittenClassifier:
    """Whatever classifier a stage opens is this one, whose answers are written down."""
    from worlds.coco import LOGITS, WrittenClassifier

    made = WrittenClassifier(LOGITS.copy())
    annotating = importlib.import_module("nlcli.data.annotate")  # ``nlcli.annotate`` is the stage's function
    monkeypatch.setattr(annotating, "open_classifier", lambda config: made)
    return made
