"""NoisyLabelClassifier: what the command line gives, to the bit, and what scikit-learn's users expect of it."""

from __future__ import annotations

import os
import pickle
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array, csr_matrix
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

import nlcli
from nlcli import NlcliError
from nlcli.data.labels import FULL, LabelTable, matrix_from_lists, single_label_table, strings
from nlcli.estimators import feature_rows
from nlcli.methods import METHODS
from nlcli.stages.publishing import claim
from worlds.arrays import CLASSES, SeveralLabels, SingleLabels, several_labels, single_labels
from worlds.stage_builders import published

SINGLE, SEVERAL = single_labels(), several_labels()
SHORT = {"steps": 40, "options": {"hidden": 8}}


def fitted(data: SingleLabels = SINGLE, method: str = "clean-and-noisy", **changes: Any) -> nlcli.NoisyLabelClassifier:
    return nlcli.NoisyLabelClassifier(method, **changes).fit(data.features, data.noisy, verified=data.verified)


@pytest.fixture(scope="module")
def both() -> nlcli.NoisyLabelClassifier:
    """By a method that uses noisy labels and checked ones, and is quick."""
    return fitted()


# --- the same as train-head ------------------------------------------------------------------


def _files(tmp_path: Path, table: LabelTable, features: np.ndarray) -> tuple[Path, Path]:
    """Data set and features as a user of the command line makes them, from a .npy file."""
    np.save(tmp_path / "vectors.npy", features)
    (tmp_path / "keys.txt").write_text("\n".join(table.keys.tolist()) + "\n")
    dataset = published(table, tmp_path / "dataset")
    source, keys = tmp_path / "vectors.npy", tmp_path / "keys.txt"
    return dataset, nlcli.import_features(dataset=dataset, source=source, keys=keys, output=tmp_path / "features")


def _same_weights(estimator: nlcli.NoisyLabelClassifier, run: Path) -> None:
    estimator.save(run.parent / "saved")
    with np.load(run / "head.npz") as expected, np.load(run.parent / "saved" / "head.npz") as weights:
        assert set(expected.files) == set(weights.files)
        assert expected.files
        for name in expected.files:
            np.testing.assert_array_equal(weights[name], expected[name], err_msg=name, strict=True)


def _names(images: int) -> list[str]:
    return [f"photo-{i:04d}" for i in range(images)]


def test_single_labels_have_the_bits_of_train_head(tmp_path: Path) -> None:
    codes = {name: i for i, name in enumerate(CLASSES)}
    noisy = np.array([codes[name] for name in SINGLE.noisy])
    true = np.where(SINGLE.checked, [codes[name] for name in SINGLE.true], -1)
    names, split = _names(len(noisy)), np.zeros(len(noisy), np.int8)
    table = single_label_table(CLASSES.tolist(), names, names, Path("/photos"), split, noisy, true)
    dataset, features = _files(tmp_path, table, SINGLE.features)
    run = nlcli.train_head(dataset=dataset, features=features, method="auto", output=tmp_path / "run")
    auto = nlcli.NoisyLabelClassifier().fit(SINGLE.features, SINGLE.noisy, verified=SINGLE.verified)
    _same_weights(auto, run)
    head = nlcli.load_head(run)
    np.testing.assert_array_equal(auto.predict(SINGLE.features), CLASSES[head.score(SINGLE.features).argmax(axis=1)])


def test_several_labels_have_the_bits_of_train_head(tmp_path: Path) -> None:
    validation = np.arange(len(SEVERAL.noisy)) % 3 == 0
    lists = {name: [np.flatnonzero(row).tolist() for row in getattr(SEVERAL, name)] for name in ("noisy", "present")}
    names = strings(_names(len(SEVERAL.noisy)))
    table = LabelTable(
        task="multi-label",
        classes=("0", "1", "2", "3"),
        keys=names,
        paths=names,
        image_root=Path("/photos"),
        split=validation.astype(np.int8),
        noisy=matrix_from_lists(lists["noisy"], 4, [[1.0] * len(row) for row in lists["noisy"]]),
        present=matrix_from_lists(lists["present"], 4),
        absent=csr_array(SEVERAL.noisy.shape, dtype=np.uint8),
        verification=np.where(SEVERAL.checked, FULL, 0).astype(np.uint8),
    )
    dataset, features = _files(tmp_path, table, SEVERAL.features)
    settings: dict[str, Any] = {"method": "residual", "clean_fraction": 0.5, **SHORT}
    run = nlcli.train_head(dataset=dataset, features=features, output=tmp_path / "run", seed=3, **settings)
    estimator = nlcli.NoisyLabelClassifier(random_state=3, **settings)
    estimator.fit(
        SEVERAL.features, SEVERAL.noisy, present=SEVERAL.present, absent=SEVERAL.absent, validation=validation
    )
    assert estimator.result_["selected_by"]["split"] == "validation"
    _same_weights(estimator, run)


