"""Images that are not where a list says: the probable cause is named, and following it works."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nlcli.data.config import BuildFolders
from nlcli.data.label_files import read_dataset
from nlcli.data.sources.base import advice_on_missing
from nlcli.data.sources.coco_annotations import read_instances
from nlcli.data.sources.folders import build_folders
from nlcli.data.sources.missing_cause import probable_cause
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


def test_more_causes_by_hand(tmp_path: Path) -> None:
    root = tmp_path / "images"
    touch(
        root, "a/1.jpg", "a/2.jpg", "red hat/3.jpg", "Hu\u0308t/4.jpg", "inner/b/5.jpg", "c/COCO_7.jpg", "c/COCO_8.jpg"
    )

    def cause(*names: str) -> str:
        return str(probable_cause(root, names))

    assert cause("http:/x.org/a/1.jpg", "s3:/b/a/7.jpg") == (
        f"these are addresses: download the pictures, and write their paths in {root} in their place"
    )
    assert cause("https:/x.org/v1/a/1.jpg", "https:/x.org/v1/a/2.jpg") == (
        "these are addresses, and 'a/1.jpg' is there: take off what stands before that"
    )
    assert str(probable_cause(tmp_path / "gone", ["a/1.jpg"])).startswith(f"there is no folder {tmp_path / 'gone'}")
    assert cause("data/v1/a/1.jpg", "data/v1/a/2.jpg").startswith("'a/1.jpg' is there: take 'data/v1/' off the names")
    assert cause("b/5.jpg") == f"they are in {root / 'inner'}: give that as the folder of images"
    assert cause("red%20hat/3.jpg").startswith("'red%20hat' is there as 'red hat': the list has characters as %")
    assert cause("a%2F1.jpg").startswith("'a%2F1.jpg' is there as 'a': the list has characters as %")
    assert cause("'a/1.jpg'").endswith("the list has quotes or spaces around the names; take them off")
    assert cause("A/1.JPG") == "'A' is there as 'a': names must be the same in capitals, too; correct the list"
    assert "in different Unicode forms; make both the composed one" in cause("H\u00fct/4.jpg")
    assert cause("a/1.jpeg") == "'1.jpeg' is there as '1.jpg': the endings differ; correct the list"
    assert cause("c/7.jpg", "c/8.jpg").startswith("the files' names begin with 'COCO_', which the list lacks")
    assert cause("a/img_1.jpg", "a/img_2.jpg").startswith("the files' names lack 'img_'")
    assert cause("a/img_1.jpg", "a/pic_2.jpg") == "None"
    assert cause("a/9.jpg", "b/9.jpg") == "None"
    touch(root, "a/9.jpg")  # what a folder holds is looked at anew
    assert cause("A/9.jpg").startswith("'A' is there as 'a'")
    assert str(probable_cause(root / "a", ["red hat/3.jpg"])) == f"they are there: give {root} as the folder of images"


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


def test_annotations_as_other_programs_write_them(tmp_path: Path) -> None:
    """Ids with a fraction, names with a dot in front, spaces around a category's name: the same as without."""
    content = instances("train", {0: [(17, 0), (17, 0)], 1: [(18, 1)]})
    (tmp_path / "plain.json").write_text(json.dumps(content))
    for entry in content["images"]:
        entry |= {"id": float(entry["id"]), "file_name": f"./{entry['file_name']}"}
    for entry in content["annotations"]:
        entry |= {"image_id": float(entry["image_id"]), "category_id": float(entry["category_id"])}
    for entry in content["categories"]:
        entry |= {"id": float(entry["id"]), "name": f" {entry['name']} "}
    (tmp_path / "other.json").write_text(json.dumps(content))
    plain, other = (read_instances(tmp_path / f"{name}.json") for name in ("plain", "other"))
    assert (other.names, other.categories) == (plain.names, plain.categories)
    assert {c: rows.tolist() for c, rows in other.shown.items()} == {
        c: rows.tolist() for c, rows in plain.shown.items()
    }
    content["images"][1]["file_name"] = content["images"][0]["file_name"].removeprefix("./")
    (tmp_path / "twice.json").write_text(json.dumps(content))
    with pytest.raises(NlcliError, match="image file name 'train00.png' is listed twice"):
        read_instances(tmp_path / "twice.json")
