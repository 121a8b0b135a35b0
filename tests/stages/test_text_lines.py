"""Lines that are too long to be lines: a sentence from every reader of text, and no more read than that takes."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nlcli.data.class_map import read_class_map
from nlcli.data.json_lines import json_lines
from nlcli.data.lists import read_lines
from nlcli.data.sources.open_images_files import read_dictionary
from nlcli.data.table_columns import read_columns
from nlcli.data.tables import read_rows
from nlcli.errors import NlcliError
from nlcli.stages.text_lines import LONGEST_LINE, bounded_lines, names_listed


def test_a_line_of_the_most_characters_is_one(tmp_path: Path) -> None:
    lines = bounded_lines(io.StringIO("abc\nab\n\nabc"), tmp_path / "t.txt", 4)
    assert list(lines) == ["abc\n", "ab\n", "\n", "abc"]
    with pytest.raises(NlcliError, match=r"t.txt, line 2: more than 3 characters in one line"):
        list(bounded_lines(io.BytesIO(b"ab\nabc\n"), tmp_path / "t.txt", 3))


READERS: dict[str, Callable[[Path], Any]] = {
    "t.csv": lambda path: list(read_rows(path, ("path", "label"), ("path",))),
    "columns.csv": lambda path: read_columns(path, ("path", "label"), ("path",)),
    "t.jsonl": lambda path: list(json_lines(path)),
    "t.txt": lambda path: list(read_lines(path)),
    "names.txt": lambda path: names_listed(path, "the class names"),
    "dict.csv": read_dictionary,
    "map.csv": lambda path: read_class_map(str(path)),
}


@pytest.mark.parametrize("name", READERS)
def test_no_reader_takes_a_line_without_end_into_memory(tmp_path: Path, name: str) -> None:
    """A quarter of a gigabyte without a line break, which takes no place on the disk."""
    path, line = tmp_path / name, 2 if name.endswith("csv") and name != "dict.csv" else 1
    with open(path, "wb") as file:
        file.write(b"path,label\n" * (line - 1))
        for _ in range(4):
            file.write(b"a" * (LONGEST_LINE // 4 + 1))
        file.truncate(1 << 28)
    tracemalloc.start()
    try:
        with pytest.raises(NlcliError, match=rf"{name}, line {line}: more than [\d,]+ characters in one line"):
            READERS[name](path)
        assert tracemalloc.get_traced_memory()[1] < 6 * LONGEST_LINE
    finally:
        tracemalloc.stop()
