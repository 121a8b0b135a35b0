"""What is learned of verified classes, tried on verified ones that are left out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from nlcli.detection.base import Data
from nlcli.detection.transfer import (
    MarginInstead,
    Scorer,
    judged,
    left_out_sentence,
    unverified_classes,
    without_classes,
)
from worlds.detection import CLASSES, World, data_of


def seen(world: World, shown: np.ndarray | None = None) -> Data:
    shown = world.verified & (world.split < 2) if shown is None else shown
    data = data_of(world, np.where(shown, world.right, -1))
    return Data(data.table, data.store, true=np.where(shown, world.true, -1))


def scorers(world: World, told: float) -> Callable[[Data, Path], Scorer]:
    """Scores that are ``told`` parts truth, whatever they are fitted on; negative: upside down."""
    at = {world.features[i].tobytes(): i for i in range(len(world.features))}

    def fitted(data: Data, place: Path) -> Scorer:
        assert place.is_dir()

        def score(features: np.ndarray, noisy: np.ndarray) -> np.ndarray:
            rows = np.array([at[x.tobytes()] for x in features], np.int64)
            noise = np.sin(1000.0 * rows)
            return told * world.right[rows] + noise

        return score

    return fitted


def test_nothing_verified_of_classes_that_are_left_out(world: World) -> None:
    data = without_classes(seen(world), np.array([1, 4]))
    for images in (data.train, data.validation):
        left_out = np.isin(images.noisy, [1, 4])
        assert (images.label[left_out] == -1).all()
        assert (images.label[~left_out & world.verified[images.rows]] >= 0).all()
    assert not np.isin(data.true, [1, 4]).any()
    assert unverified_classes(data).tolist() == [1, 4]
    assert unverified_classes(seen(world)).tolist() == []


@pytest.mark.parametrize(("told", "holds"), [(5.0, True), (-5.0, False), (0.0, False)])
def test_what_transfers(world: World, tmp_path: Path, told: float, holds: bool) -> None:
    transfer = judged(seen(world), 0, tmp_path, scorers(world, told))
    assert transfer is not None
    assert transfer.holds == holds
    known = world.verified & (world.split < 2)
    assert (transfer.images, transfer.classes) == (int(known.sum()), len(CLASSES))
    rows = np.flatnonzero(known)
    expected = roc_auc_score(world.right[rows], told * world.right[rows] + np.sin(1000.0 * rows))
    assert transfer.areas[0] == pytest.approx(expected)
    assert transfer.areas[1] > 0.85
    sentence = left_out_sentence(seen(world).train, np.array([0, 2]), transfer)
    count = int(np.isin(world.noisy[world.split == 0], [0, 2]).sum())
    assert sentence.endswith(f"2 classes without verification, {count} training images, are scored by margin")


def test_too_few_classes_say_nothing(world: World, tmp_path: Path) -> None:
    shown = world.verified & (world.split < 2) & (world.noisy < 3)
    assert judged(seen(world, shown), 0, tmp_path, scorers(world, 5.0)) is None


def test_the_margin_stands_on_the_detector_s_scale(world: World, tmp_path: Path) -> None:
    data, score = seen(world), scorers(world, 5.0)(seen(world), tmp_path)
    instead = MarginInstead.of(data, 0, tmp_path / "instead", np.array([0]), score)
    assert instead.classes.tolist() == [True, False, False, False, False, False]
    rows = np.flatnonzero((world.noisy == 0) & (world.split == 0))
    given = instead.score(world.features[rows], world.noisy[rows], rows)
    assert roc_auc_score(world.right[rows], given) > 0.85
    others = np.flatnonzero((world.noisy != 0) & (world.split == 0))
    scale = score(world.features[others], world.noisy[others])
    assert given.min() >= np.float32(scale.min())
    assert given.max() <= np.float32(scale.max())
    # As many of the others are above a score as are above the margin that it stands for.
    same = instead.score(world.features[others], world.noisy[others], others)
    np.testing.assert_allclose(np.sort(same), np.sort(scale), atol=1e-4)
