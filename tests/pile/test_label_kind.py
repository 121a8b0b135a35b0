"""Whether a table has one label an image or several is told by what stands in it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nlcli.errors import NlcliError
from nlcli.pile.label_kind import label_kind


@pytest.mark.parametrize(
    ("text", "kind", "why"),
    [
        ("path,label\n1.jpg,cat\n2.jpg,dog\n", "single-label", "every image stands in one row"),
        ("path,noisy_label\n1.jpg,a|b\n", "single-label", "column 'noisy_label'"),
        ("path,label\n1.jpg,cat\n1.jpg,dog\n", "multi-label", "several rows"),
        ("path,label,source\n1.jpg,cat,human\n", "multi-label", "column 'source'"),
        ("path,noisy\n1.jpg,cat|dog\n", "multi-label", "column 'noisy'"),
        ("path;present\n1.jpg;cat\n", "multi-label", "column 'present'"),
    ],
)
def test_the_kind_is_told_by_columns_and_rows(tmp_path: Path, text: str, kind: str, why: str) -> None:
    (tmp_path / "labels.csv").write_text(text)
    told = label_kind(tmp_path / "labels.csv")
    assert told[0] == kind
    assert why in told[1]


def test_files_of_annotation_programs_hold_tags(tmp_path: Path) -> None:
    assert label_kind(tmp_path / "not-looked-into.json")[0] == "multi-label"
    pq.write_table(pa.table({"path": ["1.jpg"], "noisy": [["cat", "dog"]]}), tmp_path / "labels.parquet")
    assert label_kind(tmp_path / "labels.parquet")[0] == "multi-label"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\n1.jpg,cat|dog\n", r"'cat\|dog' may be one name or several; call the column noisy"),
        ("path,split\n1.jpg,train\n", "has no labels; give a column label"),
        ("file,label\n1.jpg,cat\n", "there is no column 'path'"),
    ],
)
def test_what_may_be_read_in_two_ways_is_asked_about(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(NlcliError, match=message):
        label_kind(tmp_path / "labels.csv")
