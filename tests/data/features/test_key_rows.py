"""Rows of images by key, against a dictionary."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from nlcli.data.features import key_rows
from nlcli.data.features.key_rows import KeyRows

KEYS = [f"folder {i % 7}/photo-{i * 37 % 1009:04d}.jpg" for i in range(1000)] + ["", "ä" * 300, "a\0b", "a"]


def of(keys: list[str], size: int = 97) -> KeyRows:
    """In blocks of two kinds, one of them empty."""
    parts = [keys[first : first + size] for first in range(0, len(keys), size)]
    kinds = (pa.string(), pa.large_string())
    return KeyRows([pa.array([], pa.string()), *(pa.array(part, kinds[i % 2]) for i, part in enumerate(parts))])


@pytest.mark.parametrize("at_once", [5, 1 << 18])
def test_rows_are_those_of_a_dictionary(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_rows, "_AT_ONCE", at_once)
    rows = of(KEYS)
    asked = [KEYS[i] for i in np.random.default_rng(0).permutation(len(KEYS))] + ["photo", "folder 0/photo-0000.jpg "]
    expected = {key: row for row, key in enumerate(KEYS)}
    assert rows.find(np.array(asked, object)).tolist() == [expected.get(key, -1) for key in asked]
    assert rows.all().tolist() == KEYS
    assert rows.take(np.array([7, 3, 7])).tolist() == [KEYS[7], KEYS[3], KEYS[7]]
    assert len(rows) == len(KEYS)
    assert rows.repeated() is None


def test_keys_with_the_same_hash_are_told_from_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_rows, "_hashed", lambda keys: np.array([len(key) % 3 for key in keys], np.uint64))
    keys = ["a", "bb", "ccc", "d", "ee", "f"]
    rows = of(keys, 4)
    assert rows.find(np.array(["f", "bb", "g", "ccc", "a", "d", "hhhh"], object)).tolist() == [5, 1, -1, 2, 0, 3, -1]
    assert rows.repeated() is None
    assert of([*keys, "ee"], 4).repeated() == "ee"


def test_a_key_that_is_there_twice() -> None:
    assert of([*KEYS, KEYS[500]]).repeated() == KEYS[500]


def test_of_nothing() -> None:
    rows = of([])
    assert rows.find(np.array(["a"], object)).tolist() == [-1]
    assert rows.find(np.array([], object)).tolist() == []
    assert rows.all().tolist() == []
    assert rows.repeated() is None
