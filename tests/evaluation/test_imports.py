"""Evaluations of detections, comparisons and tables need no TensorFlow; importing the room needs nothing heavy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

HEAVY = "print(json.dumps([name for name in json.loads(sys.argv[1]) if name in sys.modules]))"

IMPORTS = """
import importlib, json, pkgutil, sys
for room in ("nlcli.evaluation", "nlcli.metrics"):
    package = importlib.import_module(room)
    for module in pkgutil.walk_packages(package.__path__, room + "."):
        importlib.import_module(module.name)
"""

STAGES = """
import json, sys
from pathlib import Path
from nlcli.evaluation.comparison.analyse import analyse
from nlcli.evaluation.comparison.compare import compare_evaluations, show_evaluations
from nlcli.evaluation.comparison.paper_table import paper_table
from nlcli.evaluation.config import Analyse, Compare, Evaluate, Table
from nlcli.evaluation.evaluate import evaluate
from worlds.made_detections import checked_table, made_dataset, made_detection
from worlds.made_evaluations import made_evaluation, made_run
from worlds.stage_builders import published, verified_table

root = Path(sys.argv[2])
table = checked_table([0, 1, 2, 0], [0, 1, 1, 0], [2] * 4)
detection = made_detection(root / "detection", made_dataset(root / "labels", table), table, [0.9, 0.8, 0.1, 0.2])
judged = evaluate(Evaluate(model=detection, bootstrap=10))
compare_evaluations(Compare(evaluations=(judged,), output=root / "report"))
paper_table(Table(rows={"a": (judged,)}, by="none", output=root / "table"))
table = verified_table(60, 3, splits=(20, 20))
dataset = published(table, root / "dataset")
scores = table.present.toarray()[table.rows("test")].astype("float32")
scored = made_evaluation(root / "scored", table, dataset, made_run(root / "run", []), scores, name="noisy")
show_evaluations([scored])
analyse(Analyse(evaluations=(scored,), output=root / "analysis", examples=0))
"""


def imported(program: str, names: list[str], *arguments: str) -> list[str]:
    """Those of the modules ``names`` that are imported when ``program`` has run in a process of its own."""
    run = subprocess.run(
        [sys.executable, "-c", program + HEAVY, json.dumps(names), *arguments],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    return json.loads(run.stdout.splitlines()[-1])


def test_importing_the_room_needs_nothing_heavy() -> None:
    heavy = ["keras", "tensorflow", "matplotlib", "pandas", "pyarrow", "scipy", "sklearn", "PIL"]
    assert imported(IMPORTS, heavy) == []


def test_stages_that_read_scores_need_no_tensorflow(tmp_path: Path) -> None:
    assert imported(STAGES, ["keras", "tensorflow"], str(tmp_path)) == []
    assert (tmp_path / "analysis" / "analysis.md").is_file()
