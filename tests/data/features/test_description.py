"""The record of a features directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nlcli.data.features.description import DESCRIPTION, FeaturesRecord
from nlcli.errors import NlcliError

# As 0.1.0 wrote it.
WRITTEN: dict[str, Any] = {
    "backbone": "resnet50",
    "backbone_fingerprint": "sha256:34",
    "broken": 1,
    "dataset_fingerprint": "sha256:56",
    "dtype": "float16",
    "image_root": "/data/images",
    "images": 20,
    "num_features": 2048,
    "precision": "bfloat16",
    "preprocessing": {"decode": "fast", "resize": "stretch", "scaling": "caffe", "size": 224},
    "schema": 1,
    "shards": 1,
}


def test_what_0_1_0_wrote_is_read_and_written_again(tmp_path: Path) -> None:
    path = tmp_path / DESCRIPTION
    path.write_text(json.dumps(WRITTEN), encoding="utf-8")
    record = FeaturesRecord.read(path)
    assert (record.images, record.dtype, record.preprocessing.decode) == (20, "float16", "fast")
    record.write(path)
    assert json.loads(path.read_text(encoding="utf-8")) == WRITTEN


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("shards", -1),
        ("shards", "some"),
        ("num_features", 0),
        ("dtype", "float64"),
        ("dtype", ["float32"]),
        ("backbone_fingerprint", 3),
        ("image_root", None),
        ("preprocessing", {"size": 64, "colour": "red"}),
    ],
)
def test_a_field_of_another_type_is_told(tmp_path: Path, field: str, value: object) -> None:
    path = tmp_path / DESCRIPTION
    path.write_text(json.dumps(WRITTEN | {field: value}), encoding="utf-8")
    with pytest.raises(NlcliError, match=rf"features\.json: field '{field}[.a-zA-Z]*'.*; extract the features again$"):
        FeaturesRecord.read(path)
