"""Images that are not where a list says: the probable cause is named, and following it works."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nlcli.data.config import BuildFolders
from nlcli.data.label_files import read_dataset
from nlcli.data.sources.base import advice_on_missing, probable_cause
from nlcli.data.sources.coco_annotations import read_instances
from nlcli.data.sources.folders import build_folders
from nlcli.errors import NlcliError
from worlds.coco import instances
from worlds.folders import touch


def test_causes_by_hand(tmp_path: Path) -> None:
    root = tmp_path / "images"
    touch(root, "a/1.jpg", "b/2.JPG", "3.png")
    assert probable_cause(root, ["images/a/1.jpg"]) == (
        f"their names begin with the folder's own: give {tmp_path} as the folder of images"
    )
    assert "take 'train/' off the names" in str(probable_cause(root, ["train/a/1.jpg"]))
    assert "'2.jpg' is there as '2.JPG'" in str(probable_cause(root, ["b/2.jpg"]))
    assert "'3' is there as '3.png': the names lack their ending" in str(probable_cause(root, ["3"]))
    assert probable_cause(root, ["c/9.jpg"]) is None
    assert advice_on_missing(root, ["c/9.jpg"], 0.25) == (
        "complete the folder, or leave them out with --allow-missing 0.26"
    )
    assert "--allow-missing" not in advice_on_missing(root, ["c/9.jpg"], 1.0)


def test_the_advice_on_a_prefix_works(tmp_path: Path) -> None:
    names = [f"{name}/{i}.jpg" for name in ("a", "b") for i in range(12)]
    touch(tmp_path / "photos", *names)
    table = tmp_path / "t.csv"
    table.write_text("path,noisy_label\n" + "".join(f"photos/{name},{name[0]}\n" for name in names))
    config = BuildFolders(images=tmp_path / "photos", table=table, output=tmp_path / "out")
    with pytest.raises(NlcliError, match=f"24 of 24 .* begin with the folder's own: give {tmp_path} as the folder"):
        build_folders(config)
    again = build_folders(config.model_copy(update={"images": tmp_path}))
    assert len(read_dataset(again)) == 24


def test_annotations_with_a_byte_order_mark_and_without_ids(tmp_path: Path) -> None:
    content = instances("train", {0: [(17, 0), (17, 0)], 1: [(18, 1)]})
    (tmp_path / "plain.json").write_text(json.dumps(content))
    for entry in content["annotations"]:
        del entry["id"]
    (tmp_path / "bare.json").write_text(json.dumps(content), encoding="utf-8-sig")
    plain, bare = (read_instances(tmp_path / f"{name}.json") for name in ("plain", "bare"))
    assert bare.names == plain.names
    assert {c: rows.tolist() for c, rows in bare.shown.items()} == {c: rows.tolist() for c, rows in plain.shown.items()}
    content["images"][0]["file_name"] = "train\\0.png"
    (tmp_path / "slashes.json").write_text(json.dumps(content))
    with pytest.raises(NlcliError, match="has backslashes; write / between folders"):
        read_instances(tmp_path / "slashes.json")
