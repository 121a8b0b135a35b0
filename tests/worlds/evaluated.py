"""A model, scored."""

from __future__ import annotations

from pathlib import Path

from nlcli.evaluation.config import Evaluate
from nlcli.evaluation.evaluate import evaluate


def evaluated(model: Path, **options: object) -> Path:
    options = {"bootstrap": 60, "examples": 0} | options
    return evaluate(Evaluate(model=model, **options))