# --- labels ----------------------------------------------------------------------------------


def test_checked_labels_bring_more_than_noisy_ones_alone(both: nlcli.NoisyLabelClassifier) -> None:
    rest = ~SINGLE.checked
    right = (both.predict(SINGLE.features)[rest] == SINGLE.true[rest]).mean()
    alone = nlcli.NoisyLabelClassifier("noisy").fit(SINGLE.features, SINGLE.noisy)
    assert both.result_["clean"]["images"] == 60
    assert right > 0.85
    assert right >= (alone.predict(SINGLE.features)[rest] == SINGLE.true[rest]).mean()
    probabilities = both.predict_proba(SINGLE.features)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)
    assert both.classes_.tolist() == ["ant", "bee", "cat"]


@pytest.mark.parametrize("unchecked", ["none", "nan", "minus one"], ids=["None", "NaN", "-1"])
def test_whole_numbers_and_what_says_that_nobody_looked(unchecked: str, both: nlcli.NoisyLabelClassifier) -> None:
    noisy, true = (np.searchsorted(CLASSES, labels) * 10 for labels in (SINGLE.noisy, SINGLE.true))
    verified: Any = {
        "none": [int(t) if c else None for t, c in zip(true, SINGLE.checked, strict=True)],
        "nan": pd.Series(np.where(SINGLE.checked, true, np.nan)),
        "minus one": np.where(SINGLE.checked, true, -1),
    }[unchecked]
    estimator = nlcli.NoisyLabelClassifier("clean-and-noisy").fit(SINGLE.features, noisy, verified=verified)
    assert estimator.classes_.tolist() == [0, 10, 20]
    np.testing.assert_array_equal(estimator.predict_proba(SINGLE.features), both.predict_proba(SINGLE.features))


def test_a_class_that_only_people_saw_is_one() -> None:
    noisy = np.where(SINGLE.noisy == "cat", "bee", SINGLE.noisy)
    estimator = nlcli.NoisyLabelClassifier("clean").fit(SINGLE.features, noisy, verified=SINGLE.verified)
    assert estimator.classes_.tolist() == ["ant", "bee", "cat"]
    assert "cat" in estimator.predict(SINGLE.features)


def test_three_states_of_a_single_label() -> None:
    """Right, wrong, nobody looked: a wrong one says what the class is not, and no more."""
    right = np.where(SINGLE.checked, (SINGLE.noisy == SINGLE.true).astype(object), None)
    estimator = nlcli.NoisyLabelClassifier("clean-and-noisy")
    told = clone(estimator).fit(SINGLE.features, SINGLE.noisy, right=right, verified=SINGLE.verified)
    np.testing.assert_array_equal(told.predict_proba(SINGLE.features), fitted().predict_proba(SINGLE.features))
    estimator.fit(SINGLE.features, SINGLE.noisy, right=right)
    assert estimator.result_["clean"]["images"] == 60
    assert (estimator.predict_proba(SINGLE.features) != told.predict_proba(SINGLE.features)).any()


def test_three_states_of_several_labels_dense_and_sparse() -> None:
    """The same labels come to the same classifier in every form; a row known in part is not one known in full."""

    def fit(data: SeveralLabels, **checked: Any) -> nlcli.NoisyLabelClassifier:
        return nlcli.NoisyLabelClassifier("clean-and-noisy").fit(
            data.features, checked.pop("noisy", data.noisy), **checked
        )

    dense = fit(SEVERAL, present=SEVERAL.present, absent=SEVERAL.absent)
    expected = dense.predict_proba(SEVERAL.features)
    assert expected.shape == (240, 4)
    assert dense.result_["clean"]["images"] == 60
    sparse = fit(
        SEVERAL,
        noisy=csr_array(SEVERAL.noisy),
        present=csr_array(SEVERAL.present),
        absent=csr_array(SEVERAL.absent),
    )
    np.testing.assert_array_equal(sparse.predict_proba(SEVERAL.features), expected)
    predicted = sparse.predict(SEVERAL.features)
    assert isinstance(predicted, csr_array)
    np.testing.assert_array_equal(predicted.toarray(), dense.predict(SEVERAL.features))
    whole_rows = fit(SEVERAL, present=SEVERAL.present, verified=SEVERAL.checked)
    np.testing.assert_array_equal(whole_rows.predict_proba(SEVERAL.features), expected)
    present_alone = fit(SEVERAL, present=SEVERAL.present)
    assert (present_alone.predict_proba(SEVERAL.features) != expected).any()


