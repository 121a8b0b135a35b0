"""Where things lie in what ``nlcli clean`` makes."""

from __future__ import annotations

from pathlib import Path

PIPELINE = "pipeline.yaml"
PAGE = "report.html"
DATASET, DETECTION, QUEUE, CLASSIFIER = "dataset", "wrong-labels", "to-check", "classifier"
"""Names of stages, which are those of their directories."""


def absolute(path: Path) -> Path:
    """``path`` from the root, links as they are."""
    return Path.cwd() / path
