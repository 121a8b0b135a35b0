"""Files: JSON, YAML and CSV as they come and go."""

from __future__ import annotations

import errno
import math
from pathlib import Path

import pytest

from nlcli.data.json_lines import json_lines
from nlcli.errors import NlcliError
from nlcli.stages.files import (
    csv_cell,
    csv_text,
    parse_json,
    parse_yaml,
    read_json,
    system_sentences,
    write_csv,
    write_csv_table,
)


@pytest.mark.parametrize(
    "text",
    [
        "a: 2024-02-31",
        "a: !!python/object/apply:os.system [true]",
        "&s [*s]",
        "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
        + "\n".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefg", "bcdefgh", strict=True)),
        "[" * 5000 + "]" * 5000,
        "9" * 10_000,
    ],
    ids=["date", "object", "itself", "laughs", "deep", "digits"],
)
def test_yaml_that_nobody_writes_is_refused(text: str) -> None:
    with pytest.raises(NlcliError, match=r"p\.yaml: ") as told:
        parse_yaml(text, "p.yaml")
    assert len(str(told.value)) < 400


def test_yaml_with_aliases() -> None:
    assert parse_yaml("a: &x {b: 1}\nc: *x\nd: {<<: *x, e: 2.5}", "") == {
        "a": {"b": 1},
        "c": {"b": 1},
        "d": {"b": 1, "e": 2.5},
    }


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=1+1", "'=1+1"),
        ("+a", "'+a"),
        ("-cmd", "'-cmd"),
        ("@x", "'@x"),
        ("\tx", "'\tx"),
        ("-0.5", "-0.5"),
        ("+1e3", "+1e3"),
        ("a=b", "a=b"),
        (None, ""),
        (math.nan, ""),
        (-0.5, -0.5),
        (3, 3),
    ],
)
def test_no_cell_is_run_by_a_spreadsheet(cell: object, written: object) -> None:
    assert csv_cell(cell) == written
    if isinstance(cell, str):
        assert csv_text(csv_cell(cell)) == cell


def test_csv_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    write_csv(path, ("name", "share"), [("=x", 0.5), ("a,b", None)])
    assert path.read_text(encoding="utf-8") == 'name,share\n\'=x,0.5\n"a,b",\n'

    def rows():  # type: ignore[no-untyped-def]
        yield ("c", 1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_csv(path, ("name", "share"), rows())
    assert path.read_text(encoding="utf-8").startswith("name,share\n'=x")
    assert [entry.name for entry in tmp_path.iterdir()] == ["t.csv"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b'{"a": ', "line 1, column 7"),
        (b'{"a": "\xff"}', "is not UTF-8"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "thousands of digits"),
    ],
)
def test_damaged_json_is_a_sentence(tmp_path: Path, text: bytes, words: str) -> None:
    (tmp_path / "r.json").write_bytes(text)
    with pytest.raises(NlcliError, match=words) as told:
        read_json(tmp_path / "r.json")
    assert str(tmp_path / "r.json") in str(told.value)
    with pytest.raises(NlcliError, match=words):
        parse_json(text, tmp_path / "r.json")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full; free some space and run the same command again"),
        (errno.EFBIG, "'ulimit -f'"),
        (errno.ESTALE, "the network drive was changed"),
        (errno.ENOTSUP, "choose another --output"),
    ],
)
def test_what_the_system_says_is_a_sentence(tmp_path: Path, number: int, words: str) -> None:
    with pytest.raises(NlcliError, match=words) as told, system_sentences(tmp_path):
        raise OSError(number, "what the system calls it", str(tmp_path / "file"))
    assert f"cannot write {tmp_path / 'file'}" in str(told.value)


def test_a_table_of_pyarrow_has_the_cells_of_every_csv_file(tmp_path: Path) -> None:
    import csv

    import pyarrow as pa

    texts = ["plain", "=1+1", "-5", "+x", "@me", 'quo"te, and\nline', None, "", "'=x", "\tx", "-"]
    numbers = [0.5, -1.25, None, 1e-7, 3.0, 1 / 3, 2.0, 0.0, 1e6, float("nan"), 1.0]
    write_csv_table(tmp_path / "table.csv", pa.table({"=name": texts, "number": pa.array(numbers, pa.float32())}))
    with open(tmp_path / "table.csv", newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["'=name", "number"]
    assert [row[0] for row in rows] == ["" if text is None else csv_cell(text) for text in texts]
    for row, number in zip(rows, numbers, strict=True):
        assert (row[1] == "") == (number is None or number != number)
        assert row[1] == "" or float(row[1]) == pytest.approx(number, abs=5e-7)
    write_csv_table(tmp_path / "empty.csv", pa.table({"a": pa.array([], pa.string())}))
    assert (tmp_path / "empty.csv").read_text() == "a\n"


def test_a_key_that_is_there_twice_is_refused() -> None:
    """YAML's reader takes the last one without a word."""
    with pytest.raises(NlcliError, match=r"^p\.yaml, line 4: 'seed' stands there twice; keep one of the two$"):
        parse_yaml("a:\n  seed: 1\n  rate: 2\n  seed: 3\n", "p.yaml")
    merged = parse_yaml("base: &b {seed: 1, rate: 2}\nown: {<<: *b, seed: 3}\n", "p.yaml")
    assert merged["own"] == {"seed": 3, "rate": 2}


def test_json_with_a_key_twice_is_refused(tmp_path: Path) -> None:
    """JSON's readers take the last one without a word: half of two annotation files that were pasted together."""
    path = tmp_path / "r.json"
    path.write_text('{"images": [{"id": 1}], "licenses": [], "images": []}')
    with pytest.raises(NlcliError, match="r.json: 'images' stands twice in one object; keep one of the two"):
        read_json(path)
    path.write_text('[{"a": 1}, {"a": 2, "b": {"a": 3}}]')
    assert read_json(path) == [{"a": 1}, {"a": 2, "b": {"a": 3}}]
    lines = tmp_path / "r.jsonl"
    lines.write_text('{"path": "a"}\n{"path": "b", "path": "c"}\n')
    with pytest.raises(NlcliError, match="line 2: 'path' stands twice in one object"):
        list(json_lines(lines))


@pytest.mark.parametrize("text", ["010", "-010", "00", "0_17", "1:30", "-1:30:00", "1:30.5", "!!int 010"])
def test_numbers_of_yaml_that_a_person_reads_otherwise_are_refused(text: str) -> None:
    with pytest.raises(NlcliError, match=r"p, line 2: YAML reads .* as another number; write it without the zero"):
        parse_yaml(f"a: 1\nb: {text}\n", "p")


def test_what_looks_like_a_number_or_a_date_in_yaml() -> None:
    text = "[0, -1, 10, 0.5, 1_000, 0x10, .inf, 08, 1e-3, '010', 2001-01-01, 2001-01-01 10:00:00]"
    days = ["2001-01-01", "2001-01-01 10:00:00"]
    assert parse_yaml(text, "p") == [0, -1, 10, 0.5, 1000, 16, math.inf, "08", "1e-3", "010", *days]
