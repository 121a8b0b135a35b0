"""tune: validation chooses, test is told once beside the defaults, and luck is called luck."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nlcli
from nlcli import NlcliError
from nlcli.methods import METHODS
from nlcli.methods.base.search_range import Choice, Range, searched
from worlds.heads import Work, table_of

pytest.importorskip("optuna")

from nlcli.stages.stage import read_stage
from nlcli.training.result import read_result
from nlcli.tuning.search_space import combinations, ranges
from nlcli.tuning.tuning_record import TUNING, TuningRecord


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Work:
    return Work(tmp_path_factory.mktemp("tune"), table_of(500))


def tuned(work: Work, name: str, **changes: Any) -> Path:
    settings = {"method": "residual", "options": {"hidden": 16}, "steps": 20, "trials": 3, "clean_fraction": 0.2}
    return nlcli.tune(
        dataset=work.dataset, features=work.features, output=work.root / name, bootstrap=200, **settings | changes
    )


@pytest.fixture(scope="module")
def output(work: Work) -> Path:
    return tuned(work, "tuned")


def test_validation_chooses_and_test_is_told_beside_the_defaults(work: Work, output: Path) -> None:
    info = TuningRecord.read(output / TUNING)
    assert set(info.searched) == {"alpha", "learning_rate", "weight_decay", "feature_scale"}
    assert info.searched["learning_rate"] == "0.0001 to 0.1, by logarithm"
    values = [trial.value for trial in info.trials if trial.value is not None]
    assert len(info.trials) == 3
    assert info.chosen is not None, "20 steps at the default rate are too few, so that any larger one is better"
    assert info.value == max(values) > info.defaults
    chosen = read_result(output / "chosen")
    assert chosen is not None
    assert chosen.validation[info.metric] == info.value
    assert chosen.settings["learning_rate"] == info.options["learning_rate"]
    assert chosen.settings["hidden"] == 16
    for name, told in (("chosen", info.gain.chosen), ("defaults", info.gain.defaults)):
        evaluation = nlcli.evaluate(model=output / name, split="test", output=work.root / f"again-{name}", bootstrap=0)
        assert read_stage(evaluation).summary[info.metric] == pytest.approx(told, abs=1e-12)
    assert info.gain.split == "test"
    assert info.gain.difference == pytest.approx(info.gain.chosen - info.gain.defaults, abs=1e-12)
    assert info.gain.better == (info.gain.interval[0] > 0)
    assert any("is the best of 3 and therefore too good; test, which chose nothing" in r for r in info.remarks)
    with open(output / "trials.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row[info.metric]) for row in rows] == values
    assert not (output / "trials").exists()
    summary = read_stage(output).summary
    assert summary["clean_images"] == read_stage(output / "chosen").summary["clean_images"] == chosen.clean.images > 0
    assert summary["clean_images_that_chose"] == info.validation_images
    assert summary["clean_images_that_measured"] == info.gain.images
    assert nlcli.tune(**_again(output)) == output  # up to date


def _again(output: Path) -> dict[str, Any]:
    config = read_stage(output).config
    return {name: value for name, value in config.items() if value is not None}


def test_what_is_solved_is_searched_by_what_it_has_and_killed_it_goes_on(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scales of features alone: four, however many trials are asked for. Luck is called so."""
    import nlcli.tuning.tune as stage

    trained: list[str] = []
    train_head = stage.train_head

    def counted(config: Any) -> Path:
        if config.output.name == "0002" and trained.count("0002") == 0:
            trained.append("0002")
            raise KeyboardInterrupt
        trained.append(config.output.name)
        return train_head(config)

    monkeypatch.setattr(stage, "train_head", counted)
    with pytest.raises(KeyboardInterrupt):
        tuned(work, "solved", method="noisy", options={}, steps=None, trials=9)
    assert not (work.root / "solved").exists()
    done = tuned(work, "solved", method="noisy", options={}, steps=None, trials=9)
    info = TuningRecord.read(done / TUNING)
    assert set(info.searched) == {"feature_scale"}
    assert {t.options["feature_scale"] for t in info.trials} == {"none", "length", "unit", "standard"}
    assert len(info.trials) == 4
    places = ["defaults", "0000", "0001", "0002"]
    assert trained == [
        *places,
        "defaults",
        "0002",
        "0003",
    ]  # the defaults are up to date; what had ended is not asked for
    if info.chosen is None:
        assert any("none of 4 trials is better" in remark for remark in info.remarks)
    else:
        assert info.gain is not None
        assert (info.gain.better is True) != any("no better than the defaults" in remark for remark in info.remarks)


def test_where_nothing_of_test_is_verified_validation_is_told_as_what_it_is(tmp_path: Path) -> None:
    table = table_of(400)
    split = np.where(table.split == 2, 0, table.split).astype(np.int8)
    other = Work(tmp_path, replace(table, split=split))
    info = TuningRecord.read(tuned(other, "tuned", trials=2) / TUNING)
    assert info.gain is not None
    assert info.gain.split == "validation"
    assert any("nothing of test is verified" in remark for remark in info.remarks)


@pytest.mark.parametrize("name", METHODS.names())
def test_what_a_method_says_is_worth_trying_are_options_of_it(name: str) -> None:
    """Every value of every range is one that the option takes, and its ends are."""
    config = METHODS.get(name).Config
    for option, values in searched(config).items():
        ends = values.values if isinstance(values, Choice) else (values.low, values.high)
        for value in ends:
            assert getattr(METHODS.configure(name, {option: value}), option) == value


def test_ranges() -> None:
    method = METHODS.get("residual")
    stated = ranges(method, ["alpha"], [], solved=False, from_layer=False)
    assert set(stated) == {"hidden", "learning_rate", "weight_decay", "feature_scale"}
    assert combinations(stated) is None
    assert combinations({"a": Choice((1, 2)), "b": Choice((1, 2, 3))}) == 6
    assert str(Range(0.2, 0.7, even=True)) == "0.2 to 0.7"
    with pytest.raises(NlcliError, match="given by --set and to be searched"):
        ranges(method, ["alpha"], ["alpha"], solved=False, from_layer=False)
    with pytest.raises(NlcliError, match="did you mean 'alpha'"):
        ranges(method, [], ["alpah"], solved=False, from_layer=False)
    with pytest.raises(NlcliError, match="no option that is left"):
        ranges(METHODS.get("noisy"), ["feature_scale"], [], solved=True, from_layer=False)


def test_without_optuna_it_says_how_to_get_it(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(NlcliError, match=r"pip install 'nlcli\[tune\]'"):
        tuned(work, "without")
