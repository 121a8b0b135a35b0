"""Splits of images with several tags: every class where there are enough, groups together, the seed and keys alone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from nlcli.data.labels import strings
from nlcli.data.sources.base import TEST, TRAIN, VALIDATION
from nlcli.data.sources.drawn_splits import deal_out, shares_of_checked


def keys(count: int) -> np.ndarray:
    return strings([f"{i:05d}.jpg" for i in range(count)])


def alone(count: int) -> np.ndarray:
    return np.full(count, -1)


def test_shares_of_checked_images() -> None:
    assert shares_of_checked(1000, 500, 0.1, 0.05) == (0.2, 0.1)
    assert shares_of_checked(1000, 30, 0.1, 0.1) == (1 / 3, 1 / 3), "a third at most for each"
    assert shares_of_checked(1000, 0, 0.1, 0.2) == (0.1, 0.2)


@pytest.mark.parametrize("seed", range(20))
def test_every_class_has_some_where_there_are_enough(seed: int) -> None:
    rng = np.random.default_rng(seed)
    chance = np.array([0.5, 0.2, 0.05, 0.01, 0.005])
    has = (rng.random((600, 5)) < chance).astype(np.int8)
    split = deal_out(csr_array(has), keys(600), alone(600), (0.1, 0.2), seed)
    totals = has.sum(axis=0)
    counts = np.array([has[split == s].sum(axis=0) for s in (TRAIN, VALIDATION, TEST)])
    enough = totals >= 6  # classes share images, so that three may not do
    assert (counts[:, enough] > 0).all(), counts
    assert np.abs(counts[VALIDATION][:2] / totals[:2] - 0.1).max() < 0.03
    assert np.abs(counts[TEST][:2] / totals[:2] - 0.2).max() < 0.03
    assert abs((split == TEST).mean() - 0.2) < 0.03


@pytest.mark.parametrize(
    ("images", "expected"), [(1, [1, 0, 0]), (2, [1, 1, 0]), (3, [1, 1, 1]), (5, [3, 1, 1]), (30, [24, 3, 3])]
)
def test_few_images_of_a_class(images: int, expected: list[int]) -> None:
    split = deal_out(csr_array(np.ones((images, 1), np.int8)), keys(images), alone(images), (0.1, 0.1), 0)
    assert np.bincount(split, minlength=3).tolist() == expected


def test_images_without_any_class_are_dealt_out_by_their_share() -> None:
    split = deal_out(csr_array((100, 3), dtype=np.int8), keys(100), alone(100), (0.1, 0.2), 0)
    assert np.bincount(split, minlength=3).tolist() == [70, 10, 20]


def test_groups_stay_together() -> None:
    rng = np.random.default_rng(0)
    group = np.where(rng.random(300) < 0.2, -1, rng.integers(0, 40, 300))
    has = csr_array((rng.random((300, 4)) < 0.3).astype(np.int8))
    split = deal_out(has, keys(300), group, (0.2, 0.2), 0)
    for number in range(40):
        assert len(set(split[group == number].tolist())) <= 1
    assert set(split.tolist()) == {TRAIN, VALIDATION, TEST}


def test_the_order_of_the_images_does_not_matter_and_the_seed_does() -> None:
    rng = np.random.default_rng(0)
    has, names = (rng.random((200, 6)) < 0.2).astype(np.int8), keys(200)
    split = deal_out(csr_array(has), names, alone(200), (0.2, 0.2), 3)
    order = rng.permutation(200)
    again = deal_out(csr_array(has[order]), names[order], alone(200), (0.2, 0.2), 3)
    assert np.array_equal(again, split[order])
    assert not np.array_equal(deal_out(csr_array(has), names, alone(200), (0.2, 0.2), 4), split)
