"""Heads that begin at solved classifiers: what they begin at, when they do, and what chooses their step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, logit

from nlcli.errors import NlcliError
from nlcli.methods import METHODS, configure
from nlcli.methods.base.contract import Phase, Problem
from nlcli.networks.linear_layer import LinearLayer
from nlcli.training.config import TrainHead
from nlcli.training.result import HeadResult, read_result
from nlcli.training.run_config import CONFIG
from nlcli.training.saved_head import load_head
from nlcli.training.train_head import method_settings, train_head
from nlcli.training.validation import Validation
from worlds.heads import Work, single_label, table_of

STILL: dict[str, Any] = {"steps": 1, "learning_rate": 1e-12}
"""Nothing moves."""


@pytest.fixture(scope="module", params=["single-label", "multi-label"])
def work(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Work:
    table = single_label() if request.param == "single-label" else table_of()
    return Work(tmp_path_factory.mktemp("started"), table)


@pytest.fixture(scope="module")
def auto(work: Work) -> np.ndarray:
    """Scores of the classifier that ``auto`` keeps."""
    run = train_head(work.config("auto", method="auto", steps=None, learning_rate=None))
    return load_head(run).score(work.features_of)


@pytest.mark.parametrize(
    ("method", "score", "options"),
    [
        ("residual", "clean", {"hidden": 8}),
        ("teacher-student", "student", {"hidden": 8, "teacher_rate": 1e-12}),
        ("veit", "classifier", {"hidden": 8, "embedding": 8, "cleaning_rate": 1e-12}),
    ],
)
def test_a_head_begins_at_what_auto_keeps(
    work: Work, auto: np.ndarray, method: str, score: str, options: dict[str, Any]
) -> None:
    if (method, work.table.task) in (("teacher-student", "multi-label"), ("veit", "single-label")):
        pytest.skip("the same code as of the other task")
    run = train_head(work.config(f"{method}-still", method=method, options=options, **STILL))
    head = load_head(run)
    scores = head.score(work.features_of, score)
    # These methods do not read the noisy labels of V, so that one may keep a candidate and the other the mixture of all,
    # which says the same and is surer of it.
    assert np.corrcoef(scores.ravel(), auto.ravel())[0, 1] > 0.9
    assert (scores.argmax(axis=1) == auto.argmax(axis=1)).mean() > 0.9
    if work.table.task == "single-label":
        np.testing.assert_allclose(scores.sum(axis=1), 1.0, atol=1e-4)  # a softmax's probabilities
    settings = json.loads((run / CONFIG).read_text())["method_config"]
    assert (settings["start"], settings["feature_scale"]) == ("solved", "unit")
    assert (settings["average"], settings["selection"]) == (300, "cost")


def test_the_sum_of_residuals_nets_begins_as_the_classifier_of_noisy_labels(work: Work) -> None:
    run = train_head(work.config("noisy-still", options={"hidden": 8}, **STILL))
    scores = load_head(run).score(work.features_of, "noisy")
    noisy = work.table.noisy_targets(np.arange(len(scores)))
    clean = load_head(run).score(work.features_of, "clean")
    sure = [np.clip(of.astype(np.float64), 1e-9, 1 - 1e-9) for of in (scores, clean)]
    losses = [-np.mean(noisy * np.log(s) + (1 - noisy) * np.log1p(-s)) for s in sure]
    assert losses[0] < losses[1]
    if work.table.task == "single-label":
        np.testing.assert_allclose(scores.sum(axis=1), 1.0, atol=1e-4)  # a softmax's probabilities


def test_the_step_is_chosen_by_what_solved_classifiers_are_chosen_by(work: Work) -> None:
    """Where it begins at new weights; what begins solved is left only for what is better beyond chance."""
    run = train_head(work.config("chosen", steps=40, options={"hidden": 8, "start": "new"}))
    result = read_result(run)
    assert isinstance(result, HeadResult)
    single = work.table.task == "single-label"
    assert result.selected_by.metric == ("scaled_log_loss" if single else "ranking_cost")
    rows = [row for row in work.table.rows("validation") if row not in (3, 449, 450)]
    scores = load_head(run).score(work.features_of[rows]).astype(np.float64)
    if single:
        true = work.table.present[rows].toarray().argmax(axis=1)
        odds = logit(np.clip(scores, 1e-7, 1 - 1e-7))

        def cost(exponent: float) -> float:
            return float(-log_softmax(np.exp(exponent) * odds, axis=1)[np.arange(len(rows)), true].mean())

        expected = minimize_scalar(cost, bounds=(-4, 4), method="bounded").fun
    else:
        expected = 1 - 0.5 * (result.validation["AP_all"] + result.validation["mAP"])
    assert result.selected_by.value == pytest.approx(expected, rel=1e-4)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    told = [line["validation"][result.selected_by.metric] for line in lines]
    assert result.selected_by.value == min(told)


def test_what_it_began_at_is_left_only_beyond_chance() -> None:
    """By hand: steps that are better than the start by less, and by more, than one standard error."""
    table = single_label()
    rows = table.rows("validation")[:40]
    true = table.present[rows].toarray().argmax(axis=1)
    right = np.eye(5)[true]

    def scores(*wrong: int) -> np.ndarray:
        """Equally sure of all images, and right of all but ``wrong``."""
        shifted = np.where(np.isin(np.arange(40), wrong)[:, None], np.roll(right, 1, axis=1), right)
        return np.asarray(0.05 + 0.75 * shifted, np.float32)

    steps = {
        "start": scores(*range(10)),
        "worse": scores(*range(12)),
        "better by chance": scores(*range(6), 20, 21, 22),  # four are right that were not, three are wrong that were
        "better": scores(*range(3)),
    }
    now = [steps["start"]]
    validate = Validation(table, rows, lambda: iter([(0, now[0])]), None, lambda: iter([(0, steps["start"])]))
    cost, beyond = {}, {}
    for name, now[0] in steps.items():
        told = validate(Phase("p", "mixed", 1, {}, monitor="cost_beyond_start"))
        cost[name], beyond[name] = told["scaled_log_loss"], told["cost_beyond_start"]
    assert cost["better"] < cost["better by chance"] < cost["start"] < cost["worse"]
    assert beyond == cost | {"better by chance": cost["start"]}


def test_no_step_is_taken_where_nothing_tells_whether_it_is_a_good_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work = Work(tmp_path, single_label(true=lambda true, noisy: np.where(np.arange(len(true)) < 450, true, -1)))
    assert not work.table.verified_entries(work.table.rows("validation"))[2].any()
    run = train_head(work.config("untold", steps=40, options={"hidden": 8}))
    assert "note: residual: no validation image is verified" in capsys.readouterr().err
    result = read_result(run)
    assert isinstance(result, HeadResult)
    assert (result.steps, result.selected_by.split) == (0, None)
    auto = load_head(train_head(work.config("auto", method="auto", steps=None, learning_rate=None)))
    own, begun = (head.score(work.features_of) for head in (load_head(run), auto))
    assert (own.argmax(axis=1) == begun.argmax(axis=1)).mean() > 0.95
    new = train_head(work.config("new", steps=40, options={"hidden": 8, "start": "new"}))
    assert read_result(new).steps == 40


@pytest.mark.parametrize(
    ("changes", "start", "average", "selection"),
    [
        ({}, "solved", 300, "cost"),
        ({"options": {"start": "new"}}, "new", 300, "cost"),
        ({"options": {"train": "clean-only"}}, "new", 300, "cost"),
        ({"options": {"average": 0, "selection": "metric"}}, "solved", 0, "metric"),
        ({"preset": "coco"}, "new", 0, "metric"),
        ({"features": None, "from_images": "b"}, "new", 0, "metric"),
        ({"preset": "coco", "options": {"start": "solved"}}, "solved", 0, "metric"),
    ],
)
def test_when(changes: dict[str, Any], start: str, average: int, selection: str) -> None:
    given = {"dataset": Path("d"), "features": Path("f"), "output": Path("o"), "method": "residual"} | changes
    settings = method_settings(TrainHead(**given))
    assert (settings.start, settings.average, settings.selection) == (start, average, selection)  # type: ignore[attr-defined]
    assert settings.feature_scale == ("unit" if start == "solved" else "none")


def test_what_cannot_begin_solved_is_refused() -> None:
    given = {"dataset": Path("d"), "output": Path("o"), "method": "residual"}
    with pytest.raises(NlcliError, match="start=solved needs cached features"):
        method_settings(TrainHead(**given, from_images="b", options={"start": "solved"}))
    with pytest.raises(NlcliError, match="has no use for 'train=noise-only' with start=solved"):
        method_settings(TrainHead(**given, features=Path("f"), options={"start": "solved", "train": "noise-only"}))


def test_presets_step_without_any_of_it() -> None:
    for name in METHODS.ours:
        cls = METHODS.get(name)
        for preset in cls.presets:
            settings = cls.decided(configure(name, {}, preset), (), stepped=True)
            pairs = np.array([[4, 1, 0], [0, 4, 1], [2, 0, 4]]) if cls.uses_pairs(settings) else None
            problem = Problem(4, ("a", "b", "c"), cls.tasks[0], pairs)
            init = LinearLayer.zeros(4, problem.classes) if cls.needs_last_layer else None
            method = cls(settings, problem, init)
            paper = cls.preset_settings(preset, {})
            assert not method.starts_solved
            assert method.scale.kind == "none"
            for phase in method.phases():
                assert (phase.average, phase.optimizer) == (0, paper["optimizer"]), f"{name}, {preset}"
                assert phase.monitor not in ("scaled_log_loss", "ranking_cost")
            rates = {rate.initial for phase in method.phases() for rate in phase.rates.values()}
            assert rates <= {value for option, value in settings.model_dump().items() if option.endswith("rate")}
            assert paper["learning_rate"] in rates
