"""Pools and batches: every row once an epoch, any step without the ones before it."""

from __future__ import annotations

import numpy as np
import pytest

from nlcli.seeds import stream
from nlcli.training.loop.sampling import BLOCK_ROWS, SUPERBATCH_BLOCKS, BatchSampler, Pool, clean_rows_in_batch

ORDERS = ("shuffled", "block-shuffled")


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("size", [1, 7, 256, 257, 20_000])
def test_every_row_once_an_epoch(order: str, size: int) -> None:
    rows = np.arange(size, dtype=np.int32) * 3
    pool = Pool(rows, 5, "T", order)
    drawn = pool.draw(0, 2 * size)
    assert sorted(drawn[:size]) == rows.tolist()
    assert sorted(drawn[size:]) == rows.tolist()
    if size > 7:
        assert (drawn[:size] != drawn[size:]).any()


@pytest.mark.parametrize("order", ORDERS)
def test_any_draw_without_the_ones_before(order: str) -> None:
    rows = np.arange(9_000)
    whole = Pool(rows, 1, "T", order).draw(0, 30_000)
    for first, count in ((0, 1), (8_990, 20), (17_999, 9_002), (29_000, 1_000)):
        np.testing.assert_array_equal(Pool(rows, 1, "T", order).draw(first, count), whole[first : first + count])


def test_the_stream_depends_on_seed_and_name() -> None:
    rows = np.arange(100)
    draws = [Pool(rows, seed, name).draw(0, 100).tolist() for seed, name in ((0, "V"), (0, "T"), (1, "V"), (0, "V"))]
    assert draws[0] == draws[3]
    assert draws[0] != draws[1]
    assert draws[0] != draws[2]
    assert stream(0, "a", 1).integers(1 << 40) != stream(0, "a", 2).integers(1 << 40)


def test_block_order_stays_within_superbatches() -> None:
    size = BLOCK_ROWS * SUPERBATCH_BLOCKS
    pool = Pool(np.arange(3 * size), 0, "T", "block-shuffled")
    drawn = pool.draw(0, 3 * size)
    for part in np.split(drawn, 3):
        # whole blocks, each of them complete, not in the order of the disk
        blocks, counts = np.unique(part // BLOCK_ROWS, return_counts=True)
        assert len(blocks) == SUPERBATCH_BLOCKS
        assert (counts == BLOCK_ROWS).all()
        assert len(np.unique(part[:BLOCK_ROWS] // BLOCK_ROWS)) > SUPERBATCH_BLOCKS / 2


def test_positions_of_a_shuffled_epoch_are_uniform() -> None:
    # Where row 0 of 10 lands over 4,000 epochs: each place 400 times, standard deviation 19.
    drawn = Pool(np.arange(10), 3, "T").draw(0, 40_000).reshape(4_000, 10)
    places = np.bincount(np.argmax(drawn == 0, axis=1), minlength=10)
    assert abs(places - 400).max() < 5 * 19


def test_mixed_batches_hold_clean_rows_first() -> None:
    clean, noisy = Pool(np.arange(4), 0, "V"), Pool(np.arange(100, 140), 0, "T")
    sampler = BatchSampler(32, 3, clean, noisy)
    rows = sampler.rows(0, 50)
    assert rows.shape == (50, 32)
    assert (rows[:, :3] < 4).all()
    assert (rows[:, 3:] >= 100).all()
    np.testing.assert_array_equal(sampler.rows(37, 2), rows[37:39])
    assert sampler.epoch_steps == 40 / 29
    assert BatchSampler(32, 32, clean, None).epoch_steps == 4 / 32


@pytest.mark.parametrize(
    ("size", "share", "expected"), [(32, 0.1, 3), (64, 0.1, 6), (2, 0.1, 1), (32, 0.5, 16), (4, 0.99, 3)]
)
def test_clean_rows_in_batch(size: int, share: float, expected: int) -> None:
    assert clean_rows_in_batch(size, share) == expected


def test_an_empty_pool_is_refused() -> None:
    with pytest.raises(ValueError, match="'T' is empty"):
        Pool(np.empty(0, int), 0, "T")