def test_names_of_columns() -> None:
    names = ["ant", "bee", "cat", "dog"]
    columns = [f"x{i}" for i in range(8)]
    frame, labels = pd.DataFrame(SEVERAL.features, columns=columns), pd.DataFrame(SEVERAL.noisy, columns=names)
    estimator = nlcli.NoisyLabelClassifier("noisy").fit(frame, labels)
    assert estimator.classes_.tolist() == names
    assert estimator.feature_names_in_.tolist() == columns
    with pytest.raises(ValueError, match="feature names"):
        estimator.predict(frame[columns[::-1]])


@pytest.mark.parametrize(
    ("checked", "message"),
    [
        ({"verified": SINGLE.verified[:3]}, "verified has shape"),
        ({"verified": np.arange(240)}, "verified holds .* another type"),
        ({"present": SEVERAL.present}, "present is for several labels"),
        ({"validation": np.arange(240)}, "validation has to be 240 booleans"),
        ({"right": np.full(240, 2)}, "right holds something else"),
    ],
)
def test_what_does_not_fit_is_a_sentence_and_a_value_error(checked: dict[str, Any], message: str) -> None:
    for kind in (NlcliError, ValueError):
        with pytest.raises(kind, match=message):
            nlcli.NoisyLabelClassifier().fit(SINGLE.features, SINGLE.noisy, **checked)


def test_what_cannot_be_one_thing_and_another() -> None:
    signs = np.where(SINGLE.noisy == "ant", -1, 1)
    with pytest.raises(NlcliError, match="-1 is a class, so in verified"):
        nlcli.NoisyLabelClassifier().fit(SINGLE.features, signs, verified=np.where(SINGLE.checked, signs, -1))
    with pytest.raises(NlcliError, match="verified both present and absent"):
        nlcli.NoisyLabelClassifier().fit(SEVERAL.features, SEVERAL.noisy, present=SEVERAL.true, absent=SEVERAL.true)
    with pytest.raises(NlcliError, match="the clean set is empty"):
        nlcli.NoisyLabelClassifier("residual", **SHORT).fit(SEVERAL.features, SEVERAL.noisy)
    with pytest.raises(NlcliError, match="trains the network that features come from"):
        fitted(method="finetune-whole")


# --- sparse rows, weights, decisions ---------------------------------------------------------


def test_sparse_rows_are_dense_ones_to_the_bit(tmp_path: Path, both: nlcli.NoisyLabelClassifier) -> None:
    features = np.where(np.abs(SINGLE.features) < 0.5, 0, SINGLE.features).astype(np.float64)
    dense = nlcli.NoisyLabelClassifier("clean-and-noisy", work=tmp_path)
    dense.fit(features, SINGLE.noisy, verified=SINGLE.verified)
    sparse = clone(dense).fit(csr_matrix(features), SINGLE.noisy, verified=SINGLE.verified)
    assert len(list(tmp_path.glob("run-*"))) == 1  # the same rows: it was done already
    for method in ("predict_proba", "decision_function", "predict"):
        found = getattr(sparse, method)(csr_array(features))
        np.testing.assert_array_equal(found, getattr(dense, method)(features), err_msg=method, strict=True)
    with pytest.raises(ValueError, match="expecting 8 features"):
        both.predict(csr_array(features[:, :7]))


