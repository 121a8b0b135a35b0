"""The command that a record tells makes the same configuration again."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from nlcli.stages.commands import STAGES, StageCommand
from nlcli.stages.config import StageConfig
from nlcli.stages.repeat import command_of, command_words
from nlcli.stages.stage import StageRecord

GIVEN: dict[str, dict[str, Any]] = {
    "train-head": {
        "method": "residual",
        "dataset": "data/a b",
        "features": "runs/f",
        "output": "runs/'r'",
        "options": {"alpha": 0.2, "activation": "tanh"},
        "clean_fraction": 0.05,
        "seed": 3,
    },
    "detect-noise": {
        "method": "knn",
        "dataset": "d",
        "features": "f",
        "output": "o",
        "hold_out": 2,
        "use_held_out": True,
    },
    "add-noise": {"dataset": "d", "rate": 0.4, "kind": "pair", "splits": ["train", "test"], "output": "o"},
    "eval": {"model": "runs/r", "split": "validation", "bootstrap": 0},
    "compare": {"evaluations": ["a", "b"], "output": "o"},
    "table": {"rows": {"A=B": ["x", "y"], "C": ["z"]}, "output": "o", "by": "none"},
    "report": {"directories": ["a", "b"], "output": "r.html", "thumbnails": 12, "title": "--title"},
    "build-folders": {"images": "photos", "output": "o", "verified": ["test"]},
}


def record_of(config: StageConfig, kind: str = "any") -> StageRecord:
    values = json.loads(json.dumps(config.model_dump(mode="json")))
    return StageRecord(Path("o"), kind, values, {}, "sha256:x", None, {}, {}, 0.0)


@pytest.mark.parametrize("name", GIVEN)
def test_the_words_parse_to_the_same_configuration(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from nlcli.cli import app

    config = STAGES[name].config_class().parse(GIVEN[name])
    words = command_words(record_of(config))
    assert words is not None
    seen: list[StageConfig] = []

    def run(self: StageCommand, config: StageConfig, *, force: bool = False) -> Path:
        seen.append(config)
        raise SystemExit(0)

    monkeypatch.setattr(StageCommand, "run", run)
    monkeypatch.setattr(sys, "argv", shlex.split(shlex.join(words)))
    with pytest.raises(SystemExit):
        app()
    assert seen == [config]


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_is_told_by_its_options(name: str) -> None:
    fields = STAGES[name].config_class().model_fields
    record = StageRecord(Path("o"), "any", dict.fromkeys(fields), {}, "sha256:x", None, {}, {}, 0.0)
    assert command_of(record) is STAGES[name]


def test_a_stage_of_another_program_has_no_command() -> None:
    record = StageRecord(Path("o"), "any", {"what": 1, "output": "o"}, {}, "sha256:x", None, {}, {}, 0.0)
    assert command_words(record) is None
