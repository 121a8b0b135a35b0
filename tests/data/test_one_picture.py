"""One picture under two names: links, spellings, copies, editions of COCO."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from nlcli.data.config import BuildFolders
from nlcli.data.label_files import read_dataset
from nlcli.data.labels import SPLITS
from nlcli.data.one_picture import coco_editions, refuse_one_picture_in_two_splits
from nlcli.data.sources.folders import build_folders
from nlcli.errors import NlcliError
from nlcli.networks.file_facts import FileFacts, Places, folded

OLD, NEW = "train2014/COCO_train2014_000000000009.jpg", "train2017/000000000009.jpg"


def write(root: Path, **contents: bytes) -> None:
    for name, content in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


def pictures(root: Path, *names: str) -> None:
    """Files of different sizes."""
    write(root, **{name: b"x" * (number + 1) for number, name in enumerate(names)})


def look(root: Path, listed: dict[str, str], facts: FileFacts | None = None) -> None:
    split = np.asarray([SPLITS.index(split) for split in listed.values()], np.int8)
    refuse_one_picture_in_two_splits(root, np.asarray(list(listed), object), split, SPLITS, facts)


# --- one file --------------------------------------------------------------------------------


def test_a_link_across_splits_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "img"
    pictures(root, "train/a/1.jpg", "train/b/1.jpg", "test/a/2.jpg", "test/b/2.jpg", "validation/a/3.jpg")
    (root / "test/b/again.jpg").symlink_to(root / "train/b/1.jpg")
    told = r"'train/b/1.jpg' \(train\) and 'test/b/again.jpg' \(test\) in .* are one file, by a link or another"
    with pytest.raises(NlcliError, match=told):
        build_folders(BuildFolders(images=root, output=tmp_path / "out"))
    (root / "test/b/again.jpg").unlink()
    (root / "test/c").symlink_to(root / "train/b")
    with pytest.raises(NlcliError, match=r"'train/b/1.jpg' \(train\) and 'test/c/1.jpg' \(test\)"):
        build_folders(BuildFolders(images=root, output=tmp_path / "out"))


def test_hard_links_are_counted_and_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "img"
    pictures(root, "train/a/1.jpg", "train/b/1.jpg", "test/a/2.jpg", "test/b/2.jpg", "validation/a/3.jpg")
    os.link(root / "train/b/1.jpg", root / "test/b/again.jpg")
    os.link(root / "train/b/1.jpg", root / "test/b/more.jpg")
    build_folders(BuildFolders(images=root, output=tmp_path / "out"))
    told = capsys.readouterr().err
    assert "3 of 7 images are hard links to 1 files" in told
    assert "copies" not in told
    assert len(read_dataset(tmp_path / "out")) == 7


def test_a_file_listed_again_in_its_own_split_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures(tmp_path, "a/1.jpg", "a/2.jpg")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    look(tmp_path, {"a/1.jpg": "train", "b/1.jpg": "train", "a/2.jpg": "test"})
    told = "1 of 3 images are files that are listed under another name, too, and count twice (the first: 'a/1.jpg' and"
    assert told in capsys.readouterr().err


def test_names_that_a_file_system_without_capitals_takes_for_one(tmp_path: Path) -> None:
    """There ``A.JPG`` opens the file whose entry in the folder is ``a.jpg``; another hard link is a name of its own."""
    pictures(tmp_path, "d/a.jpg", "d/é.jpg")
    os.link(tmp_path / "d/a.jpg", tmp_path / "d/b.jpg")
    (tmp_path / "e").symlink_to(tmp_path / "d")
    names = ["d/a.jpg", "d/A.JPG", "d/b.jpg", "e/a.jpg", "e/A.jpg"]
    assert Places(tmp_path).again(names) == [1, 3, 4]
    assert Places(tmp_path).again(["d/é.jpg", "d/e\u0301.jpg"]) == [1]  # composed in two ways
    one = np.ones(3, np.int64)  # as that file system would tell: one file, of two names
    facts = FileFacts(size=one, time=one, device=one, number=one, names=2 * one)
    with pytest.raises(NlcliError, match=r"'d/a.jpg' \(train\) and 'd/A.JPG' \(test\) .* are one file"):
        look(tmp_path, {"d/a.jpg": "train", "d/A.JPG": "test", "d/b.jpg": "train"}, facts)


def test_names_that_really_differ_are_two_here(tmp_path: Path) -> None:
    pictures(tmp_path, "d/a.jpg")
    os.link(tmp_path / "d/a.jpg", tmp_path / "d/A.jpg")
    if len(os.listdir(tmp_path / "d")) == 2:
        assert Places(tmp_path).again(["d/a.jpg", "d/A.jpg"]) == []


@pytest.mark.parametrize(("one", "other"), [("A.JPG", "a.jpg"), ("STRASSE", "straße"), ("É", "e\u0301")])
def test_folded_names(one: str, other: str) -> None:
    assert folded(one) == folded(other) != folded("b.jpg")


# --- copies ----------------------------------------------------------------------------------


def test_one_picture_in_two_editions_of_coco_is_refused(tmp_path: Path) -> None:
    write(tmp_path, **{OLD: b"nine", NEW: b"nine", "val2014/COCO_val2014_000000000042.jpg": b"forty-two"})
    write(tmp_path, **{"val2017/000000000042.jpg": b"forty-two", "train2017/000000000043.jpg": b"another"})
    told = (
        r"'train2014/COCO_train2014_000000000009.jpg' \(train\) and 'train2017/000000000009.jpg' \(test\) in .* are one "
        r"picture in two editions of COCO, and 1 more such images; .*list the pictures of one edition"
    )
    with pytest.raises(NlcliError, match=told):
        look(
            tmp_path,
            {
                OLD: "train",
                NEW: "test",
                "val2014/COCO_val2014_000000000042.jpg": "train",
                "val2017/000000000042.jpg": "validation",
                "train2017/000000000043.jpg": "train",
            },
        )
    look(tmp_path, {OLD: "train", NEW: "train"})  # in one split no figure suffers


def test_the_same_number_of_another_picture_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, **{OLD: b"nine", NEW: b"ten!"})
    look(tmp_path, {OLD: "train", NEW: "test"})
    told = "1 of 2 images have the number of a picture of COCO that is in another split in another edition, as another file"
    assert told in capsys.readouterr().err
    paths, split = np.array([OLD, NEW], object), np.array([0, 2])
    with pytest.raises(
        NlcliError, match="are one picture in two editions of COCO; .* rename the folders so that they name no"
    ):
        refuse_one_picture_in_two_splits(tmp_path, paths, split, SPLITS, of_coco=True)


def test_editions_are_told_by_names() -> None:
    names = ["val2017/000000000001.jpg", "COCO_train2014_000000000009.jpg", "x/000000000003.jpg", "train2015/mine.jpg"]
    assert coco_editions(np.array(names, object)) == ("2014", "2017")
    assert coco_editions(np.array(names[2:], object)) == ()


def test_copies_across_splits_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    long = bytes(range(256)) * 100
    write(tmp_path, **{"train/a/1.jpg": long + b"end", "test/b/1.jpg": long + b"end", "test/c/1.jpg": long + b"and"})
    write(tmp_path, **{"test/b/2.jpg": long + b"end", "train/a/3.jpg": b"", "test/a/3.jpg": b""})
    names = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.jpg"))
    look(tmp_path, {name: name.partition("/")[0] for name in names})
    told = (
        "2 of 6 images are copies of each other in several splits, by name and content (the first: 'test/b/1.jpg' (test) "
        "and 'train/a/1.jpg' (train)); nlcli deduplicate leaves them out of train"
    )
    assert told in capsys.readouterr().err
    look(tmp_path, {"train/a/1.jpg": "train", "test/b/1.jpg": "train", "test/c/1.jpg": "test"})
    assert "copies" not in capsys.readouterr().err


def test_copies_under_other_names_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    long = bytes(range(256)) * 100
    write(tmp_path, **{"train/a.jpg": long, "test/b.jpg": long, "test/c.jpg": long[::-1]})
    names = {"train/a.jpg": "train", "test/b.jpg": "test", "test/c.jpg": "test"}
    look(tmp_path, names)
    told = (
        "2 of 3 images are copies of each other in several splits, by content, under other names (the first: "
        "'train/a.jpg' (train) and 'test/b.jpg' (test))"
    )
    assert told in capsys.readouterr().err
