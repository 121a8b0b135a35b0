"""Confident learning: what cleanlab says, and folds that are not seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nlcli.detection import make_detector
from nlcli.errors import NlcliError
from worlds.detection import World


def test_confident_learning_agrees_with_cleanlab(world: World, fitted: Any) -> None:
    from cleanlab.experimental.label_issues_batched import find_label_issues_batched

    from nlcli.detection.detectors.confident_learning import probabilities

    detector, data, _ = fitted("confident-learning")
    train, noisy = data.train.rows, data.train.noisy
    fold = detector._fold_of[train]
    p = probabilities(detector._kernel, detector._bias, world.features[train], fold)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    quality = {"method": "normalized_margin"}
    issues = find_label_issues_batched(noisy, p, verbose=False, n_jobs=1, quality_score_kwargs=quality)
    found = detector.score(world.features[train], noisy, train)
    assert set(np.flatnonzero(found < detector.natural_threshold)) == set(issues.tolist())
    own = p[np.arange(len(p)), noisy]
    p[np.arange(len(p)), noisy] = -1
    np.testing.assert_allclose(found, (own - p.max(axis=1) + 1) / 2, atol=1e-6)
    assert np.mean(world.right[train[issues]] == 0) > 0.8  # most of what it calls wrong is wrong
    assert len(issues) > 0.7 * np.sum(world.right[train] == 0)


def test_classifiers_of_folds_do_not_see_their_fold() -> None:
    import tensorflow as tf

    from nlcli.detection.fold_classifiers import FoldClassifiers, fold_config
    from nlcli.methods.base.contract import Batch, Problem

    model = FoldClassifiers(fold_config({"folds": 3}), Problem(4, ("a", "b"), "single-label"), None, 0)
    rng = np.random.default_rng(0)
    features = tf.constant(rng.normal(size=(6, 4)), tf.float32)
    labels, fold = np.eye(2)[rng.integers(2, size=6)], np.array([0, 0, 1, 1, 2, 2])

    def kernel_gradient(labels: np.ndarray) -> np.ndarray:
        noisy = tf.constant(np.concatenate([labels, np.eye(3)[fold]], axis=1), tf.float32)
        kernel = model.classifiers.kernel.value
        with tf.GradientTape() as tape:
            tape.watch(kernel)
            loss = model.losses("noisy", features, Batch(0, noisy, None, None))["loss"]
        return tape.gradient(loss, kernel).numpy().reshape(4, 3, 2)

    before = kernel_gradient(labels)
    changed = labels.copy()
    changed[:2] = 1 - changed[:2]
    after = kernel_gradient(changed)
    np.testing.assert_array_equal(after[:, 0], before[:, 0])
    assert (after[:, 1:] != before[:, 1:]).any(axis=(0, 2)).all()
    # at the start every probability is 1/2: the gradient of one classifier by hand, the mean over rows of folds 1, 2
    expected = features.numpy()[2:].T @ (0.5 - labels[2:]) / 4
    np.testing.assert_allclose(before[:, 0], expected, atol=1e-6)


def test_images_that_were_not_in_training_get_the_mean_of_all_classifiers() -> None:
    from nlcli.detection.detectors.confident_learning import probabilities

    kernel = np.zeros((2, 1, 2))
    bias = np.log(np.array([[0.9, 0.1], [0.5, 0.5]]))
    found = probabilities(kernel, bias, np.zeros((3, 1)), np.array([0, 1, -1]))
    np.testing.assert_allclose(found, [[0.9, 0.1], [0.5, 0.5], [0.7, 0.3]])


def test_confident_learning_without_cleanlab(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "cleanlab", None)
    with pytest.raises(
        NlcliError, match=r"needs the package cleanlab; install it with: pip install 'nlcli\[cleanlab\]'"
    ):
        make_detector("confident-learning").check()
