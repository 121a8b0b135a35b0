"""The label table on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nlcli.data.label_files import DESCRIPTION, DatasetRecord, read_dataset
from nlcli.errors import NlcliError
from worlds.stage_builders import published, small_table

# As 0.1.0 wrote it.
WRITTEN: dict[str, Any] = {
    "classes": ["cat", "dog"],
    "counts": {"differing": [], "found": {"train": 3}, "published": {"train": 3}},
    "groups": ["animal", None],
    "image_root": "/data/images",
    "images": 3,
    "name": "pets",
    "source": "photographs",
    "task": "single-label",
}


def test_a_table_survives_its_files(tmp_path: Path) -> None:
    table = small_table(tmp_path)
    read = read_dataset(published(table, tmp_path / "data"))
    for name in ("noisy", "present", "absent"):
        assert (getattr(read, name) != getattr(table, name)).nnz == 0
        assert getattr(read, name).dtype == getattr(table, name).dtype
    for name in ("keys", "paths", "split", "verification"):
        assert np.array_equal(getattr(read, name), getattr(table, name))
    assert (read.task, read.classes, read.groups, read.image_root) == (
        "multi-label",
        ("a", "b", "c"),
        ("g", None, "g"),
        tmp_path,
    )
    assert read.image_path(1) == tmp_path / "x, 1.jpg"
    assert read.info["name"] == "test"
    assert read.fingerprint.startswith("sha256:")


def test_files_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    path = published(small_table(), tmp_path / "data")
    whole = (path / "images.parquet").read_bytes()
    (path / "images.parquet").write_bytes(whole[:-20])
    with pytest.raises(NlcliError, match=r"cannot read .*images\.parquet"):
        read_dataset(path)
    (path / "images.parquet").write_bytes(whole)
    info = json.loads((path / "dataset.json").read_text())
    (path / "dataset.json").write_text(json.dumps(info | {"classes": ["a", "b"]}))
    with pytest.raises(
        NlcliError, match=r"dataset\.json: field 'groups': 3 groups of 2 classes; build the data set again"
    ):
        read_dataset(path)
    (path / "dataset.json").write_text(json.dumps(info | {"classes": ["a", "b"], "groups": None}))
    with pytest.raises(NlcliError, match="names a class that dataset.json does not have"):
        read_dataset(path)
    (path / "dataset.json").write_text(json.dumps({k: v for k, v in info.items() if k != "task"}))
    with pytest.raises(NlcliError, match=r"dataset\.json: field 'task' is required; build the data set again"):
        read_dataset(path)
    (path / "dataset.json").write_text(json.dumps(info))
    rows = pq.read_table(path / "images.parquet")
    other = rows.set_column(rows.schema.get_field_index("split"), "split", pa.array(["train", "dev", "test", "test"]))
    pq.write_table(other, path / "images.parquet")
    with pytest.raises(NlcliError, match="column 'split' has a value other than train, validation, test"):
        read_dataset(path)
    pq.write_table(rows.drop_columns(["noisy"]), path / "images.parquet")
    with pytest.raises(NlcliError, match="does not have the columns"):
        read_dataset(path)


def test_what_0_1_0_wrote_is_read_and_written_again(tmp_path: Path) -> None:
    path = tmp_path / DESCRIPTION
    path.write_text(json.dumps(WRITTEN), encoding="utf-8")
    record = DatasetRecord.read(path)
    assert (record.classes, record.groups, record.task) == (("cat", "dog"), ("animal", None), "single-label")
    assert record.info == {name: WRITTEN[name] for name in ("counts", "images", "name", "source")}
    record.write(path)
    assert json.loads(path.read_text(encoding="utf-8")) == WRITTEN


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("classes", 5),
        ("classes", ["cat", None]),
        ("groups", "animal"),
        ("groups", ["animal"]),
        ("image_root", []),
        ("image_root", "pictures\0"),
        ("image_root", "pictures\ud800"),
        ("images", "three"),
        ("task", "two-label"),
    ],
)
def test_a_field_of_another_type_is_told(tmp_path: Path, field: str, value: object) -> None:
    path = tmp_path / DESCRIPTION
    path.write_text(json.dumps(WRITTEN | {field: value}), encoding="utf-8")
    with pytest.raises(NlcliError, match=rf"dataset\.json: field '{field}[.0-9]*'.*; build the data set again$"):
        DatasetRecord.read(path)
