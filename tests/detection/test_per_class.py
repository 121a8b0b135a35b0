"""The supervised detectors, a binary classifier a class: they agree with scikit-learn, and are chosen on validation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.semi_supervised import LabelPropagation, LabelSpreading
from sklearn.svm import SVC

from nlcli.detection import make_detector
from nlcli.detection.base import Data
from nlcli.detection.detectors.knn import Knn
from nlcli.detection.per_class import unit_length
from nlcli.detection.threshold import best_threshold
from nlcli.detection.verification import verification_labels
from nlcli.seeds import stream
from worlds.detection import CLASSES, World, data_of, rates_of, scores_of

SUPERVISED = ("mlp", "knn", "svm", "label-propagation", "label-spreading")


def sklearn_scores(name: str, setting: dict[str, Any], world: World, data: Data) -> np.ndarray:
    """Scores of the test images by one estimator of scikit-learn a class, on features of length one."""
    unit = world.features / np.linalg.norm(world.features, axis=1, keepdims=True)
    train, test = world.rows("train"), world.rows("test")
    found = np.empty(len(test))
    for c in range(len(CLASSES)):
        asked = world.noisy[test] == c
        known = train[(world.noisy[train] == c) & world.verified[train]]
        every = np.concatenate([known, train[(world.noisy[train] == c) & ~world.verified[train]]])
        label = np.where(world.verified[every], world.right[every], -1)
        if name == "knn":
            model: Any = KNeighborsClassifier(min(setting["neighbours"], len(known)))
        elif name == "svm":
            model = SVC(C=setting["c"], gamma="scale")
        elif name == "mlp":
            # The random start is the detector's own, drawn from its stream; L-BFGS depends on the order of rows.
            known = known[np.argsort(data.store.rows_of(data.table.keys[known]))]
            model = MLPClassifier(
                (64,),
                alpha=setting["weight_decay"],
                max_iter=100,
                solver="lbfgs",
                random_state=int(stream(0, "detection", "mlp").integers(2**31)),
            )
        elif name == "label-propagation":
            model = LabelPropagation(kernel="knn", n_neighbors=setting["neighbours"])
        else:
            model = LabelSpreading(
                kernel="knn", n_neighbors=setting["neighbours"], alpha=setting["alpha"], max_iter=1000
            )
        if name.startswith("label"):
            model.fit(unit[every], label)
        else:
            model.fit(unit[known], world.right[known])
        if name == "svm":
            found[asked] = 1 / (1 + np.exp(-model.decision_function(unit[test[asked]])))
        else:
            found[asked] = model.predict_proba(unit[test[asked]])[:, 1]
    return found


@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")
@pytest.mark.parametrize("name", SUPERVISED)
def test_supervised_detectors_are_those_of_scikit_learn_and_find_noise(name: str, world: World, fitted: Any) -> None:
    detector, data, _ = fitted(name)
    rows, found = scores_of(detector, data, "test")
    order = np.argsort(rows)
    expected = sklearn_scores(name, detector.notes["setting"], world, data)
    np.testing.assert_allclose(found[order], expected, atol={"mlp": 2e-3, "svm": 3e-4}.get(name, 1e-5))

    validation, score = scores_of(detector, data, "validation")
    delta, _ = best_threshold(score, world.right[validation], world.noisy[validation])
    rates = rates_of((found >= delta).astype(np.int8), world.right[rows], world.noisy[rows])
    assert rates.naive_average > 0.28
    assert rates.average < 0.4 * rates.naive_average


def test_settings_are_chosen_on_validation(world: World, fitted: Any, tmp_path: Path) -> None:
    detector, data, _ = fitted("knn")
    errors = {}
    for k in (1, 3, 5, 9, 15, 25, 51):
        one, work = make_detector("knn", {"neighbours": k}), tmp_path / str(k)
        work.mkdir()
        one.fit(data, 0, work)
        rows, score = scores_of(one, data, "validation")
        errors[k] = best_threshold(score, world.right[rows], world.noisy[rows])[1]
    recorded = {entry["neighbours"]: entry["validation_error"] for entry in detector.notes["settings"]}
    assert recorded == pytest.approx(errors)
    assert errors[detector.notes["setting"]["neighbours"]] == min(errors.values())
    assert len(set(errors.values())) > 2


def test_the_first_settings_are_not_simply_taken(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Knn, "settings", lambda self: [{"neighbours": 1000}, {"neighbours": 5}]
    )  # all votes, or near ones
    detector = make_detector("knn")
    detector.fit(data_of(world), 0, tmp_path)
    assert detector.notes["setting"] == {"neighbours": 5}
    worse, better = (entry["validation_error"] for entry in detector.notes["settings"])
    assert better < 0.5 * worse


def test_a_class_without_both_kinds_gets_the_share_of_right_ones(world: World, tmp_path: Path) -> None:
    label = np.where(world.verified, world.right, -1)
    label[(world.noisy == 2) & (world.split == 0)] = -1  # nothing verified
    four = np.flatnonzero((world.noisy == 4) & (world.split == 0))
    label[four] = -1
    label[four[:3]] = 1  # three right ones and no wrong one
    share = np.mean(label[(world.split == 0) & (label >= 0)] == 1)
    detector, data = make_detector("svm"), data_of(world, label)
    detector.fit(data, 0, tmp_path)
    assert detector.notes["classes_by_prior"] == ["cat", "elk"]
    rows, found = scores_of(detector, data, "test")
    np.testing.assert_allclose(found[world.noisy[rows] == 2], share, rtol=1e-6)
    np.testing.assert_allclose(found[world.noisy[rows] == 4], (3 + share) / 4, rtol=1e-6)
    assert len(np.unique(found[world.noisy[rows] == 1])) > 5


def test_without_verified_validation_images_the_defaults_hold(world: World, tmp_path: Path) -> None:
    label = np.where(world.split == 0, verification_labels(world.table()), -1)
    detector = make_detector("knn")
    detector.fit(data_of(world, label), 0, tmp_path)
    assert detector.notes["setting"] == {"neighbours": 5}
    assert all(entry["validation_error"] is None for entry in detector.notes["settings"])


def test_large_classes_are_subsampled_by_the_seed(world: World, tmp_path: Path) -> None:
    found = []
    for number, seed in enumerate((0, 0, 1)):
        detector, data = make_detector("knn", {"neighbours": 1}), data_of(world, class_images=20)
        (tmp_path / str(number)).mkdir()
        detector.fit(data, seed, tmp_path / str(number))
        found.append(scores_of(detector, data, "test")[1])
        verified = [np.sum((data.train.noisy == c) & (data.train.label >= 0)) for c in range(len(CLASSES))]
        assert data.subsampled == {CLASSES[c]: n for c, n in enumerate(verified) if n > 20}
        assert data.subsampled
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


def test_features_of_length_one() -> None:
    found = unit_length(np.array([[3, 4], [0, 0]], np.float32))
    np.testing.assert_allclose(found, [[0.6, 0.8], [0, 0]])
    assert found.dtype == np.float32
