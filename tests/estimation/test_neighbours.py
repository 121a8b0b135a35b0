"""Neighbours by cosine, against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from nlcli.estimation import neighbours
from nlcli.estimation.neighbours import Neighbours, votes


def drawn(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 6)).astype(np.float32)


@pytest.mark.parametrize("small_blocks", [False, True])
def test_the_same_as_scikit_learn(small_blocks: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if small_blocks:
        monkeypatch.setattr(neighbours, "_CELLS", 200)
        monkeypatch.setattr(neighbours, "_REFERENCES", 17)
    references, queries = drawn(150), drawn(40, seed=1)
    distances, expected = NearestNeighbors(n_neighbors=20, metric="cosine").fit(references).kneighbors(queries)
    nearest, cosines = Neighbours(references).nearest(queries, 20)
    np.testing.assert_array_equal(nearest, expected)
    np.testing.assert_allclose(cosines, 1 - distances, atol=1e-6)


def test_an_image_is_no_neighbour_of_itself() -> None:
    references = drawn(60)
    expected = NearestNeighbors(n_neighbors=6, metric="cosine").fit(references).kneighbors(return_distance=False)
    nearest, _ = Neighbours(references).nearest(references, 6, np.arange(60))
    np.testing.assert_array_equal(nearest, expected)
    only_some, _ = Neighbours(references).nearest(references[:2], 6, np.array([-1, 1]))
    assert only_some[0, 0] == 0
    np.testing.assert_array_equal(only_some[1], expected[1])


def test_few_references_are_all_that_there_is() -> None:
    three = Neighbours(drawn(3))
    nearest, cosines = three.nearest(drawn(2, seed=1), 10)
    assert nearest.shape == cosines.shape == (2, 3)
    assert sorted(nearest[0]) == [0, 1, 2]
    nearest, _ = three.nearest(drawn(3), 10, np.arange(3))
    assert [sorted(row) for row in nearest.tolist()] == [[1, 2], [0, 2], [0, 1]]
    assert Neighbours(drawn(1)).nearest(drawn(1), 10, np.array([0]))[0].shape == (1, 0)


def test_of_equals_the_first_and_length_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    references = np.array([[2, 0], [0, 1], [5, 0], [1, 0], [3, 0]], np.float32)
    for size in (1, 2, 10):
        monkeypatch.setattr(neighbours, "_REFERENCES", size)
        nearest, cosines = Neighbours(references).nearest(np.array([[0.1, 0]], np.float32), 3)
        assert nearest.tolist() == [[0, 2, 3]]
        assert cosines.tolist() == [[1, 1, 1]]


def test_votes_by_hand() -> None:
    labels = np.array([[0, 0, 2, 1], [-1, 2, 2, -1], [-1, -1, -1, -1]])
    np.testing.assert_allclose(votes(labels, 3), [[0.5, 0.25, 0.25], [0, 0, 1], [1 / 3, 1 / 3, 1 / 3]], rtol=1e-6)
    assert votes(np.empty((2, 0), np.int64), 2).tolist() == [[0.5, 0.5], [0.5, 0.5]]
