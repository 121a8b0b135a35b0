"""Heads that are solved: when they are, what they are chosen on, what is told, and that nothing but the data decides."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize

from nlcli.data.labels import NONE
from nlcli.errors import NlcliError
from nlcli.estimation.objective import Term
from nlcli.methods import configure, get_method
from nlcli.methods.base.solution import Labelled
from nlcli.methods.noisy import Noisy
from nlcli.training.checks import Case
from nlcli.training.result import HeadResult, read_result
from nlcli.training.run_config import CONFIG
from nlcli.training.saved_head import load_head
from nlcli.training.train_head import train_head
from worlds.heads import Work, single_label, table_of

QUIET: dict[str, Any] = {"steps": None, "learning_rate": None}  # nothing that asks for steps


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Work:
    return Work(tmp_path_factory.mktemp("solved"), single_label())


def told(run: Path) -> HeadResult:
    result = read_result(run)
    assert isinstance(result, HeadResult)
    return result


def weights(run: Path) -> dict[str, np.ndarray]:
    with np.load(run / "head.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


def test_a_run_is_solved_as_scikit_learn_solves_it_and_tells_how(work: Work) -> None:
    run = train_head(work.config("noisy", method="noisy", **QUIET))
    result = told(run)
    assert result.solved is not None
    assert (result.solved.chosen_on, result.solved.converged, result.stopped_by) == ("validation", True, "converged")
    assert (result.selected_by.split, result.selected_by.metric) == ("validation", "scaled_log_loss")
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["train"]["l2"] for line in lines] == [point.l2 for point in result.solved.path]
    least = min(point.cost or 9.0 for point in result.solved.path)
    assert result.selected_by.value == least
    assert result.solved.path[result.step].cost == least
    assert result.validation["top_1"] == lines[result.step]["validation"]["top_1"]

    head = load_head(run)
    rows = np.array([row for row in work.table.rows("train") if row not in (3, 449, 450)])  # these have no features
    unit = normalize(work.features_of)
    theirs = LogisticRegression(C=1.0 / (result.solved.l2 * len(rows)), tol=1e-9, max_iter=5000, solver="newton-cg")
    theirs.fit(unit[rows], work.table.noisy[rows].toarray().argmax(axis=1))
    np.testing.assert_allclose(head.score(work.features_of[:50]), theirs.predict_proba(unit[:50]), atol=1e-4)


def test_neither_seed_nor_memory_changes_what_is_solved(work: Work) -> None:
    whole = weights(train_head(work.config("whole", method="noisy", **QUIET)))
    seeded = weights(train_head(work.config("seeded", method="noisy", seed=5, **QUIET)))
    streamed = weights(train_head(work.config("streamed", method="noisy", memory=1e-6, **QUIET)))
    for name, value in whole.items():
        assert value.tobytes() == seeded[name].tobytes()
        np.testing.assert_allclose(streamed[name], value, atol=2e-2)


@pytest.mark.parametrize(
    ("changes", "solver"),
    [
        ({}, "solved"),
        ({"options": {"weight_decay": 0.01}}, "solved"),
        ({"options": {"feature_scale": "none"}}, "solved"),
        ({"options": {"solver": "steps"}}, "steps"),
        ({"steps": 10}, "steps"),
        ({"learning_rate": 0.1}, "steps"),
        ({"options": {"optimizer": "sgd"}}, "steps"),
        ({"eval_every": 5, "scale": 0.01}, "steps"),
        ({"preset": "coco", "scale": 1e-4}, "steps"),
    ],
)
def test_when_it_is_solved(work: Work, changes: dict[str, Any], solver: str) -> None:
    name = f"when-{len(str(changes))}-{abs(hash(str(changes)))}"
    changes = {"options": {}} | changes
    short = {"scale": 0.01} if solver == "steps" and "steps" not in changes else {}
    run = train_head(work.config(name, **{**QUIET, "method": "noisy", **short, **changes}))
    settings = json.loads((run / CONFIG).read_text())["method_config"]
    assert settings["solver"] == solver
    scale = changes["options"].get("feature_scale", "unit" if solver == "solved" else "none")
    assert settings["feature_scale"] == scale
    assert (told(run).solved is not None) == (solver == "solved")


def test_a_given_weight_decay_is_the_l2(work: Work) -> None:
    run = train_head(work.config("decay", method="noisy", options={"weight_decay": 0.03}, **QUIET))
    assert [point.l2 for point in told(run).solved.path] == [0.03]  # type: ignore[union-attr]


def test_what_contradicts_is_refused(work: Work) -> None:
    with pytest.raises(NlcliError, match="has no use for 'batch_size'"):
        train_head(work.config("x", method="noisy", options={"solver": "solved"}, batch_size=8, **QUIET))
    with pytest.raises(NlcliError, match="option 'solver'"):
        train_head(work.config("x", method="residual", options={"solver": "solved"}))


def test_without_verified_validation_the_clean_set_chooses(tmp_path: Path) -> None:
    table = single_label()
    table.verification[table.rows("validation")] = NONE
    table.present[table.rows("validation")] = 0
    table.present.eliminate_zeros()
    run = train_head(Work(tmp_path, table).config("run", method="clean-and-noisy", **QUIET))
    result = told(run)
    assert result.solved is not None
    assert result.solved.chosen_on == result.selected_by.split == "train"
    assert result.clean is not None
    assert result.clean.chose == result.clean.trained == result.clean.images == 90  # a fifth of 450
    assert {point.phase for point in result.solved.path} == {f"clean weight {w}" for w in (1, 5, 20)}


def test_without_anything_verified_noisy_labels_choose(tmp_path: Path) -> None:
    table = single_label()
    for split in ("train", "validation"):
        table.verification[table.rows(split)] = NONE
        table.present[table.rows(split)] = 0
    table.present.eliminate_zeros()
    run = train_head(Work(tmp_path, table).config("run", method="noisy", **QUIET))
    result = told(run)
    assert result.solved is not None
    assert result.solved.chosen_on == "noisy"
    assert result.selected_by.split is None
    assert "no verified label" in (result.selected_by.why or "")


def test_several_labels_and_what_is_partly_verified(tmp_path: Path) -> None:
    run = train_head(Work(tmp_path, table_of()).config("run", method="clean-and-noisy", **QUIET))
    assert told(run).selected_by.metric == "ranking_cost"
    assert told(run).validation["AP_all"] > 0.8


def test_fine_tuning_stays_near_the_layer_that_it_starts_from(work: Work) -> None:
    noisy = train_head(work.config("init", method="noisy", **QUIET))
    strong = {"weight_decay": 1e4}
    near = train_head(work.config("near", method="finetune-last", init=noisy, options=strong, **QUIET))
    assert json.loads((near / CONFIG).read_text())["method_config"]["feature_scale"] == "unit"  # that of the layer
    kernel = "classifier/kernel"
    np.testing.assert_allclose(weights(near)[kernel], weights(noisy)[kernel], atol=1e-3)
    with pytest.raises(NlcliError, match="linear in features on scale 'unit', and this head sees them on 'none'"):
        train_head(work.config("y", method="finetune-last", init=noisy, options={"feature_scale": "none"}, **QUIET))


@pytest.mark.parametrize("scale", ["length", "unit", "root", "standard"])
def test_a_scale_is_a_part_of_the_head(work: Work, scale: str) -> None:
    options = {"feature_scale": scale, "hidden": 8, "start": "new"}
    run = train_head(work.config(scale, method="residual", options=options, steps=20))
    head = load_head(run)
    assert head.method.scale.kind == scale
    features = work.features_of[:30]
    other = get_method("residual")(configure("residual", {"hidden": 8}), head.method.problem)
    for name, variable in other.weights().items():
        variable.assign(weights(run)[name])
    scaled = head.method.scale.of_arrays().apply(features)
    np.testing.assert_allclose(head.score(features), np.asarray(other.score(scaled, "clean")), atol=1e-5)
    if scale == "standard":
        assert np.abs(head.method.scale.of_arrays().apply(work.features_of).mean(axis=0)).max() < 0.2


def test_a_head_of_the_first_release_has_no_scale(work: Work, tmp_path: Path) -> None:
    run = train_head(work.config("old", method="noisy", steps=5))
    described = json.loads((run / CONFIG).read_text())
    for option in ("solver", "feature_scale"):
        del described["method_config"][option]
    (run / CONFIG).write_text(json.dumps(described))
    assert load_head(run).method.scale.kind == "none"


class _OwnTerm(Noisy):
    """Makes its term of the noisy labels itself, and does not heed what they weigh."""

    def candidates(self, labelled: Labelled) -> Mapping[str, Sequence[Term]]:
        return {"noisy": [Term(labelled.noisy, labelled.of_noisy.astype(np.float64), None, None)]}


class _OwnTermWithCounts(_OwnTerm):
    """The same, which heeds what images count."""

    def candidates(self, labelled: Labelled) -> Mapping[str, Sequence[Term]]:
        counts = 1.0 if labelled.counts is None else labelled.counts
        return {"noisy": [Term(labelled.noisy, labelled.of_noisy * counts, None, None)]}


def test_a_method_that_passes_over_what_images_count_is_refused(tmp_path: Path) -> None:
    counts = np.linspace(0.5, 2, len(Case(Noisy, "multi-label").planted.table))

    def kernel(cls: type[Noisy], counts: np.ndarray | None) -> np.ndarray:
        case = Case(cls, "multi-label")
        method = case.build(case.solved_config(), arrays=True)
        case.solve(method, tmp_path, counts=counts)
        return np.asarray(method.weights()["classifier/kernel"].numpy())

    with pytest.raises(NlcliError, match=r"passes over what each image counts \(--image-weights\): its solve\(\) asks"):
        kernel(_OwnTerm, counts)
    ours = kernel(Noisy, counts)
    np.testing.assert_array_equal(kernel(_OwnTermWithCounts, counts), ours)
    without = kernel(_OwnTerm, None)
    np.testing.assert_array_equal(kernel(Noisy, None), without)
    assert not np.array_equal(ours, without)
