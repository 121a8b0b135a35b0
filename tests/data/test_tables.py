"""Tables as people have them: both readers give the same text, and what does not fit is a sentence."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nlcli.data.lists import read_names
from nlcli.data.table_columns import read_columns
from nlcli.data.tables import read_rows
from nlcli.errors import NlcliError
from nlcli.stages.files import read_json

KNOWN = ("path", "label", "split")
ROWS = [("a/1.jpg", "Hütchen"), ("a/2.jpg", "hat, large"), ("b/3.jpg", "")]


def rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    return list(read_rows(path, KNOWN, ("path", "label")))


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_dialects(tmp_path: Path, delimiter: str, encoding: str, end: str) -> None:
    lines = [("path", " label "), *((path, f'"{label}"') for path, label in ROWS)]
    text = end.join(delimiter.join(line) for line in lines) + end + end
    (tmp_path / "t.csv").write_bytes(text.encode(encoding))
    assert rows(tmp_path / "t.csv") == [(i, {"path": p, "label": n}) for i, (p, n) in enumerate(ROWS, start=2)]


def test_latin_1_says_how_to_convert_it(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("path,label\na.jpg,Hütchen\n".encode("latin-1"))
    with pytest.raises(
        NlcliError, match=r"t\.csv is not in UTF-8 \(byte 0xfc\); save it as 'CSV UTF-8', or convert it: iconv"
    ):
        rows(tmp_path / "t.csv")


def test_parquet_is_read_as_csv_is(tmp_path: Path) -> None:
    """Trailing spaces, integers, floats with gaps, categories, an index column."""
    frame = pd.DataFrame(
        {
            "path": ["a.jpg ", "b.jpg", "c.jpg"],
            "label": [3.0, None, 4.0],
            "split": pd.Categorical([" train", "test", None]),
        }
    )
    frame.to_parquet(tmp_path / "t.parquet", index=True)
    frame.index = pd.Index([5, 7, 9])
    frame.to_parquet(tmp_path / "index.parquet")
    frame["label"] = ["3", "", "4"]
    frame.to_csv(tmp_path / "t.csv", index=True)
    expected = [
        {"path": "a.jpg", "label": "3", "split": "train"},
        {"path": "b.jpg", "label": "", "split": "test"},
        {"path": "c.jpg", "label": "4", "split": ""},
    ]
    for name, first in (("t.parquet", 1), ("index.parquet", 1), ("t.csv", 2)):
        assert rows(tmp_path / name) == list(enumerate(expected, start=first)), name
    table = pa.table({"path": ["a"], "label": pa.array([True])})
    pq.write_table(table, tmp_path / "b.parquet")
    assert rows(tmp_path / "b.parquet") == [(1, {"path": "a", "label": "True"})]  # as pandas writes it into CSV


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\na,b\n", "there is no column 'path' among file, label; expected path, label, split"),
        ("path,label,spilt\na,b,c\n", "unknown column 'spilt'; did you mean 'split'"),
        ("path,label,path\na,b,c\n", "the column 'path' stands twice"),
        ("path,label\na,b,c\n", "line 2: 3 cells, expected 2; quote values that hold commas"),
        ('path,label\na,"b\n', "line 2: unexpected end of data; is a quotation mark missing there"),
        ("", "is empty; expected a table whose first line names the columns"),
        ("\n \n", "is empty"),
        ("path,label\na\n", "line 2: 1 cells, expected 2; is the line cut off"),
        ("file name,label\na,b\n", "must be there; call 'file name' so if it is that one"),
        ("a/1.jpg,cat\na/2.jpg,cat\n", "must be there; the first line names the columns"),
        ("path,label,cat,dog\na,b,1,0\n", "unknown column 'cat'.*; 1 more are unknown: rename them, or leave"),
        ("<!DOCTYPE html><html>", "is a page of the web"),
        ("path\0label\n", "is not a text file"),
        ("PAR1xxxx", r"is a Parquet file; give it the ending \.parquet"),
    ],
)
def test_mistakes_are_sentences(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(NlcliError, match=message) as told:
        rows(tmp_path / "t.csv")
    assert str(tmp_path / "t.csv") in str(told.value)


def test_other_mistakes(tmp_path: Path) -> None:
    with pytest.raises(NlcliError, match=r"cannot read .*gone\.csv: No such file"):
        rows(tmp_path / "gone.csv")
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(NlcliError, match=r"cannot read .*t\.parquet"):
        rows(tmp_path / "t.parquet")
    pq.write_table(pa.table({"path": ["a"], "label": [["x", "y"]]}), tmp_path / "list.parquet")
    with pytest.raises(NlcliError, match="column 'label' has the type list<.*>, expected text or numbers"):
        rows(tmp_path / "list.parquet")


@pytest.mark.parametrize(
    "text",
    [
        "sep=;\npath;label\na;b\n",  # of Excel
        '"sep=,"\r\npath,label\r\na,b\r\n',
        "\n\npath,label\na,b\n",
        "Path,Label\na,b\n",
        '"path", "label"\n"a", "b"\n',
        "path,label\na,b,,\n",
        "path,label,,\na,b\n",
    ],
)
def test_what_spreadsheets_and_people_write_is_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.csv").write_bytes(text.encode())
    assert [row for _, row in rows(tmp_path / "t.csv")] == [{"path": "a", "label": "b"}]
    assert read_columns(tmp_path / "t.csv", KNOWN, ("path",)).texts["label"].names == ["b"]


def test_the_line_that_is_wrong_is_counted_from_the_first(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("sep=,\n\npath,label\na,b\nc,d,e\n")
    with pytest.raises(NlcliError, match="line 5: 3 cells"):
        rows(tmp_path / "t.csv")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_its_mark(tmp_path: Path, encoding: str) -> None:
    for name, text in (("t.csv", "path,label\na,Hüt\n"), ("t.jsonl", '{"path": "a", "label": "Hüt"}\n')):
        (tmp_path / name).write_bytes(text.encode(encoding))
        assert [row for _, row in rows(tmp_path / name)] == [{"path": "a", "label": "Hüt"}]
        assert read_columns(tmp_path / name, KNOWN, ("path",)).texts["label"].names == ["Hüt"]


@pytest.mark.parametrize(
    ("start", "told"),
    [
        (b"\x1f\x8b\x08", "compressed with gzip; unpack it"),
        (b"PK\x03\x04\x14", r"workbook \(\.xlsx, \.ods\); .*save the sheet as 'CSV UTF-8'"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "workbook of Excel"),
        (b"ARROW1\0\0", "is an Arrow"),
        (b"version https://git-lfs.github.com/spec/v1\n", "pointer of Git LFS"),
    ],
)
def test_other_files_are_called_by_what_they_are(tmp_path: Path, start: bytes, told: str) -> None:
    for name in ("t.csv", "t.jsonl"):
        (tmp_path / name).write_bytes(start + bytes(100))
        with pytest.raises(NlcliError, match=told):
            rows(tmp_path / name)
        with pytest.raises(NlcliError, match=told):
            read_columns(tmp_path / name, KNOWN, ("path",))
    (tmp_path / "t.json").write_bytes(start + bytes(100))
    with pytest.raises(NlcliError, match=told):
        read_json(tmp_path / "t.json")
    (tmp_path / "names.txt").write_bytes(start + bytes(100))
    with pytest.raises(NlcliError, match=told):
        read_names(tmp_path / "names.txt")


def test_json_and_lists_in_other_encodings(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_bytes('{"a": "ü"}'.encode("utf-16"))  # as PowerShell redirects it
    assert read_json(tmp_path / "t.json") == {"a": "ü"}
    (tmp_path / "t.json").write_bytes(b"")
    with pytest.raises(NlcliError, match="is empty"):
        read_json(tmp_path / "t.json")
    (tmp_path / "names.txt").write_bytes("cat\ndog\n".encode("utf-16"))
    with pytest.raises(NlcliError, match=r"is text in UTF-16; save it as UTF-8"):
        read_names(tmp_path / "names.txt")


def test_one_table_in_three_formats_has_one_text(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"path": ["a", "b", "c"], "label": [True, None, False], "split": pd.array([1, None, 0], "Int64")}
    )
    frame["label"] = frame["label"].astype("boolean")
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    by_hand = [("a", "True", "1"), ("b", "", ""), ("c", "False", "0")]
    for name in ("t.csv", "t.parquet", "t.jsonl"):
        assert [(row["path"], row["label"], row["split"]) for _, row in rows(tmp_path / name)] == by_hand, name
        columns = read_columns(tmp_path / name, KNOWN, ("path",))
        assert [columns.texts["label"].names[i] for i in columns.texts["label"].codes] == ["True", "", "False"], name
    decimals = pa.table({"path": ["a", "b"], "label": pa.array([1, None], pa.int64()).cast(pa.decimal128(21, 2))})
    pq.write_table(decimals, tmp_path / "d.parquet")
    assert [row["label"] for _, row in rows(tmp_path / "d.parquet")] == ["1", ""]


def test_what_is_no_file_is_refused_before_it_is_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "folder.csv").mkdir()
    for name, told in (
        ("pipe.csv", "is a pipe or a device; write the table into a file first"),
        ("folder.csv", "folder"),
    ):
        with pytest.raises(NlcliError, match=told):
            rows(tmp_path / name)
        with pytest.raises(NlcliError, match=told):
            read_columns(tmp_path / name, KNOWN, ("path",))
