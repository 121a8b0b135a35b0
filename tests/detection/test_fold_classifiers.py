"""Classifiers of folds, against scikit-learn's, and what they do not see."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from nlcli.detection.base import Data
from nlcli.detection.fold_classifiers import FoldClassifiers, FoldSettings, fold_classifiers
from nlcli.detection.verification import withheld
from nlcli.errors import NlcliError
from worlds.detection import CLASSES, World, data_of

FIXED = FoldSettings(folds=3, strength=1e-2, weights=(4.0,))


def seen(world: World, true: np.ndarray | None = None, label: np.ndarray | None = None) -> Data:
    """What a detector sees; ``true`` (n,) classes that may be seen."""
    data = data_of(world, label)
    known = np.where(world.verified & (world.split < 2), world.true, -1) if true is None else true
    return Data(data.table, data.store, true=known)


def by_scikit_learn(features: np.ndarray, classes: np.ndarray, weights: np.ndarray, strength: float) -> np.ndarray:
    """(D, C) kernel and biases below it of the same problem, their means over classes taken away."""
    variance = np.mean(np.sum((features - features.mean(axis=0)) ** 2, axis=1))
    c = 1 / (strength * variance * weights.sum())
    model = LogisticRegression(C=c, tol=1e-8, max_iter=5000).fit(features, classes, sample_weight=weights)
    return np.concatenate([model.coef_.T, model.intercept_[None]])


def test_the_same_as_scikit_learn_with_verified_ones_put_in(world: World, tmp_path: Path) -> None:
    data = seen(world)
    made = fold_classifiers(data, 0, tmp_path, FIXED)
    train = data.train.rows
    unit = world.features / np.linalg.norm(world.features, axis=1, keepdims=True)
    classes = np.where(world.verified, world.true, world.noisy)
    weights = np.where(world.verified, 4.0, 1.0)
    variance = np.mean(np.sum((unit[train] - unit[train].mean(axis=0)) ** 2, axis=1))
    for number in range(3):
        rows = train[made.fold_of[train] != number]
        others = unit[rows]
        own = np.mean(np.sum((others - others.mean(axis=0)) ** 2, axis=1))
        expected = by_scikit_learn(others, classes[rows], weights[rows], 1e-2 * variance / own)
        given = np.concatenate([made.kernels[number], made.biases[number][None]])
        given[-1] -= given[-1].mean()
        expected[-1] -= expected[-1].mean()
        np.testing.assert_allclose(given, expected, atol=2e-2)
        logits = others @ given[:-1] + given[-1]
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        logits = others @ expected[:-1] + expected[-1]
        np.testing.assert_allclose(p, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), atol=5e-3)


def test_a_fold_is_not_seen(world: World, tmp_path: Path) -> None:
    data = seen(world)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    made = fold_classifiers(data, 0, tmp_path / "a", FIXED)
    in_fold = data.train.rows[made.fold_of[data.train.rows] == 1]
    # The folds are dealt by noisy class and by whether an image is verified: these stay, the true classes do not.
    true = data.true.copy()
    known = in_fold[true[in_fold] >= 0]
    true[known] = (true[known] + 1) % len(CLASSES)
    other = fold_classifiers(Data(data.table, data.store, true=true), 0, tmp_path / "b", FIXED)
    np.testing.assert_array_equal(other.fold_of, made.fold_of)
    np.testing.assert_array_equal(other.kernels[1], made.kernels[1])
    assert not np.array_equal(other.kernels[0], made.kernels[0])


def test_an_image_gets_the_classifier_that_has_not_seen_it_or_the_mean() -> None:
    biases = np.log(np.array([[0.9, 0.1], [0.5, 0.5]], np.float32))
    made = FoldClassifiers(np.zeros((2, 1, 2), np.float32), biases, np.array([-1, 1, 0]), {})
    np.testing.assert_allclose(
        made.probabilities(np.zeros((3, 1), np.float32), np.array([2, 1, 0])),
        [[0.9, 0.1], [0.5, 0.5], [0.7, 0.3]],
        rtol=1e-6,
    )
    np.testing.assert_allclose(made.probabilities(np.zeros((1, 1), np.float32)), [[0.7, 0.3]], rtol=1e-6)


def test_nothing_verified_is_looked_at_without_weights(world: World, tmp_path: Path) -> None:
    settings = replace(FIXED, weights=())
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    data = seen(world)
    nothing = Data(
        withheld(data.table, np.full(len(data.table), -1, np.int8)), data.store, true=np.full(len(data.table), -1)
    )
    one = fold_classifiers(data, 0, tmp_path / "a", settings)
    other = fold_classifiers(nothing, 0, tmp_path / "b", settings)
    np.testing.assert_array_equal(one.kernels, other.kernels)
    assert one.notes["weight_of_verified"] is None


def test_known_to_be_wrong_without_a_true_class_is_any_other(world: World, tmp_path: Path) -> None:
    """Of images of whose label only is known that it is wrong, the others of two classes would all be the second."""
    label = np.where(world.verified, world.right, -1)
    data = seen(world, true=np.where(label == 1, world.noisy, -1), label=label)
    made = fold_classifiers(data, 0, tmp_path, replace(FIXED, weights=(1.0,)))
    train = data.train.rows
    p = made.probabilities(world.features[train], train)
    wrong = (world.right[train] == 0) & world.verified[train]
    (tmp_path / "b").mkdir()
    believed = fold_classifiers(
        seen(world, true=np.full(len(label), -1), label=np.full(len(label), -1)),
        0,
        tmp_path / "b",
        replace(FIXED, weights=(1.0,)),
    )
    q = believed.probabilities(world.features[train], train)
    own = np.arange(len(train)), world.noisy[train]
    assert p[own][wrong].mean() < q[own][wrong].mean()


def test_strength_and_weight_are_chosen_and_kept(world: World, tmp_path: Path) -> None:
    data = seen(world)
    made = fold_classifiers(data, 0, tmp_path)
    path = [point["out_of_fold_loss"] for point in made.notes["path"]]
    assert made.notes["l2_strength"] == made.notes["path"][int(np.argmin(path))]["l2_strength"]
    assert made.notes["weight_of_verified"] in (1.0, 5.0, 20.0)
    again = fold_classifiers(seen(world), 0, tmp_path)
    np.testing.assert_array_equal(again.kernels, made.kernels)
    assert again.notes == made.notes
    assert fold_classifiers(data, 0, tmp_path / "not looked at") is made


def test_the_same_in_blocks_that_are_read(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    held = fold_classifiers(seen(world), 0, tmp_path / "a", FIXED)
    monkeypatch.setattr("nlcli.detection.fold_classifiers.memory_available", lambda: 0)
    read = fold_classifiers(seen(world), 0, tmp_path / "b", FIXED)
    np.testing.assert_allclose(read.kernels, held.kernels, atol=2e-2)


def test_fewer_images_than_folds(world: World, tmp_path: Path) -> None:
    with pytest.raises(NlcliError, match="parted into 1000 folds, and only 420 have a noisy label and features"):
        fold_classifiers(seen(world), 0, tmp_path, FoldSettings(folds=1000))
