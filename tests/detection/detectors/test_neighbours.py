"""The neighbours' vote, by scikit-learn's neighbours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from nlcli.detection import make_detector
from nlcli.detection.base import Data
from worlds.detection import CLASSES, World, data_of


def fit(world: World, tmp_path: Path, **options: Any) -> tuple[Any, Data]:
    data = data_of(world)
    known = np.where(world.verified & (world.split < 2), world.true, -1)
    seen = Data(data.table, data.store, true=known)
    detector = make_detector("neighbours", options)
    detector.fit(seen, 0, tmp_path)
    return detector, seen


def expected(world: World, asked: np.ndarray, k: int) -> np.ndarray:
    """Votes of the nearest training images but the image itself, verified ones with their true class."""
    train = world.rows("train")
    labels = np.where(world.verified, world.true, world.noisy)[train]
    near = NearestNeighbors(n_neighbors=k + 1, metric="cosine").fit(world.features[train])
    found = near.kneighbors(world.features[asked], return_distance=False)
    shares = np.zeros((len(asked), len(CLASSES)))
    for i, row in enumerate(asked):
        others = [j for j in found[i] if train[j] != row][:k]
        shares[i] = np.bincount(labels[others], minlength=len(CLASSES)) / k
    return shares


@pytest.mark.parametrize("split", ["train", "test"])
def test_votes_of_others(world: World, tmp_path: Path, split: str) -> None:
    detector, _ = fit(world, tmp_path, neighbours=7)
    rows = world.rows(split)
    shares = expected(world, rows, 7)
    given = detector.class_probabilities(world.features[rows], world.noisy[rows], rows)
    np.testing.assert_allclose(given, shares, atol=1e-6)
    every = np.arange(len(rows))
    own = shares[every, world.noisy[rows]]
    shares[every, world.noisy[rows]] = -1
    score = detector.score(world.features[rows], world.noisy[rows], rows)
    np.testing.assert_allclose(score, own - shares.max(axis=1), atol=1e-6)
    assert roc_auc_score(world.right[rows], score) > 0.85


def test_k_is_chosen_on_verified_labels_or_by_agreement(world: World, tmp_path: Path) -> None:
    detector, _ = fit(world, tmp_path)
    assert detector.notes["chosen_by"] == "verified labels"
    errors = {int(k): error for k, error in detector.notes["errors"].items()}
    assert detector.notes["neighbours"] == min(errors, key=lambda k: errors[k])

    detector = make_detector("neighbours")
    nothing = data_of(world, np.full(len(world.keys), -1))
    detector.fit(nothing, 0, tmp_path)
    assert detector.notes["chosen_by"] == "agreement with the labels"
    train = world.rows("train")
    labels = world.noisy[train]
    near = NearestNeighbors(n_neighbors=10, metric="cosine").fit(world.features[train])
    found = near.kneighbors(return_distance=False)
    shares = np.stack([np.bincount(labels[row], minlength=6) for row in found])
    assert detector.notes["errors"]["10"] == pytest.approx(np.mean(shares.argmax(axis=1) != labels))


def test_of_many_images_a_part_votes_and_every_verified_one(world: World, tmp_path: Path) -> None:
    detector, data = fit(world, tmp_path, images=250, neighbours=5)
    assert detector.notes["references"] == 250
    verified = data.train.rows[data.train.verified]
    assert (detector._references.place[verified] >= 0).all()
