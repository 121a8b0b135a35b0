"""`auto` as a head: what it is given, what it tells, and what it does without verified images."""

from __future__ import annotations

from pathlib import Path

import pytest

from nlcli.errors import NlcliError
from nlcli.methods import configure, get_method
from nlcli.training.checks import Case


def test_it_tells_what_was_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = Case(get_method("auto"), "single-label", {})
    method = case.build(case.solved_config())
    outcome = case.solve(method, tmp_path)
    details = outcome.record().details
    names = [candidate["name"] for candidate in details["candidates"]]
    corrected = ["forward", "weight 5", "forward 5", "posterior", "pruned", "pruned 5"]
    singles = ["noisy", "weight 1", *corrected, "weight 20"]
    assert names == ["mixture", *singles]
    assert set(details["weights"]) <= set(singles)
    assert bool(details["weights"]) == (details["winner"] == "mixture")
    assert details["winner"] in names
    assert outcome.phase == details["winner"]
    planted = case.planted.table
    verified = (planted.verification > 0) & (planted.split < 2)
    assert details["judged"] == verified.sum()
    told = capsys.readouterr()
    assert all(name in told.out + told.err for name in names)


def test_options_of_steps_are_refused() -> None:
    with pytest.raises(NlcliError, match="no use for 'learning_rate'; leave it out, or name a method"):
        get_method("auto").decided(configure("auto", {"learning_rate": 0.1}), ["learning_rate"], stepped=False)


def test_verified_images_of_validation_alone_cannot_be_fitted_to(tmp_path: Path) -> None:
    case = Case(get_method("auto"), "single-label", {})
    method = case.build(case.solved_config())
    method.phases = lambda: (method.make_phase("noisy", "noisy", 1, {}),)  # as train-head leaves V out
    remarks = case.solve(method, tmp_path).remarks()
    assert any("no training image is verified" in remark for remark in remarks)
