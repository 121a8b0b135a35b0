"""K-means references: what they are, that they are reproducible, and that a killed run goes on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from nlcli.detection.base import Data
from nlcli.detection.references import References, class_references, kmeans, lloyd
from nlcli.errors import NlcliError
from worlds.noisy import detection_data


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def blobs(count: int, width: int, per: int, spread: float = 0.05, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Points around well separated centres, and these."""
    centres = rng(seed).normal(size=(count, width)).astype(np.float32)
    points = np.repeat(centres, per, axis=0) + spread * rng(seed + 1).normal(size=(count * per, width))
    return rng(2).permutation(points.astype(np.float32)), centres


def spent(points: np.ndarray, centres: np.ndarray) -> float:
    """Sum of squared distances to the nearest centre."""
    return float(((points[:, None] - centres) ** 2).sum(axis=2).min(axis=1).sum())


# --- K-means ---------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [8, 100])  # without and with a random projection
def test_kmeans_finds_planted_centres(width: int) -> None:
    points, centres = blobs(12, width, 30)
    found = kmeans(points, 12, rng())
    nearest = np.linalg.norm(centres[:, None] - found, axis=2)
    assert sorted(nearest.argmin(axis=1)) == list(range(12))
    # The mean of 30 points strays from its centre by 0.05 / sqrt(30) in each direction.
    assert nearest.min(axis=1).max() < 3 * 0.05 * np.sqrt(width / 30)


def test_kmeans_by_hand() -> None:
    points = np.array([[0, 0], [0, 2], [10, 0], [10, 2], [10, 1]], np.float32)
    found = kmeans(points, 2, rng())
    np.testing.assert_allclose(found[found[:, 0].argsort()], [[0, 1], [10, 1]], atol=1e-6)


def test_kmeans_is_as_good_as_scikit_learns() -> None:
    points = np.maximum(rng().normal(size=(600, 20)) @ rng(1).normal(size=(20, 120)), 0).astype(np.float32)
    ours = [spent(points, kmeans(points, 20, rng(seed))) for seed in range(5)]
    theirs = [KMeans(20, n_init=1, random_state=seed).fit(points).inertia_ for seed in range(5)]
    assert np.median(ours) < 1.02 * np.median(theirs)


def test_kmeans_is_the_same_to_the_bit_on_any_number_of_threads() -> None:
    points = np.maximum(rng().normal(size=(1500, 128)), 0).astype(np.float32)
    with threadpool_limits(1, user_api="blas"):
        one = kmeans(points, 50, rng())
    with threadpool_limits(2, user_api="blas"):
        # The product that it is made of does depend on them, where the BLAS has more than one.
        np.testing.assert_array_equal(kmeans(points, 50, rng()), one)


def test_kmeans_is_not_led_astray_by_a_large_mean() -> None:
    points, _ = blobs(6, 10, 20)
    found, moved = kmeans(points, 6, rng()), kmeans(points + np.float32(300), 6, rng()) - 300
    np.testing.assert_allclose(spent(points, moved), spent(points, found), rtol=1e-3)


def test_kmeans_gives_distinct_points_where_there_are_no_more() -> None:
    few = rng().normal(size=(7, 90)).astype(np.float32)
    found = kmeans(np.repeat(few, 4, axis=0), 50, rng())
    np.testing.assert_array_equal(found[np.lexsort(found.T)], few[np.lexsort(few.T)])
    assert kmeans(np.ones((5, 3), np.float32), 2, rng()).tolist() == [[1, 1, 1]]
    assert kmeans(np.zeros((5, 3), np.float32), 2, rng()).tolist() == [[0, 0, 0]]
    every = rng(1).normal(size=(50, 200)).astype(np.float32)
    found = kmeans(every, 50, rng())
    np.testing.assert_allclose(found[np.lexsort(found.T)], every[np.lexsort(every.T)], atol=1e-6)


def test_kmeans_finds_what_is_small_beside_an_outlier() -> None:
    points = np.concatenate([np.zeros((50, 4)), rng().normal(size=(60, 4)), [[1e3] * 4]]).astype(np.float32)
    for seed in range(20):
        found = kmeans(points, 12, rng(seed))
        owner = ((points[:, None] - found) ** 2).sum(axis=2).argmin(axis=1)
        assert len(np.unique(owner)) == 12


def test_a_cluster_without_points_takes_the_farthest_one() -> None:
    points = np.array([[0.0], [1.0], [2.0], [9.0]], np.float32)
    found = lloyd(points, np.array([[0.0], [0.0], [50.0]], np.float32))
    # All four are nearest to the first; 9 and then 2 are the farthest.
    np.testing.assert_allclose(np.sort(found[:, 0]), [0.5, 2, 9])
    np.testing.assert_array_equal(lloyd(points, np.array([[0.0], [9.0]], np.float32), iterations=0), [[0], [9]])


