"""The same network gives the same file, whenever it is written."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from nlcli.networks.backbone import Backbone
from nlcli.networks.keras_archive import settle_archive
from nlcli.networks.weights import save_backbone


def _archive(path: Path, year: int) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("metadata.json", "config.json", "model.weights.h5")[:: 1 if year % 2 else -1]:
            shared = [{"dtype": {"shared_object_id": address}} for address in (year * 7, year * 5, year * 7)]
            contents = {
                "metadata.json": json.dumps({"keras_version": "3.9", "date_saved": f"{year}-11-26@21:00:00"}),
                "config.json": json.dumps({"layers": shared, "shared_object_id": None}),
                "model.weights.h5": name * 9,
            }
            archive.writestr(zipfile.ZipInfo(name, (year, 11, 26, 21, 0, 0)), contents[name])
    return path


def test_when_where_and_in_which_order_it_was_written_is_forgotten(tmp_path: Path) -> None:
    one, other = _archive(tmp_path / "a.keras", 2025), _archive(tmp_path / "b.keras", 2026)
    assert one.read_bytes() != other.read_bytes()
    settle_archive(one)
    settle_archive(other)
    assert one.read_bytes() == other.read_bytes()
    with zipfile.ZipFile(one) as archive:
        assert archive.read("model.weights.h5") == b"model.weights.h5" * 9
        assert json.loads(archive.read("metadata.json"))["keras_version"] == "3.9"
        layers = json.loads(archive.read("config.json"))["layers"]
        assert [layer["dtype"]["shared_object_id"] for layer in layers] == [1, 2, 1]
        assert archive.testzip() is None


def test_backbones_are_saved_so(small: Backbone, tmp_path: Path) -> None:
    save_backbone(tmp_path / "one", small)
    with zipfile.ZipFile(tmp_path / "one/model.keras") as archive:
        assert {member.date_time[0] for member in archive.infolist()} == {1980}
    save_backbone(tmp_path / "other", small)
    assert (tmp_path / "one/model.keras").read_bytes() == (tmp_path / "other/model.keras").read_bytes()
