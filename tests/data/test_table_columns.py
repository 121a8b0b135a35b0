"""Tables by column: the same cells as row by row, in every dialect; lists of Parquet and JSONL."""

from __future__ import annotations

import csv
import io
import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nlcli.data.table_columns import Columns, Texts, read_columns, texts_of
from nlcli.data.tables import read_rows
from nlcli.errors import NlcliError

KNOWN = ("path", "label", "tags")


def cells(texts: Texts) -> list[str]:
    return [texts.names[code] for code in texts.codes]


def by_column(path: Path, lists: tuple[str, ...] = ()) -> Columns:
    return read_columns(path, KNOWN, ("path",), lists)


_CELLS = (
    "cat",
    " dog ",
    "",
    "Hütchen",
    "\u3000wide\u3000",
    'he said "no"',
    "a,b",
    "a;b",
    "a\tb",
    "two\nlines",
    "3.0",
    "nan",
)


@pytest.mark.parametrize("seed", range(40))
def test_cells_are_those_of_the_reader_by_rows(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    delimiter, end = draw.choice(",;\t|"), draw.choice(("\n", "\r\n"))
    text = io.StringIO()
    plain = _CELLS[: draw.choice((4, len(_CELLS)))]
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=draw.choice((0, 1)))
    writer.writerow(["path", draw.choice(("label", " label ")), "index"])
    for number in range(draw.randrange(1, 30)):
        writer.writerow([f"{number}.jpg" if draw.random() < 0.9 else "", draw.choice(plain), number])
    path = tmp_path / "t.csv"
    path.write_bytes((text.getvalue() + end * draw.randrange(3)).encode(draw.choice(("utf-8", "utf-8-sig", "utf-16"))))
    columns = by_column(path)
    rows = list(read_rows(path, KNOWN, ("path",)))
    assert columns.rows == len(rows)
    for name in ("path", "label"):
        assert cells(columns.texts[name]) == [row[name] for _, row in rows]
    for position in (0, len(rows) - 1):
        assert columns.where(position) == f"{path}, line {rows[position][0]}"


def test_rows_of_nothing_are_none(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path,label\na.jpg,x\n,\n\nb.jpg,\n")
    columns = by_column(tmp_path / "t.csv")
    assert (cells(columns.texts["path"]), cells(columns.texts["label"])) == (["a.jpg", "b.jpg"], ["x", ""])
    assert columns.where(1) == f"{tmp_path / 't.csv'}, line 5"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("path,label\na,b,c\n", "line 2: 3 cells, expected 2"),
        ('path,label\na,"b\n', "is a quotation mark missing"),
        ("path,lable\na,b\n", "unknown column 'lable'; did you mean 'label'"),
        ("label\nb\n", "no column 'path'"),
        ("path,path\na,b\n", "'path' stands twice"),
    ],
)
def test_what_is_wrong_is_said_as_by_rows(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(NlcliError, match=sentence):
        by_column(tmp_path / "t.csv")


def test_latin_1(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("path,label\na.jpg,Hütchen\n".encode("latin-1"))
    with pytest.raises(NlcliError, match="not in UTF-8"):
        by_column(tmp_path / "t.csv")


def test_parquet(tmp_path: Path) -> None:
    """Floats with gaps, categories, stripped text, real lists with nothing and null in them."""
    table = pa.table(
        {
            "path": pa.array(["a ", "b", None]).dictionary_encode(),
            "label": pa.array([3.0, None, 4.5]),
            "tags": pa.array([["x", "y "], None, []], pa.list_(pa.string())),
        }
    )
    pq.write_table(pa.concat_tables([table, table]), tmp_path / "t.parquet", row_group_size=2)
    columns = by_column(tmp_path / "t.parquet", ("tags",))
    assert cells(columns.texts["path"]) == ["a", "b", ""] * 2
    assert cells(columns.texts["label"]) == ["3", "", "4.5"] * 2
    assert columns.lists["tags"].starts.tolist() == [0, 2, 2, 2, 4, 4, 4]
    assert cells(columns.lists["tags"].items) == ["x", "y"] * 2
    assert columns.where(3) == f"{tmp_path / 't.parquet'}, row 4"
    with pytest.raises(NlcliError, match="column 'tags' holds lists, expected one value"):
        by_column(tmp_path / "t.parquet")


@pytest.mark.parametrize("kind", [pa.large_list(pa.string()), pa.list_(pa.large_string()), pa.list_(pa.int64())])
def test_kinds_of_lists(tmp_path: Path, kind: pa.DataType) -> None:
    values = [["1"], ["2", "1"]]
    typed = [[int(v) for v in part] for part in values] if kind.value_type == pa.int64() else values
    pq.write_table(pa.table({"path": ["a", "b"], "tags": pa.array(typed, kind)}), tmp_path / "t.parquet")
    assert cells(by_column(tmp_path / "t.parquet", ("tags",)).lists["tags"].items) == ["1", "2", "1"]


def test_json_lines(tmp_path: Path) -> None:
    lines = [{"path": "a"}, {"path": "b", "tags": ["x", 3, True]}, {"path": " c ", "label": 2.0, "tags": None}]
    path = tmp_path / "t.jsonl"
    path.write_text("\ufeff" + "\n\n".join(map(json.dumps, lines)))
    columns = by_column(path, ("tags",))
    assert cells(columns.texts["path"]) == ["a", "b", "c"]
    assert cells(columns.texts["label"]) == ["", "", "2"]
    assert columns.lists["tags"].starts.tolist() == [0, 0, 3, 3]
    assert cells(columns.lists["tags"].items) == ["x", "3", "True"]
    assert columns.where(2) == f"{path}, line 5"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"path": "a"}\n[1]\n', "line 2: not a JSON object"),
        ('{"path": "a"\n', "line 1: not valid JSON"),
        ('{"path": "a", "extra": 1}\n', "unknown column 'extra'"),
        ('{"label": "a"}\n', "no column 'path'"),
        ('{"path": ["a"]}\n', "line 1: 'path' is a list"),
        ('{"path": {"a": 1}}\n', "neither text nor a number"),
        ('{"path": "a", "tags": ["x"]}\n{"path": "b", "tags": "x"}\n', "'tags' is a list in some lines"),
        ('{"path": "\\ud800"}\n', "half a character"),
    ],
)
def test_json_lines_that_do_not_fit(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "t.jsonl").write_text(text)
    with pytest.raises(NlcliError, match=sentence):
        by_column(tmp_path / "t.jsonl", ("tags",))


def test_equal_texts_have_one_number() -> None:
    texts = texts_of(["b", "a", "b"])
    assert cells(texts) == ["b", "a", "b"]
    assert len(texts.values) == 2
    assert texts_of(["", "x", ""]).empty.tolist() == [True, False, True]


def test_a_table_of_nothing_but_commas(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(",\n")
    with pytest.raises(NlcliError):
        read_columns(tmp_path / "t.csv", ("path", "label"), ("path",), pass_over=True)
    (tmp_path / "t.csv").write_text("path,label\n")
    assert read_columns(tmp_path / "t.csv", ("path", "label"), ("path",), pass_over=True).rows == 0
