"""Tables of what images count, read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nlcli import NlcliError
from nlcli.training.image_weights import read_image_weights, write_image_weights

KEYS = np.array(["a", "b", "c"], object)


def test_weights_are_those_of_the_keys_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "weights.csv"
    path.write_text("key,weight,note\nc,0.25,\nz,9,\na,2,x\nb,1e-3,\n")
    np.testing.assert_array_equal(read_image_weights(path, KEYS), [2, 1e-3, 0.25])


def test_what_is_written_is_read_to_the_bit(tmp_path: Path) -> None:
    weights = np.array([1 / 3, 1e-300, 7e12])
    write_image_weights(tmp_path / "weights.parquet", KEYS, weights)
    np.testing.assert_array_equal(read_image_weights(tmp_path / "weights.parquet", KEYS), weights)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("key,weight\na,1\nb,0\nc,1\n", r"weights\.csv, line 3: the weight '0' is no number above 0"),
        ("key,weight\na,1\nb,inf\nc,1\n", "the weight 'inf' is no number"),
        ("key,weight\na,1\nb,many\nc,1\n", "the weight 'many' is no number"),
        ("key,weight\na,1\nb,1\nb,1\nc,1\n", "the image 'b' stands there twice"),
        ("key,weight\na,1\nb,1\n", r"no weight of 1 of 3 training images \(such as 'c'\)"),
        ("key,weight\n", "no weight of 3 of 3"),
        ("path,weight\na,1\n", "there is no column 'key'"),
    ],
)
def test_tables_that_cannot_be_taken(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "weights.csv"
    path.write_text(text)
    with pytest.raises(NlcliError, match=message):
        read_image_weights(path, KEYS)
