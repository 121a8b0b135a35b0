"""The record beside a saved network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nlcli.errors import NlcliError
from nlcli.networks.backbone_record import RECORD, BackboneRecord, is_saved

# As 0.1.0 wrote it.
WRITTEN: dict[str, Any] = {
    "activation": "softmax",
    "classes": ["cat", "dog"],
    "fingerprint": "sha256:12",
    "history": [{"weights": "imagenet"}, {"dataset": "pets", "seed": 0}],
    "network": "small_cnn",
    "num_features": 256,
    "preprocessing": {"decode": "exact", "resize": "stretch", "scaling": "unit", "size": 64},
    "schema": 1,
}


def written(directory: Path, **changes: Any) -> Path:
    (directory / RECORD).write_text(json.dumps(WRITTEN | changes), encoding="utf-8")
    return directory


def test_what_0_1_0_wrote_is_read_and_written_again(tmp_path: Path) -> None:
    record = BackboneRecord.of(written(tmp_path))
    assert (record.network, record.classes, record.preprocessing.size) == ("small_cnn", ("cat", "dog"), 64)
    record.write(tmp_path / RECORD)
    assert json.loads((tmp_path / RECORD).read_text(encoding="utf-8")) == WRITTEN


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("activation", "relu"),
        ("classes", "cat"),
        ("classes", [1]),
        ("fingerprint", None),
        ("history", [3]),
        ("network", 7),
        ("num_features", "many"),
        ("preprocessing", []),
        ("preprocessing", {"size": "large"}),
    ],
)
def test_a_field_of_another_type_is_told(tmp_path: Path, field: str, value: object) -> None:
    with pytest.raises(NlcliError, match=rf"backbone\.json: field '{field}[.0-9a-z]*'.*; save the network again$"):
        BackboneRecord.of(written(tmp_path, **{field: value}))


@pytest.mark.parametrize(
    ("content", "said"),
    [("[]", "does not hold a JSON object; save the network again"), ('{"schema": 2}', "written by a newer nlcli")],
)
def test_another_content(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / RECORD).write_text(content)
    with pytest.raises(NlcliError, match=said):
        BackboneRecord.of(tmp_path)


def test_a_directory_without_a_network(tmp_path: Path) -> None:
    assert not is_saved(tmp_path)
    with pytest.raises(NlcliError, match=r"is not a saved backbone: it has no backbone\.json"):
        BackboneRecord.of(tmp_path)
    with pytest.raises(NlcliError, match="is not a saved backbone: there is no directory"):
        BackboneRecord.of(tmp_path / "none")
