"""The search: better than its start, taken up after a kill to the same trials, whatever the kill left."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from nlcli.errors import NlcliError
from nlcli.methods.base.search_range import Choice, Range

pytest.importorskip("optuna")

from nlcli.tuning.journal import JOURNAL, Journal
from nlcli.tuning.search_space import distributions

SPACE = distributions({"rate": Range(1e-4, 1.0), "hidden": Range(32, 1024), "scale": Choice(("none", "unit"))})


def measure(_: int, options: dict[str, Any]) -> float:
    """Best at rate 0.01, unit: 1."""
    return 1 - abs(math.log10(options["rate"]) + 2) / 10 - (options["scale"] == "none") / 5


def search(folder: Path, trials: int, seed: int = 0) -> list[Any]:
    folder.mkdir(exist_ok=True)
    journal = Journal(folder, SPACE, seed)
    while len(journal.trials) < trials:
        journal.run(measure)
    return journal.trials


def test_a_search_finds_what_is_good_and_depends_on_its_seed_alone(tmp_path: Path) -> None:
    trials = search(tmp_path / "a", 25)
    assert max(trial.value for trial in trials) > 0.95
    assert all(1e-4 <= t.options["rate"] <= 1 and 32 <= t.options["hidden"] <= 1024 for t in trials)
    assert isinstance(trials[0].options["hidden"], int)
    assert search(tmp_path / "b", 5) == trials[:5]
    assert search(tmp_path / "c", 5, seed=1) != trials[:5]


def test_what_was_killed_ends_as_what_was_not(tmp_path: Path) -> None:
    """Killed in a trial, and in the middle of a line; the trial that had not ended is proposed again."""
    whole = search(tmp_path / "whole", 14)
    folder = tmp_path / "killed"
    search(folder, 12)

    def killed(place: int, _: dict[str, Any]) -> float:
        assert place == 12
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Journal(folder, SPACE, 0).run(killed)
    assert search(folder, 13) == whole[:13]
    journal = folder / JOURNAL
    with open(journal, "ab") as file:
        file.write(b'{"op_code": 4, "wor')
    assert search(folder, 14) == whole


def test_of_few_combinations_each_is_tried_once(tmp_path: Path) -> None:
    space = {"scale": Choice(("none", "unit")), "solver": Choice((1, 2, 3))}
    journal = Journal(tmp_path, distributions(space), 0, whole=True)
    for _ in range(6):
        journal = Journal(tmp_path, distributions(space), 0, whole=True)  # taken up each time
        journal.run(lambda _, options: float(options["solver"]))
    assert len({tuple(sorted(trial.options.items())) for trial in journal.trials}) == 6


def test_a_trial_that_fails_is_told_and_not_tried_again(tmp_path: Path) -> None:
    tried = []

    def fails(place: int, options: dict[str, Any]) -> float:
        tried.append(place)
        raise NlcliError("the loss stopped being a finite number")

    journal = Journal(tmp_path, distributions({"scale": Choice(("none",))}), 0)
    for _ in range(3):
        trial = journal.run(fails)
        assert trial.value is None
        assert trial.error == "the loss stopped being a finite number"
    assert tried == [0]
    assert len(journal.trials) == 3


def test_what_is_no_journal_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / JOURNAL).write_text("nonsense\nmore\n")
    with pytest.raises(NlcliError, match=r"journal\.log cannot be read; pass --force"):
        Journal(tmp_path, SPACE, 0)
