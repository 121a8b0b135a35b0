"""Arrays to Arrow and back are what pyarrow's own conversions make of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from nlcli.stages.arrow_arrays import arrow_lists, arrow_numbers, arrow_texts, numpy_numbers, numpy_texts, rows_of

TEXTS = ["", "a", "é😀", "b" * 300, ""]


@pytest.mark.parametrize("kind", ["bool", "int8", "uint8", "int32", "int64", "float16", "float32", "float64"])
@pytest.mark.parametrize("count", [0, 1, 9])
def test_numbers(kind: str, count: int) -> None:
    values = np.arange(2 * count).astype(kind)[::2]  # not contiguous
    found = arrow_numbers(values)
    found.validate(full=True)
    assert found.equals(pa.array(values.copy()))
    if kind != "bool":
        np.testing.assert_array_equal(numpy_numbers(found), values)
        np.testing.assert_array_equal(numpy_numbers(found[1:]), values[1:])
        assert numpy_numbers(found).dtype == values.dtype


@pytest.mark.filterwarnings("ignore:Exporting an unversioned DLPack")
def test_numbers_in_chunks() -> None:
    parts = [pa.array([1, 2], pa.int32()), pa.array([3], pa.int32())]
    for some in (parts, parts[:1], []):
        found = numpy_numbers(pa.chunked_array(some, pa.int32()))
        assert found.tolist() == [value for part in some for value in part.to_pylist()]
        assert found.dtype == np.int32
    with pytest.raises((pa.ArrowException, BufferError)):
        numpy_numbers(pa.array([1, None]))


def test_empty_cells() -> None:
    absent = np.arange(11) % 3 == 1
    for values in (np.arange(11, dtype=np.int32), np.arange(11) / 2):
        found = arrow_numbers(values, absent)
        found.validate(full=True)
        assert found.equals(pa.array(values, mask=absent))
        expected = np.where(absent, -1, values)
        for column, rows in (
            (found, slice(None)),
            (found[2:], slice(2, None)),
            (pa.chunked_array([found]), slice(None)),
        ):
            np.testing.assert_array_equal(numpy_numbers(column, -1), expected[rows])
    assert np.isnan(numpy_numbers(pa.array([None, 1.0], pa.float32()), np.nan)).tolist() == [True, False]


def test_texts() -> None:
    for texts in (TEXTS, []):
        found = arrow_texts(texts)
        found.validate(full=True)
        assert found.equals(pa.array(texts, pa.string()))
        assert numpy_texts(found).tolist() == numpy_texts(pa.chunked_array([found])).tolist() == texts
    assert numpy_texts(pa.array(["x", None])).tolist() == ["x", None]
    with pytest.raises(UnicodeEncodeError):
        arrow_texts(["\ud800"])


def test_lists() -> None:
    offsets, values = np.array([0, 2, 2, 3]), np.array([5, 6, 7], np.int32)
    assert arrow_lists(offsets, values).equals(pa.array([[5, 6], [], [7]], pa.list_(pa.int32())))
    absent = np.array([False, True, False])
    assert arrow_lists(offsets, values, absent).equals(pa.array([[5, 6], None, [7]], pa.list_(pa.int32())))


def test_rows_of_keys() -> None:
    keys = np.array(["b", "a", "c"], object)
    assert rows_of(keys, np.array(["a", "x", "c", "a"], object)).tolist() == [1, -1, 2, 1]
    assert rows_of(keys, keys[:0]).dtype == np.int64


def test_none_of_it_imports_pandas(tmp_path: Path) -> None:
    program = """
import sys, numpy as np, pyarrow as pa, pyarrow.parquet as pq
from pathlib import Path
from nlcli.stages.arrow_arrays import *
from nlcli.stages.own_tables import read_own_table
numbers, texts = arrow_numbers(np.arange(3)), arrow_texts(["a"])
arrow_lists(np.array([0, 3]), np.arange(3), np.array([False]))
numpy_numbers(numbers), numpy_texts(texts)
pq.write_table(pa.table({"a": texts}), sys.argv[1])
assert read_own_table(Path(sys.argv[1]), "make it again", columns=["a"]).column("a").to_pylist() == ["a"]
assert "pandas" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "a.parquet")], check=True)
