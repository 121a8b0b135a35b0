"""Tables as people have them: both readers give the same text, and what does not fit is a sentence."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nlcli.data.tables import read_rows
from nlcli.errors import NlcliError

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
    assert rows(tmp_path / "b.parquet") == [(1, {"path": "a", "label": "1"})]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\na,b\n", "there is no column 'path' among file, label; expected path, label, split"),
        ("path,label,spilt\na,b,c\n", "unknown column 'spilt'; did you mean 'split'"),
        ("path,label,path\na,b,c\n", "the column 'path' stands twice"),
        ("path,label\na,b,c\n", "line 2: 3 cells, expected 2; quote values that hold commas"),
        ('path,label\na,"b\n', "line 2: unexpected end of data; is a quotation mark missing there"),
        ("", "there is no column 'path'"),
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
