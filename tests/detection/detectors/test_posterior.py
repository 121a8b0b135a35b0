"""The posterior beside the margin, which it starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from nlcli.detection import make_detector
from nlcli.detection.base import Data
from worlds.detection import CLASSES, World, data_of, relabelled


def test_it_is_better_than_the_margin_and_its_suggestions_are_right(world: World, fitted: Any) -> None:
    detector, data, _ = fitted("posterior")
    margin, _, _ = fitted("margin")
    rows = data.train.rows[data.train.label < 0]
    features, noisy = world.features[rows], world.noisy[rows]
    score = detector.score(features, noisy, rows)
    of_margin = margin.score(features, noisy, rows)
    assert roc_auc_score(world.right[rows], score) >= roc_auc_score(world.right[rows], of_margin)
    p = detector.class_probabilities(features, noisy, rows)
    np.testing.assert_allclose(score, p[np.arange(len(rows)), noisy])
    wrong = np.flatnonzero(world.right[rows] == 0)
    others = p[wrong].copy()
    others[np.arange(len(wrong)), noisy[wrong]] = -1
    assert np.mean(others.argmax(axis=1) == world.true[rows[wrong]]) > 0.8


def test_probabilities_are_as_often_right_as_they_say(world: World, fitted: Any) -> None:
    detector, data, _ = fitted("posterior")
    rows = data.train.rows[data.train.label < 0]
    score = detector.score(world.features[rows], world.noisy[rows], rows)
    assert abs(score.mean() - world.right[rows].mean()) < 0.08
    sure = score > 0.9
    assert world.right[rows][sure].mean() > 0.85


def seen(world: World, true: np.ndarray, label: np.ndarray | None = None) -> Data:
    """All of validation and half of train are verified, with the classes ``true``."""
    shown = world.verified & (world.split < 2)
    label = np.where(shown, world.right, -1) if label is None else label
    data = data_of(world, label)
    return Data(data.table, data.store, true=np.where(label >= 0, true, -1))


def posterior(data: Data, place: Path, **options: Any) -> Any:
    place.mkdir(exist_ok=True)
    detector = make_detector("posterior", {"folds": 2} | options)
    detector.fit(data, 0, place)
    return detector


def test_verified_images_of_validation_weigh_and_are_judged_without_themselves(world: World, tmp_path: Path) -> None:
    """One of them verified as another class: what is said of it hardly moves, and what is said of others does."""
    rows = world.rows("validation")
    features, noisy = world.features[rows], world.noisy[rows]
    before = posterior(seen(world, world.true), tmp_path / "a").class_probabilities(features, noisy, rows)
    other = world.true.copy()
    other[rows[3]] = (other[rows[3]] + 1) % len(CLASSES)
    after = posterior(seen(world, other), tmp_path / "b").class_probabilities(features, noisy, rows)
    np.testing.assert_allclose(after[3], before[3], atol=0.05)
    assert np.abs(after - before).max() > 0


def test_validation_of_which_all_is_right_has_no_part(world: World, tmp_path: Path) -> None:
    """Labels that were made wrong in train alone: those of validation say nothing of them."""
    in_train = np.where(world.verified & (world.split == 0), world.right, -1)
    right = world.rows("validation")[world.right[world.rows("validation")] == 1]
    all_right = in_train.copy()
    all_right[right] = 1
    rows = world.rows("train")[:60]
    of = [
        posterior(seen(world, world.true, label), tmp_path / name).score(world.features[rows], world.noisy[rows], rows)
        for name, label in (("alone", in_train), ("with", all_right))
    ]
    np.testing.assert_array_equal(of[0], of[1])


def test_without_neighbours_there_are_two_pieces_of_evidence(world: World, tmp_path: Path) -> None:
    data = seen(world, world.true)
    detector = posterior(data, tmp_path / "a", neighbours=False)
    assert len(detector.notes["weights_of_evidence"]) == 2
    assert detector.notes["random_features"] == 1000
    rows = world.rows("test")
    score = detector.score(world.features[rows], world.noisy[rows], rows)
    assert roc_auc_score(world.right[rows], score) > 0.9


def test_more_than_can_be_solved_has_no_random_features(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nlcli.detection.detectors import posterior as module

    monkeypatch.setattr(module, "WORK", 1e3)
    assert posterior(seen(world, world.true), tmp_path / "a").notes["random_features"] == 0


def test_kept_arrays_give_the_same_scores(world: World, tmp_path: Path) -> None:
    """Of images that it was fitted on and of others, after a second start with what the first one left."""
    rows = np.concatenate([world.rows("train")[:40], world.rows("validation")[:40], world.rows("test")[:40]])
    features, noisy = world.features[rows], world.noisy[rows]
    first = posterior(seen(world, world.true), tmp_path / "a").score(features, noisy, rows)
    again = posterior(seen(world, world.true), tmp_path / "a").score(features, noisy, rows)
    np.testing.assert_array_equal(first, again)


def crossed(world: World, root: Path) -> World:
    """Three places with two classes each, at opposite corners; three in ten labels are of the other of the two."""
    rng = np.random.default_rng(2)
    count = len(world.keys)
    true = rng.integers(len(CLASSES), size=count)
    across, up = rng.choice([-1, 1], count), np.where(true % 2, 1, -1)
    corner = np.stack([across, across * up], axis=1) + 0.2 * rng.normal(size=(count, 2))
    features = np.concatenate([4.0 + corner, 4.0 + 3.0 * np.eye(3)[true // 2]], axis=1)
    noisy = np.where(rng.random(count) < 0.3, true ^ 1, true)
    return relabelled(world, features=features.astype(np.float32), true=true, noisy=noisy, root=root)


def test_curves_are_found_that_no_line_is(world: World, tmp_path: Path) -> None:
    """The margin of a linear classifier does not see which labels are wrong."""
    corners = crossed(world, tmp_path)
    data = seen(corners, corners.true)
    rows = data.train.rows[data.train.label < 0]
    of_rows = corners.features[rows], corners.noisy[rows], rows
    linear = make_detector("margin", {"folds": 2})
    linear.fit(data, 0, tmp_path)
    assert roc_auc_score(corners.right[rows], linear.score(*of_rows)) < 0.8
    curved = posterior(data, tmp_path / "p", neighbours=False)
    assert roc_auc_score(corners.right[rows], curved.score(*of_rows)) > 0.9
