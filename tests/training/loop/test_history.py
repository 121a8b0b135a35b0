"""Lines of metrics.jsonl: written one by one, read back, refused where they are something else."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from nlcli.errors import NlcliError
from nlcli.training.loop.history import HISTORY, Evaluation, append_to_history, read_history, write_history

LINES = [
    Evaluation(phase="joint", step=0, validation={"AP_all": 0.25}),
    Evaluation(phase="joint", step=10, train={"loss": 0.5, "L_clean": 0.125}, validation={"AP_all": 0.75}),
]


def test_lines_come_back(tmp_path: Path) -> None:
    write_history(tmp_path, LINES[:1])
    append_to_history(tmp_path, LINES[1])
    assert read_history(tmp_path) == LINES
    assert (tmp_path / HISTORY).read_text().splitlines()[1] == (
        '{"phase": "joint", "step": 10, "train": {"loss": 0.5, "L_clean": 0.125}, "validation": {"AP_all": 0.75}}'
    )


def test_a_metric_that_is_not_there_stays_so(tmp_path: Path) -> None:
    write_history(tmp_path, [Evaluation(phase="joint", step=0, validation={"mAP": math.nan})])
    (line,) = read_history(tmp_path) or []
    assert math.isnan(line.validation["mAP"])


def test_without_the_file_there_is_no_history(tmp_path: Path) -> None:
    assert read_history(tmp_path) is None


@pytest.mark.parametrize("line", ["", "{", "[]", '{"phase": "joint"}', '{"phase": "a", "step": 1, "train": 3}'])
def test_another_line_is_named(tmp_path: Path, line: str) -> None:
    write_history(tmp_path, LINES)
    with open(tmp_path / HISTORY, "a") as file:
        file.write(line + "\n")
    with pytest.raises(NlcliError, match=f"{HISTORY}, line 3: not a line of training metrics .*train the model again"):
        read_history(tmp_path)
