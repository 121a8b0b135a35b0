"""docs/estimators.ipynb runs as it stands, and brings what docs/estimators.md says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.slow
def test_the_notebook_runs() -> None:
    cells = json.loads((DOCS / "estimators.ipynb").read_text(encoding="utf-8"))["cells"]
    names: dict[str, Any] = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            exec("".join(cell["source"]), names)
    page = " ".join((DOCS / "estimators.md").read_text(encoding="utf-8").split())
    told = re.search(
        r"noisy labels is right in ([\d.]+) %, one of the checked ones alone in ([\d.]+) %, `NoisyLabelClassifier` in "
        r"([\d.]+) %; of the (\d+) labels .* wrong (\d+) % are, and these are (\d+) % of all",
        page,
    )
    assert told is not None
    accuracies = [100 * names[name] for name in ("accuracy_plain", "accuracy_few", "accuracy")]
    assert [float(value) for value in told.groups()[:3]] == pytest.approx(accuracies, abs=0.6)
    assert int(told[4]) == pytest.approx(len(names["issues"]), abs=5)
    assert [int(told[5]), int(told[6])] == pytest.approx([100 * names["precision"], 100 * names["recall"]], abs=1.5)