def test_sparse_rows_are_dense_in_parts_only(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = fitted(method="noisy").decision_function(SINGLE.features)
    monkeypatch.setattr(feature_rows, "PART_BYTES", 4 * 8 * 50)  # 50 of the 240 rows
    largest = []
    dense_rows = feature_rows.dense_rows

    def seen(*args: Any) -> np.ndarray:
        rows = dense_rows(*args)
        largest.append(len(rows))
        return rows

    monkeypatch.setattr(feature_rows, "dense_rows", seen)
    sparse = nlcli.NoisyLabelClassifier("noisy").fit(csr_array(SINGLE.features), SINGLE.noisy)
    assert max(largest) == 50
    np.testing.assert_allclose(sparse.decision_function(csr_array(SINGLE.features)), expected, atol=1e-9)


def test_decisions_order_rows_as_probabilities_do(both: nlcli.NoisyLabelClassifier) -> None:
    decisions = both.decision_function(SINGLE.features)
    np.testing.assert_allclose(np.exp(decisions), both.predict_proba(SINGLE.features), rtol=1e-12)
    np.testing.assert_allclose(both.predict_proba(SINGLE.features), both.run_.head.score(SINGLE.features), atol=1e-6)
    two = SINGLE.noisy != "cat"
    binary = nlcli.NoisyLabelClassifier("noisy").fit(SINGLE.features[two], SINGLE.noisy[two])
    odds, probabilities = binary.decision_function(SINGLE.features), binary.predict_proba(SINGLE.features)
    np.testing.assert_allclose(odds, np.log(probabilities[:, 1] / probabilities[:, 0]), rtol=1e-9)
    far = binary.decision_function(1e3 * SINGLE.features)  # no probability in float32 tells these from each other
    assert np.isfinite(far).all()
    assert len(np.unique(far)) == len(far)


def test_decisions_of_several_labels_are_log_odds() -> None:
    estimator = nlcli.NoisyLabelClassifier("noisy").fit(SEVERAL.features, SEVERAL.noisy)
    odds, probabilities = estimator.decision_function(SEVERAL.features), estimator.predict_proba(SEVERAL.features)
    np.testing.assert_allclose(odds, np.log(probabilities / (1 - probabilities)), rtol=1e-9)
    np.testing.assert_array_equal(estimator.predict(SEVERAL.features), odds >= 0)


@pytest.mark.slow
def test_decisions_of_a_head_that_is_not_linear() -> None:
    estimator = nlcli.NoisyLabelClassifier("residual", **SHORT)
    estimator.fit(SEVERAL.features, SEVERAL.noisy, present=SEVERAL.present, absent=SEVERAL.absent)
    scores = estimator.run_.head.score(SEVERAL.features).astype(np.float64)
    np.testing.assert_allclose(
        estimator.decision_function(SEVERAL.features), np.log(scores / (1 - scores)), rtol=1e-6, atol=1e-6
    )


TIMES = np.arange(240) % 3 + 1
FIXED = {"weight_decay": 0.02, "feature_scale": "none"}


@pytest.mark.parametrize("method", ["noisy", "clean"])
def test_a_weight_of_two_is_the_row_twice(method: str) -> None:
    estimator = nlcli.NoisyLabelClassifier(method, options=FIXED)
    weighted = clone(estimator).fit(SINGLE.features, SINGLE.noisy, verified=SINGLE.verified, sample_weight=TIMES)
    rows = np.repeat(np.arange(240), TIMES)
    repeated = clone(estimator).fit(SINGLE.features[rows], SINGLE.noisy[rows], verified=SINGLE.verified[rows])
    found, expected = weighted.predict_proba(SINGLE.features), repeated.predict_proba(SINGLE.features)
    np.testing.assert_allclose(found, expected, atol=2e-4)
    alike = clone(estimator).fit(SINGLE.features, SINGLE.noisy, verified=SINGLE.verified)
    assert np.abs(alike.predict_proba(SINGLE.features) - expected).max() > 5e-3


def test_a_weighted_head_is_that_of_logistic_regression() -> None:
    estimator = nlcli.NoisyLabelClassifier("noisy", options=FIXED)
    estimator.fit(SINGLE.features, SINGLE.noisy, sample_weight=TIMES)
    peer = LogisticRegression(C=1 / (0.02 * TIMES.sum()), tol=1e-8, max_iter=1000)
    peer.fit(SINGLE.features, SINGLE.noisy, sample_weight=TIMES)
    np.testing.assert_allclose(estimator.predict_proba(SINGLE.features), peer.predict_proba(SINGLE.features), atol=5e-4)


_SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("auto", "posterior", "finetune-mixed", "forward")]


@pytest.mark.parametrize("method", ["clean-and-noisy", *_SLOW])
def test_a_row_of_weight_zero_is_not_there(method: str) -> None:
    weights = (np.arange(240) % 4 != 1).astype(float)
    estimator = nlcli.NoisyLabelClassifier(method)
    weighted = clone(estimator).fit(SINGLE.features, SINGLE.noisy, verified=SINGLE.verified, sample_weight=weights)
    kept = weights > 0
    left = clone(estimator).fit(SINGLE.features[kept], SINGLE.noisy[kept], verified=SINGLE.verified[kept])
    np.testing.assert_array_equal(weighted.predict_proba(SINGLE.features), left.predict_proba(SINGLE.features))
    heavy = np.where(SINGLE.noisy == "cat", 30.0, 1.0)
    turned = clone(estimator).fit(SINGLE.features, SINGLE.noisy, verified=SINGLE.verified, sample_weight=heavy)
    assert (turned.predict(SINGLE.features) == "cat").sum() > (left.predict(SINGLE.features) == "cat").sum() + 5


