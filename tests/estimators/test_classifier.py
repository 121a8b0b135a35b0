"""NoisyLabelClassifier: what the command line gives, to the bit, and what scikit-learn's users expect of it."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

import nlcli
from nlcli import NlcliError
from nlcli.data.labels import FULL, LabelTable, matrix_from_lists, single_label_table, strings
from nlcli.methods import METHODS
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


# --- beside scikit-learn ---------------------------------------------------------------------


def test_in_a_pipeline_and_a_grid() -> None:
    """What was checked is sliced with the rows; the grid sets options of a method."""
    pipeline = Pipeline([("scale", StandardScaler()), ("head", nlcli.NoisyLabelClassifier("clean"))])
    grid = GridSearchCV(pipeline, {"head__options": [{"weight_decay": 10.0}, {"weight_decay": 1e-3}]}, cv=2)
    grid.fit(SINGLE.features, SINGLE.noisy, head__verified=SINGLE.verified)
    assert grid.best_params_ == {"head__options": {"weight_decay": 1e-3}}
    assert (grid.predict(SINGLE.features) == SINGLE.true).mean() > 0.8


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
