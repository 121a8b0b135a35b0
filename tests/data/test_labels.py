"""The label table: three states, targets and masks, the clean set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nlcli.data.labels import choose_clean, clean_set_record, matrix_from_lists, single_label_table, verified_pairs
from nlcli.errors import NlcliError
from worlds.stage_builders import small_table, verified_table


def test_targets_and_masks_by_hand() -> None:
    table = small_table()
    rows = np.array([1, 0, 2, 3])
    assert table.noisy_targets(rows).tolist() == [[0, 1, 0], [1, 0, 1], [0, 0, 0], [0, 0, 1]]
    v, m = table.verified_targets(rows)
    assert v.tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]]
    assert m.tolist() == [[1, 1, 1], [1, 0, 1], [0, 1, 0], [0, 0, 0]]
    assert v.dtype == m.dtype == np.uint8


def test_verified_entries_are_the_masked_targets() -> None:
    table = verified_table(50, 7, seed=3)
    table.verification[::3] = 1  # partly: only what is present is known there
    rows = np.random.default_rng(0).permutation(50)[:40]
    v, m = table.verified_targets(rows)
    position, column, label = table.verified_entries(rows)
    expected = np.nonzero(m)
    assert np.array_equal(position, expected[0])
    assert np.array_equal(column, expected[1])
    assert np.array_equal(label, v[expected] == 1)


def test_pairs_of_true_and_noisy_classes_by_hand() -> None:
    """Images: known with a noisy class (4), known without one, noisy without the truth, called right, called wrong."""
    true = np.array([0, 0, 2, 1, 1, -1, -1, -1])
    noisy = np.array([0, 1, 1, 1, -1, 2, 0, 0])
    right = np.array([-1, -1, -1, -1, -1, -1, 1, 0])
    names = [str(i) for i in range(8)]
    table = single_label_table("abc", names, names, Path("/images"), np.zeros(8), noisy, true, right)
    assert verified_pairs(table, np.arange(8)).tolist() == [[1, 1, 0], [0, 1, 0], [0, 1, 0]]
    assert verified_pairs(table, np.array([2, 4])).tolist() == [[0, 0, 0], [0, 0, 0], [0, 1, 0]]
    assert verified_pairs(table, np.array([5, 6, 7])).sum() == 0


def test_the_clean_set_is_nested_and_the_same_for_everybody() -> None:
    table = verified_table(400, 3, splits=(50, 50))
    five, ten = (set(choose_clean(table, fraction, seed=7)) for fraction in (0.05, 0.10))
    assert len(five) == 15
    assert len(ten) == 30
    assert five < ten <= set(table.rows("train"))
    assert five != set(choose_clean(table, 0.05, seed=8))
    assert set(choose_clean(table, 1.0, seed=7)) == set(table.rows("train"))
    shuffled = verified_table(400, 3, splits=(50, 50))
    order = np.concatenate((np.random.default_rng(1).permutation(300), np.arange(300, 400)))
    for name in ("keys", "paths", "split", "verification", "noisy", "present", "absent"):
        setattr(shuffled, name, getattr(shuffled, name)[order])
    keys = {table.keys[row] for row in five}
    assert {shuffled.keys[row] for row in choose_clean(shuffled, 0.05, seed=7)} == keys
    assert clean_set_record(table, np.array(sorted(five)))["images"] == 15


def test_unverified_images_are_never_clean() -> None:
    table = small_table()
    assert choose_clean(table, 1.0, seed=0).tolist() == [0, 1]
    table.verification[:] = 0
    with pytest.raises(NlcliError, match="the clean set is empty"):
        choose_clean(table, 0.5, seed=0)


def test_contradictions_are_refused() -> None:
    table = small_table()
    with pytest.raises(NlcliError, match="image 'w' has class 'c' verified both present and absent"):
        type(table)(**{**vars(table), "absent": matrix_from_lists([[2], [], [], []], 3)})
    with pytest.raises(NlcliError, match="image key 'w' occurs twice"):
        type(table)(**{**vars(table), "keys": np.array(["w", "x", "w", "z"], object)})
    with pytest.raises(NlcliError, match="class 'a' is listed twice"):
        type(table)(**{**vars(table), "classes": ("a", "b", "a")})
