"""Parquet files of the program's own, damaged in ways that pyarrow does not see when it opens them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nlcli.errors import NlcliError
from nlcli.stages.own_tables import own_table_blocks, read_own_table

SCHEMA = pa.schema([("key", pa.string()), ("score", pa.float32())])
KEYS = ("a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    where = tmp_path / "table.parquet"
    pq.write_table(pa.table({"key": list(KEYS), "score": [0.0, 1.0, 2.0, 3.0, 4.0]}, schema=SCHEMA), where)
    return where


def _without_utf8(path: Path) -> None:
    """The same file with one byte of one key changed, where only the text itself is wrong."""
    content = path.read_bytes()
    assert b"e.jpg" in content
    path.write_bytes(content.replace(b"e.jpg", b"\x8a.jpg"))


def test_what_was_written_is_read(path: Path) -> None:
    table = read_own_table(path, "make it again", schema=SCHEMA)
    assert table["key"].to_pylist() == list(KEYS)
    assert read_own_table(path, "make it again", columns=("score",)).column_names == ["score"]
    blocks = [block["score"].to_pylist() for block in own_table_blocks(path, "make it again", 2, schema=SCHEMA)]
    assert blocks == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "in blocks"])
def test_text_that_is_not_utf8_is_a_sentence(path: Path, whole: bool) -> None:
    pq.write_table(pq.read_table(path), path, compression="none", use_dictionary=False, write_statistics=False)
    _without_utf8(path)
    with pytest.raises(NlcliError, match=r"cannot read .*table.parquet: .*UTF-?8.*; make it again"):
        if whole:
            read_own_table(path, "make it again")
        else:
            list(own_table_blocks(path, "make it again", 2))


@pytest.mark.parametrize("keep", [0, 4, 60])
def test_a_part_of_a_file_is_a_sentence(path: Path, keep: int) -> None:
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(NlcliError, match=r"cannot read .*; make it again"):
        read_own_table(path, "make it again")
    with pytest.raises(NlcliError, match=r"cannot read .*; make it again"):
        list(own_table_blocks(path, "make it again", 2))


def test_other_columns_are_a_sentence(path: Path) -> None:
    other = pa.schema([("key", pa.string()), ("score", pa.float64())])
    for read in (read_own_table, lambda *a, **k: list(own_table_blocks(a[0], a[1], 2, **k))):
        with pytest.raises(NlcliError, match="does not have the columns that nlcli writes there; make it again"):
            read(path, "make it again", schema=other)
    with pytest.raises(NlcliError, match="has no column 'label'; make it again"):
        read_own_table(path, "make it again", columns=("key", "label"))


def test_an_error_of_whoever_takes_the_blocks_is_not_the_files(path: Path) -> None:
    with pytest.raises(KeyError):
        for block in own_table_blocks(path, "make it again", 2):
            block.column("nothing of that name")


def test_fewer_rows_than_the_file_says_are_a_sentence(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the library reads some damaged columns, without a word."""
    read, batches = pq.ParquetFile.read, pq.ParquetFile.iter_batches
    monkeypatch.setattr(pq.ParquetFile, "read", lambda *some, **more: read(*some, **more).slice(1))
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", lambda *some, **more: iter(list(batches(*some, **more))[1:]))
    rows = pq.read_metadata(path).num_rows
    with pytest.raises(NlcliError, match=f"it says that it has {rows:,} rows, and has {rows - 1:,}; make it again"):
        read_own_table(path, "make it again")
    with pytest.raises(NlcliError, match=f"it says that it has {rows:,} rows, and has {rows - 1:,}; make it again"):
        list(own_table_blocks(path, "make it again", 1))