def test_weights_of_rows_of_several_labels() -> None:
    weights = pd.Series(np.where(np.arange(240) < 200, 1.0, 0.0))
    estimator = nlcli.NoisyLabelClassifier("clean-and-noisy")
    checked: dict[str, Any] = {"present": csr_array(SEVERAL.present), "absent": pd.DataFrame(SEVERAL.absent)}
    weighted = clone(estimator).fit(SEVERAL.features, SEVERAL.noisy, sample_weight=weights, **checked)
    left = clone(estimator).fit(
        SEVERAL.features[:200], SEVERAL.noisy[:200], present=SEVERAL.present[:200], absent=SEVERAL.absent[:200]
    )
    np.testing.assert_array_equal(weighted.predict_proba(SEVERAL.features), left.predict_proba(SEVERAL.features))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.zeros(240), "every weight in sample_weight is zero"),
        (-np.ones(240), "sample_weight holds -1"),
        (np.ones(3), r"sample_weight has shape \(3,\)"),
        (np.full(240, np.nan), "NaN"),
        ("balanced", "sample_weight is the text 'balanced'; give a number for each row"),
    ],
)
def test_weights_that_are_none(weights: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nlcli.NoisyLabelClassifier("noisy").fit(SINGLE.features, SINGLE.noisy, sample_weight=weights)


def test_methods_that_take_steps_take_no_weights() -> None:
    with pytest.raises(NlcliError, match=r"--image-weights\) is for heads that are solved, and residual takes steps"):
        nlcli.NoisyLabelClassifier("residual", **SHORT).fit(
            SEVERAL.features, SEVERAL.noisy, present=SEVERAL.present, absent=SEVERAL.absent, sample_weight=TIMES
        )


# --- beside scikit-learn ---------------------------------------------------------------------


def test_in_a_pipeline_and_a_grid() -> None:
    """What was checked is sliced with the rows; the grid sets options of a method."""
    pipeline = Pipeline([("scale", StandardScaler()), ("head", nlcli.NoisyLabelClassifier("clean"))])
    grid = GridSearchCV(pipeline, {"head__options": [{"weight_decay": 10.0}, {"weight_decay": 1e-3}]}, cv=2)
    grid.fit(SINGLE.features, SINGLE.noisy, head__verified=SINGLE.verified)
    assert grid.best_params_ == {"head__options": {"weight_decay": 1e-3}}
    assert (grid.predict(SINGLE.features) == SINGLE.true).mean() > 0.8


def test_a_grid_of_several_labels_dense_and_sparse() -> None:
    """What people saw is sliced with the rows in either form; the shares of rows that are right are the same."""
    shares = []
    for form in (np.asarray, csr_matrix):
        classifier, options = nlcli.NoisyLabelClassifier("clean"), {"clean_fraction": [0.5, 1.0]}
        grid = GridSearchCV(classifier, options, cv=2, refit=False, error_score="raise")
        seen = {"present": form(SEVERAL.present), "absent": form(SEVERAL.absent)}
        grid.fit(form(SEVERAL.features), form(SEVERAL.noisy), **seen)
        shares.append(grid.cv_results_["mean_test_score"])
    np.testing.assert_array_equal(shares[0], shares[1])


def test_clone_and_pickle(both: nlcli.NoisyLabelClassifier) -> None:
    again = pickle.loads(pickle.dumps(both))
    np.testing.assert_array_equal(again.predict_proba(SINGLE.features), both.predict_proba(SINGLE.features))
    assert clone(both).get_params() == both.get_params()
    with pytest.raises(ValueError, match="not fitted"):
        clone(both).predict(SINGLE.features)


def test_save_and_load(tmp_path: Path, both: nlcli.NoisyLabelClassifier) -> None:
    path = both.save(tmp_path / "saved")
    loaded = nlcli.NoisyLabelClassifier.load(path)
    np.testing.assert_array_equal(loaded.predict(SINGLE.features), both.predict(SINGLE.features))
    assert loaded.get_params() == both.get_params()
    np.testing.assert_array_equal(
        nlcli.load_head(path).score(SINGLE.features[:5]).argmax(axis=1),
        np.searchsorted(CLASSES, both.predict(SINGLE.features[:5])),
    )
    with pytest.raises(NlcliError, match=r"saved exists; choose another place, or pass force=True"):
        both.save(path)
    assert both.save(path, force=True) == path
    (tmp_path / "mine").mkdir()
    with pytest.raises(NlcliError, match="mine exists; choose another place$"):
        both.save(tmp_path / "mine", force=True)
    (path / "estimator.json").write_text('{"version": 1, "classes": ["a"]}')
    with pytest.raises(NlcliError, match=r"estimator\.json.*save the estimator again"):
        nlcli.NoisyLabelClassifier.load(path)


def test_a_run_of_train_head_is_loaded_too(tmp_path: Path) -> None:
    estimator = fitted(work=tmp_path)
    run = next(tmp_path.glob("run-*"))
    loaded = nlcli.NoisyLabelClassifier.load(run)
    assert loaded.method == "clean-and-noisy"
    np.testing.assert_array_equal(loaded.predict(SINGLE.features), estimator.predict(SINGLE.features))
    begun = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/stage.json")}
    assert len(begun) == 3
    fitted(work=tmp_path)  # done once
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/stage.json")} == begun
    fitted(work=tmp_path, clean_fraction=0.5)
    assert len(list(tmp_path.glob("run-*"))) == 2


def test_a_fit_waits_for_another_one_that_makes_what_both_need(tmp_path: Path) -> None:
    """As searches do, which fit equal rows side by side."""
    fitted(work=tmp_path)
    labels = next(tmp_path.glob("labels-*"))
    shutil.rmtree(labels)
    taken = claim(labels)
    assert taken is not None
    fit = threading.Thread(target=fitted, kwargs={"work": tmp_path})
    fit.start()
    fit.join(1.0)
    assert fit.is_alive()
    assert not labels.exists()
    os.close(taken)
    fit.join(60)
    assert not fit.is_alive()
    assert (labels / "stage.json").is_file()


@pytest.mark.parametrize("random_state", [4, np.random.RandomState(0), None])
def test_seeds(random_state: Any) -> None:
    estimator = nlcli.NoisyLabelClassifier("noisy", random_state=random_state).fit(SINGLE.features, SINGLE.noisy)
    assert estimator.predict(SINGLE.features[:2]).shape == (2,)


def test_validation_is_drawn_of_every_class_where_a_method_takes_steps() -> None:
    estimator = fitted(method="clean", steps=20)
    assert estimator.result_["selected_by"]["split"] == "validation"
    assert estimator.result_["validation"]["images"] == pytest.approx(12, abs=2)  # a fifth of 60
    assert fitted(method="clean").result_["validation"]["images"] == 0
    assert fitted(method="clean", validation_fraction=0.5).result_["validation"]["images"] == pytest.approx(30, abs=2)


def test_cleaned_labels() -> None:
    estimator = fitted(method="noise-types", steps=200, options={"learning_rate": 1e-2})
    cleaned = estimator.clean(SINGLE.features, SINGLE.noisy)
    assert (cleaned == SINGLE.true).mean() > (SINGLE.noisy == SINGLE.true).mean() + 0.1
    with pytest.raises(NlcliError, match="gives no cleaned labels"):
        fitted(method="noisy").clean(SINGLE.features, SINGLE.noisy)


# --- every method ----------------------------------------------------------------------------


def _takes(name: str, task: str) -> bool:
    method = METHODS.get(name)
    return not method.whole_network and task in method.tasks


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in METHODS.names() if _takes(name, "single-label")])
def test_every_method_of_single_labels(name: str) -> None:
    short: dict[str, Any] = {"steps": 300, "learning_rate": 1e-2} if not METHODS.get(name).solvable else {}
    estimator = fitted(method=name, **short)
    assert (estimator.predict(SINGLE.features) == SINGLE.true).mean() > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in METHODS.names() if _takes(name, "multi-label")])
def test_every_method_of_several_labels(name: str) -> None:
    short: dict[str, Any] = {"steps": 300, "learning_rate": 1e-2} if not METHODS.get(name).solvable else {}
    estimator = nlcli.NoisyLabelClassifier(name, **short)
    estimator.fit(SEVERAL.features, SEVERAL.noisy, present=SEVERAL.present, absent=SEVERAL.absent)
    assert (estimator.predict(SEVERAL.features) == SEVERAL.true).mean() > 0.6
