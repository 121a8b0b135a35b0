"""Classification filtering: ranks, and where the classifier comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from nlcli.data.features.store import FeatureStore
from nlcli.detection import make_detector
from nlcli.detection.base import Data
from nlcli.detection.detectors.classification_filter import ranks
from nlcli.detection.fold_classifiers import FoldSettings, fold_classifiers
from nlcli.detection.verification import withheld
from nlcli.errors import NlcliError
from nlcli.networks.linear_layer import LinearLayer
from worlds.detection import CLASSES, World, data_of, scores_of


def test_ranks_by_hand() -> None:
    outputs = np.array([[0.1, 0.7, 0.2], [0.4, 0.4, 0.2], [0.4, 0.4, 0.2], [1, 2, 3]])
    assert ranks(outputs, np.array([2, 0, 2, 0])).tolist() == [2, 1, 3, 3]


def test_classification_filter_recovers_planted_noise(world: World, fitted: Any) -> None:
    detector, data, _ = fitted("classification-filter")
    assert detector.notes["classifier"] == "solved on the noisy labels"
    rows, found = scores_of(detector, data, "test")
    right = world.right[rows] == 1
    assert np.mean(found[right] == -1) > 0.75  # right labels are what the classifier says
    assert np.mean(found[~right] < -1) > 0.75
    assert detector.natural_threshold == -1
    assert detector.explain(-3.5) == "the label is among the top 3 of the classifier's 6 classes"
    assert detector.explain(-1) == "the label is among the top 1 of the classifier's 6 classes"
    assert detector.explain(-200) == "the label is among the top 6 of the classifier's 6 classes"


def test_classification_filter_ranks_training_images_by_a_classifier_that_has_not_seen_them(
    world: World, fitted: Any
) -> None:
    detector, data, _ = fitted("classification-filter")
    rows, found = scores_of(detector, data, "train")
    x = world.features / np.linalg.norm(world.features, axis=1, keepdims=True)
    fold = fold_classifiers(data, 0, Path("not written: shared"), FoldSettings(weights=())).fold_of[rows]
    strength = detector.notes["l2_strength"]
    expected = np.empty(len(rows))
    for number in range(5):
        own, others = rows[fold == number], rows[fold != number]
        penalty = strength * x[rows].astype(np.float64).var(axis=0).sum() * len(others)
        model = LogisticRegression(C=1 / penalty, tol=1e-9, max_iter=5000).fit(x[others], world.noisy[others])
        expected[fold == number] = -ranks(model.decision_function(x[own]), world.noisy[own])
    assert np.mean(found == expected) > 0.99  # near ties may fall either way
    assert len(np.unique(expected)) > 3


def test_classification_filter_takes_the_features_own_layer(world: World, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    classes = ("zebra", *CLASSES[::-1])
    kernel, bias = rng.normal(size=(16, 7)).astype(np.float32), rng.normal(size=7).astype(np.float32)
    store = FeatureStore(world.stored("own", last_layer=LinearLayer(kernel, bias, classes)))
    data = Data(withheld(world.table(), np.full(len(world.keys), -1, np.int8)), store)
    detector = make_detector("classification-filter")
    detector.fit(data, 0, tmp_path)
    rows, found = scores_of(detector, data, "test")
    logits = (world.features @ kernel + bias)[:, 1:][:, ::-1]
    np.testing.assert_array_equal(found, -ranks(logits[rows], world.noisy[rows]))
    assert detector.notes["classifier"] == "last layer of the features' backbone"
    assert not list(tmp_path.iterdir())


def test_classification_filter_takes_a_run(world: World, tmp_path: Path) -> None:
    from nlcli.training.config import TrainHead
    from nlcli.training.saved_head import load_head
    from nlcli.training.train_head import train_head

    run = train_head(
        TrainHead(dataset=world.dataset(), features=world.stored(), output=tmp_path / "run", method="noisy", steps=50)
    )
    detector, data = make_detector("classification-filter"), data_of(world, classifier=run)
    detector.fit(data, 0, tmp_path)
    rows, found = scores_of(detector, data, "test")
    np.testing.assert_array_equal(found, -ranks(load_head(run).score(world.features[rows]), world.noisy[rows]))
    other = FeatureStore(world.stored("other", backbone_fingerprint="sha256:other"))
    with pytest.raises(NlcliError, match="was trained on features of another backbone"):
        detector.fit(Data(data.table, other, classifier=run), 0, tmp_path)
