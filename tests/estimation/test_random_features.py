"""Random cosines: against the kernel that they stand for, and directions against an exact decomposition."""

from __future__ import annotations

import numpy as np
import pytest

from nlcli.estimation import random_features
from nlcli.estimation.design import ArrayBlocks
from nlcli.estimation.objective import Term
from nlcli.estimation.random_features import RandomFeatures, WithRandomFeatures
from nlcli.estimation.solver import solve


def drawn(count: int = 300, width: int = 12) -> np.ndarray:
    """Features whose directions differ in length."""
    random = np.random.default_rng(4)
    return (random.normal(size=(count, width)) * np.geomspace(3, 0.05, width) + 1.0).astype(np.float32)


def test_products_are_nearly_a_gaussian_kernel() -> None:
    """exp(-|x - y|^2 / (2 w^2)), w 0.7 medians of all distances, which scikit-learn-free sums give."""
    x = drawn()
    made = RandomFeatures.fitted(ArrayBlocks(x), 0, count=20_000)
    distances = np.sqrt(((x[:, None].astype(float) - x[None]) ** 2).sum(axis=2))
    width = 0.7 * np.median(distances[np.triu_indices(len(x), 1)])
    cosines = made.apply(x)[:, x.shape[1] :]
    kernel = np.exp(-(distances**2) / (2 * width**2))
    np.testing.assert_allclose(cosines @ cosines.T, kernel, atol=0.06)


def test_directions_are_the_principal_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random_features, "DIRECTIONS", 4)
    x = drawn()
    made = RandomFeatures.fitted(ArrayBlocks(x), 0, count=5)
    centred = x - x.mean(axis=0)
    _, _, exact = np.linalg.svd(centred.astype(float), full_matrices=False)
    np.testing.assert_allclose(np.abs(np.einsum("kd,dk->k", exact[:4], made.directions)), 1.0, atol=1e-4)
    np.testing.assert_allclose(np.abs(made.projected(x, 2)), np.abs(centred @ exact[:2].T), atol=2e-3)


def test_the_features_themselves_stay_in_front() -> None:
    x = drawn()
    made = RandomFeatures.fitted(ArrayBlocks(x), 1, count=7)
    wide = made.apply(x)
    assert wide.shape == (300, 19)
    np.testing.assert_array_equal(wide[:, :12], x)
    np.testing.assert_array_equal(RandomFeatures.fitted(ArrayBlocks(x), 1, count=0).apply(x), x)
    blocks = WithRandomFeatures(ArrayBlocks(x), made)
    assert blocks.shape == (300, 19)
    np.testing.assert_array_equal(np.concatenate([part for _, part in blocks.blocks()]), wide)


def test_the_same_seed_gives_the_same_and_another_one_others() -> None:
    x = drawn()
    first, again, other = (RandomFeatures.fitted(ArrayBlocks(x), seed, count=9).apply(x) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1


def test_images_that_are_all_the_same_have_none() -> None:
    made = RandomFeatures.fitted(ArrayBlocks(np.ones((50, 6), np.float32)), 0)
    assert made.count == 0
    assert made.apply(np.ones((2, 6), np.float32)).shape == (2, 6)


def test_many_rows_are_looked_at_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every third of 300 where 100 are the most, whatever the blocks."""
    monkeypatch.setattr(random_features, "_ROWS", 100)
    x = drawn()

    class Blocks:
        shape = x.shape

        def blocks(self) -> object:
            return iter([(0, x[:70]), (70, x[70:200]), (200, x[200:])])

    made = RandomFeatures.fitted(Blocks(), 0, count=3)  # type: ignore[arg-type]
    np.testing.assert_allclose(made.centre, x[::3].mean(axis=0), rtol=1e-5)


def test_a_linear_classifier_of_them_is_one_of_curves() -> None:
    """A ring around a disc: no line parts them."""
    random = np.random.default_rng(0)
    angle, far = random.uniform(0, 2 * np.pi, 400), np.repeat([1.0, 3.0], 200)
    x = (far * np.stack([np.cos(angle), np.sin(angle)])).T.astype(np.float32)
    true = (far > 2).astype(int)

    def hits(features: np.ndarray) -> float:
        model = solve(features, Term(np.eye(2)[true]), "single-label", 2, 1e-4).model
        return float(np.mean(model.logits(features).argmax(axis=1) == true))

    assert hits(x) < 0.7
    assert hits(RandomFeatures.fitted(ArrayBlocks(x), 0, count=100).apply(x)) == 1.0