# --- of all classes --------------------------------------------------------------------------


def data(folder: Path, **options: int) -> tuple[Data, np.ndarray]:
    """Three classes: 40 images around four points, 3 images, none; and one of validation."""
    points, _ = blobs(4, 6, 10)
    features = np.concatenate([points, rng(5).normal(size=(4, 6)).astype(np.float32)])
    noisy = np.array([0] * 40 + [2] * 4)
    split = np.array([0] * 43 + [1])
    order = rng(7).permutation(44)
    made = detection_data(folder, features[order], noisy[order], np.full(44, -1), 3, split[order], **options)
    return made, features


def test_references_are_centroids_of_each_class(tmp_path: Path) -> None:
    made, features = data(tmp_path)
    found = class_references(made, 4, seed=1)
    assert found.vectors.shape == (3, 4, 6)
    assert found.counts.tolist() == [4, 0, 3]
    assert found.mask.tolist() == [[1, 1, 1, 1], [0, 0, 0, 0], [1, 1, 1, 0]]
    assert spent(features[:40], found.vectors[0]) < 1.0
    few = found.vectors[2, :3]
    np.testing.assert_array_equal(few[np.lexsort(few.T)], features[40:43][np.lexsort(features[40:43].T)])
    assert not found.vectors[1].any()
    assert not found.vectors[2, 3].any()


def test_means_count_only_what_is_there() -> None:
    found = References(
        np.array([[[2, 4], [4, 8]], [[6, 6], [0, 0]], [[0, 0], [0, 0]]], np.float32), np.array([2, 1, 0])
    )
    assert found.means().tolist() == [[3, 6], [6, 6], [0, 0]]


def test_references_go_on_with_the_next_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = data(tmp_path)
    whole = class_references(made, 4, seed=1, work=tmp_path / "whole")
    again = class_references(made, 4, seed=1)
    np.testing.assert_array_equal(whole.vectors, again.vectors)
    assert not np.array_equal(whole.vectors, class_references(made, 4, seed=2).vectors)

    read, calls = Data.features, []

    def killed(self, images, positions):
        calls.append(len(positions))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return read(self, images, positions)

    monkeypatch.setattr(Data, "features", killed)
    with pytest.raises(KeyboardInterrupt):
        class_references(made, 4, seed=1, work=tmp_path / "cut")
    resumed = class_references(made, 4, seed=1, work=tmp_path / "cut")
    assert calls == [40, 3, 3]  # the first class was not read again
    np.testing.assert_array_equal(resumed.vectors, whole.vectors)
    assert resumed.counts.tolist() == whole.counts.tolist()


def test_a_damaged_file_of_references_is_named(tmp_path: Path) -> None:
    made, _ = data(tmp_path)
    class_references(made, 4, work=tmp_path)
    (tmp_path / "references" / "00002.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(NlcliError, match=r"00002\.npy cannot be read"):
        class_references(made, 4, work=tmp_path)


def test_no_more_of_a_class_is_read_than_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = data(tmp_path, class_images=25)
    read, calls = Data.features, []

    def counted(self, images, positions):
        calls.append(len(positions))
        return read(self, images, positions)

    monkeypatch.setattr(Data, "features", counted)
    class_references(made, 4)
    assert calls == [25, 3]
    assert made.subsampled == {"c0": 40}


def test_references_drawn_at_random_are_images_of_the_class(tmp_path: Path) -> None:
    """The first of Lee 2018's two ways, section 3.1."""
    features = rng().normal(size=(90, 6)).astype(np.float32)
    noisy = np.repeat([0, 1, 2], [50, 37, 3])
    data = detection_data(tmp_path, features, noisy, np.full(90, -1), 3)
    made = class_references(data, 8, seed=1, selection="random")
    assert made.counts.tolist() == [8, 8, 3]
    own = {tuple(row): c for row, c in zip(features.tolist(), noisy.tolist(), strict=True)}
    for c in range(3):
        drawn = [tuple(row) for row in made.vectors[c, : made.counts[c]].tolist()]
        assert len(set(drawn)) == len(drawn)
        assert {own[row] for row in drawn} == {c}
    np.testing.assert_array_equal(class_references(data, 8, seed=1, selection="random").vectors, made.vectors)
    assert not np.array_equal(class_references(data, 8, seed=2, selection="random").vectors, made.vectors)
