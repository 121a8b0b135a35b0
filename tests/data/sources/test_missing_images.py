"""Images that are not where a list says: the probable cause is named, and following it works."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from nlcli.data.config import BuildFolders
from nlcli.data.label_files import read_dataset
from nlcli.data.sources.base import advice_on_missing
from nlcli.data.sources.coco_annotations import read_instances
from nlcli.data.sources.folders import build_folders
from nlcli.data.sources.missing_cause import probable_cause
from nlcli.data.sources.open_images_files import ids_on_disk
from nlcli.errors import NlcliError
from nlcli.networks.image_files import list_folder, near_folder
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
    assert advice_on_missing(root, ["a/9.jpg", "c/9.jpg"], 0.25) == (
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
    assert (
        cause("A/1.JPG")
        == "'A' is there as 'a': names must be the same in capitals, too; rename it, or correct the list"
    )
    assert "in different Unicode forms; make both the composed one" in cause("H\u00fct/4.jpg")
    assert cause("a/1.jpeg") == "'1.jpeg' is there as '1.jpg': the endings differ; correct the list"
    assert cause("c/7.jpg", "c/8.jpg").startswith("the files' names begin with 'COCO_', which the list lacks")
    assert cause("a/img_1.jpg", "a/img_2.jpg").startswith("the files' names lack 'img_'")
    assert cause("a/img_1.jpg", "a/pic_2.jpg") == "None"
    assert cause("a/9.jpg", "b/9.jpg") == "None"
    touch(root, "a/9.jpg")  # what a folder holds is looked at anew
    assert cause("A/9.jpg").startswith("'A' is there as 'a'")
    assert str(probable_cause(root / "a", ["red hat/3.jpg"])) == f"they are there: give {root} as the folder of images"


def test_pictures_of_a_release_that_was_half_unpacked(tmp_path: Path) -> None:
    """No other folder can be given for them: the lists are there, too."""
    root = tmp_path / "release"
    names = [f"images/{i}/{i}.jpg" for i in range(2)]

    def told(*given: str, share: float = 1.0) -> str:
        return advice_on_missing(root, given or names, share, fixed=True).replace(str(tmp_path), "")

    touch(root, "lists/train.txt")
    assert told() == "there is no folder /release/images: unpack the images there"
    assert told(share=0.5) == (
        "there is no folder /release/images: complete the folder, or leave them out with --allow-missing 0.51"
    )
    touch(tmp_path, *names)
    assert told() == "they are in : move them into /release"
    (tmp_path / "images/1/1.jpg").unlink()
    touch(root, "images.tar.gz", "annotations.zip")
    assert told() == "there is an archive, /release/images.tar.gz, that was not unpacked: unpack it"
    touch(root, "images/images/0/0.jpg", "images/images/1/1.jpg")
    assert told() == "they are a folder deeper, in /release/images/images: move what is in it up to /release/images"
    (root / "images/images/1/1.jpg").unlink()
    touch(root, "images/0.jpg", "images/1.jpg")
    assert told() == "'0.jpg' is in /release/images itself, without the folder '0': unpack them with their folders"
    (root / "images").rename(root / "Images")
    touch(root, "Images/0/0.jpg", "Images/1/1.jpg")
    assert told().startswith("'images' is there as 'Images': names must be the same in capitals, too; rename it")
    touch(root, *names)
    (root / "images/1/1.jpg").rename(root / "images/1/1.tar")
    assert told(names[1]) == "there is an archive, /release/images/1/1.tar, that was not unpacked: unpack it"
    touch(root, "images/1/x.jpg")  # an archive that was left there says nothing
    assert told(names[1]) == "unpack the images there"


def test_a_folder_that_cannot_be_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a/b/1.jpg")
    scan = os.scandir

    def forbidden(path: str | Path) -> object:
        if Path(path) == tmp_path / "a" / "b":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", forbidden)
    told = probable_cause(tmp_path, ["a/b/2.jpg"])
    assert told == f"what is in {tmp_path}/a/b cannot be seen (permission denied): make it readable (chmod -R u+rX)"
    with pytest.raises(NlcliError, match=r"a/b: Permission denied; make it readable \(chmod -R u\+rX\)"):
        list_folder(tmp_path / "a" / "b")
    with pytest.raises(NlcliError, match=r"a/b: Permission denied; make it readable \(chmod -R u\+rX\)"):
        ids_on_disk(tmp_path / "a" / "b")


def test_what_lies_where_a_folder_is_not(tmp_path: Path) -> None:
    touch(tmp_path, "photos.zip", "other.zip")
    assert near_folder(tmp_path / "photos") == "the archive 'photos.zip' is there: unpack it"
    with pytest.raises(
        NlcliError, match=r"photos does not exist \(the archive 'photos.zip' is there: unpack it\); give"
    ):
        build_folders(BuildFolders(images=tmp_path / "photos", output=tmp_path / "out"))
    (tmp_path / "Photos").mkdir()
    assert near_folder(tmp_path / "photos") == "'Photos' is there: names must be the same in capitals, too"
    assert near_folder(tmp_path / "pictures") is None
    assert near_folder(tmp_path / "gone" / "pictures") is None
    touch(tmp_path, "Photos/a/1.zip")
    with pytest.raises(NlcliError, match=r"1 pictures, films and archives of kinds that are not read \(1.zip\)"):
        build_folders(BuildFolders(images=tmp_path / "Photos", output=tmp_path / "out"))


def test_what_no_stage_will_read_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of six: two are empty, one is a folder, one a link to nowhere; two hold something."""
    touch(tmp_path, "p/a/1.jpg", "p/b/2.jpg", "p/b/4.jpg/x.txt")
    for name in ("p/a/5.jpg", "p/b/6.jpg"):
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "p/a/3.jpg").symlink_to(tmp_path / "gone.jpg")
    table = tmp_path / "t.csv"
    listed = ["a/1.jpg", "b/2.jpg", "a/3.jpg", "b/4.jpg", "a/5.jpg", "b/6.jpg"]
    table.write_text("path,noisy_label\n" + "".join(f"{name},{name[0]}\n" for name in listed))
    output = build_folders(BuildFolders(images=tmp_path / "p", table=table, output=tmp_path / "out"))
    assert len(read_dataset(output)) == 6
    assert (
        f"warning: of 6 images in {tmp_path / 'p'} 2 are without a file behind their name (the first: 'a/3.jpg') and 2 "
        "are empty files (the first: 'a/1.jpg'); stages that read images leave them out"
    ) in " ".join(capsys.readouterr().err.split())


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


@pytest.mark.parametrize("name", ["a" * 1_000_000, "a/" * 500_000 + "b.png", "../" * 300_000 + "b.png"])
def test_names_that_no_file_system_takes_are_not_searched_for(name: str, tmp_path: Path) -> None:
    touch(tmp_path / "b.png")
    assert probable_cause(tmp_path, [name]) is None
