"""What the classifier of digits knows and learns from."""

from __future__ import annotations

import numpy as np

from nlcli.data.sources.digit_classifier import draw_single, single_pictures, vocabulary
from nlcli.data.sources.digit_painting import DIGITS, glyphs


def test_vocabulary_is_finer_and_poor_in_two_digits() -> None:
    sources = vocabulary()
    assert len(set(sources)) == len(sources) == 8 * 4 + 2 + 4 * 4 + 4 * 2
    assert sum(source[-1] == "eight" for source in sources) == 1
    assert sum(source[-1] == "three" for source in sources) == 4


def test_light_objects_are_lighter_than_what_is_around_them() -> None:
    pool = {name: np.flatnonzero(glyphs()[1] == value) for value, name in enumerate(DIGITS)}
    for tone, sign in (("light", 1), ("dark", -1)):
        spread = []
        for number in range(30):
            rng = np.random.default_rng([2, number])
            grey = draw_single(("bold", tone, "zero"), pool, 96, rng).mean(axis=2)
            spread.append(sign * (np.percentile(grey, 99) + np.percentile(grey, 1) - 2 * np.median(grey)))
        assert np.median(spread) > 10


def test_pictures_show_every_class_equally_often() -> None:
    pool = np.arange(1000)
    pictures, labels = single_pictures(pool, 96, 0, 116)
    assert (pictures.shape, pictures.dtype, labels.dtype) == ((116, 32, 32, 3), np.uint8, np.int32)
    assert np.bincount(labels).tolist() == [2] * len(vocabulary())
    again, _ = single_pictures(pool, 96, 0, 58)
    np.testing.assert_array_equal(again, pictures[:58])  # a picture depends on its number alone
