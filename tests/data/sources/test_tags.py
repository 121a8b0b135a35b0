"""Data sets of images with several tags: what is verified, splits, missing pictures, names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nlcli.data.config import BuildTags
from nlcli.data.label_files import read_dataset
from nlcli.data.labels import LabelTable
from nlcli.data.sources.tags import build_tags
from nlcli.errors import NlcliError
from worlds.folders import by_key, touch


def build(tmp_path: Path, text: str, output: str = "out", **options: object) -> LabelTable:
    (tmp_path / "tags.csv").write_text(text)
    config = BuildTags.parse({"table": tmp_path / "tags.csv", "output": tmp_path / output, **options})
    return read_dataset(build_tags(config))


def names(*groups: tuple[str, int]) -> list[str]:
    return [f"{name}{i:02d}.jpg" for name, count in groups for i in range(count)]


def test_three_states(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b/c.jpg", "d.jpg", "e.jpg")
    table = build(
        tmp_path,
        "path,noisy,confidence,present,absent,verified,split\n"
        "a.jpg,cat|dog,0.25|1,cat,bird,listed,train\n"
        "b/c.jpg,dog,1,cat|dog,,full,test\n"
        "d.jpg,bird,1,,,,train\n"
        "e.jpg,,,,,full,validation\n",
    )
    assert table.task == "multi-label"
    assert table.classes == ("bird", "cat", "dog")
    assert by_key(table) == {
        "a.jpg": ("train", "cat,dog", "cat", "bird", 1),
        "b/c.jpg": ("test", "dog", "cat,dog", "", 2),
        "d.jpg": ("train", "bird", "", "", 0),
        "e.jpg": ("validation", "", "", "", 2),
    }
    assert table.noisy[[0]].toarray().tolist() == [[0, 0.25, 1]]
    assert table.image_path(1) == tmp_path / "b/c.jpg"


CHECKED = "path,noisy,present,verified,split\na.jpg,cat,cat,1,train\nb.jpg,dog,cat|dog,1,train\nc.jpg,dog,,,test\n"


def test_what_is_not_listed_is_asked_for(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    with pytest.raises(
        NlcliError, match=r"1 images are checked \('a\.jpg'\), and nothing says.*--verified-means full if.*listed if"
    ):
        build(tmp_path, CHECKED)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.partial").exists()
    full = build(tmp_path, CHECKED, "full", verified_means="full")
    assert full.verification.tolist() == [2, 2, 0]
    partly = build(tmp_path, CHECKED, "listed", verified_means="listed")
    assert partly.verification.tolist() == [1, 2, 0], "of b.jpg every class is listed"


def test_without_a_column_of_what_was_seen_the_noisy_tags_of_a_checked_image_are_right(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    text = "path,noisy,absent,verified,split\na.jpg,cat|dog,dog,1,train\nb.jpg,dog,dog,,train\nc.jpg,cat,,,test\n"
    table = build(tmp_path, text, verified_means="listed")
    state = by_key(table)
    assert state["a.jpg"] == ("train", "cat,dog", "cat", "", 2), "both classes are known"
    assert state["b.jpg"] == ("train", "dog", "", "dog", 1)


@pytest.mark.parametrize("verified", ["full", "listed"])
def test_present_and_absent_at_once(tmp_path: Path, verified: str) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    text = f"path,noisy,present,absent,verified\na.jpg,cat,cat,cat,{verified}\nb.jpg,dog,,,\n"
    with pytest.raises(NlcliError, match="'a.jpg' has class 'cat' verified both present and absent"):
        build(tmp_path, text)


def test_not_verified_and_seen(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    with pytest.raises(NlcliError, match="'a.jpg' is marked as not verified, and has present or absent tags"):
        build(tmp_path, "path,noisy,present,verified\na.jpg,cat,cat,no\nb.jpg,dog,,\n")


@pytest.mark.parametrize(
    ("cells", "sentence"),
    [
        (('"cat, dog"', "cat", "dog"), r"'cat, dog' \(1 images\) look like several tags in one"),
        (("cat;dog", "cat", "dog"), "'cat;dog' .1 images. look like several tags"),
        (("\"['cat', 'dog']\"", "cat", "dog"), "look like several tags in one; write lists with | between"),
        (("Cat", "cat", "dog"), r"'Cat' \(1 images\) and 'cat' \(1 images\) read alike"),
        (("n/a", "cat", "dog"), "'n/a' .1 images. reads as if there were no label"),
        (("cat", "cat", "cat"), "only one class"),
        (("", "", ""), "no tag of any image"),
    ],
)
def test_doubtful_names(tmp_path: Path, cells: tuple[str, ...], sentence: str) -> None:
    touch(tmp_path, "0.jpg", "1.jpg", "2.jpg")
    text = "path,noisy\n" + "".join(f"{i}.jpg,{cell}\n" for i, cell in enumerate(cells))
    with pytest.raises(NlcliError, match=sentence):
        build(tmp_path, text)


def test_names_are_merged_and_kept_when_that_is_said(tmp_path: Path) -> None:
    touch(tmp_path, "0.jpg", "1.jpg", "2.jpg")
    text = 'path,noisy\n0.jpg,Cat\n1.jpg,cat|dog\n2.jpg,"cat, dog|cat"\n'
    assert build(tmp_path, text, "keep", class_names="keep").classes == ("Cat", "cat", "cat, dog", "dog")
    merged = build(tmp_path, text, "merge", class_names="merge")
    assert merged.classes == ("cat", "cat, dog", "dog")
    (tmp_path / "classes.txt").write_text("dog\nbird\nCat\ncat\ncat, dog\n")
    listed = build(tmp_path, text, "listed", class_names="keep", classes=tmp_path / "classes.txt")
    assert listed.classes == ("dog", "bird", "Cat", "cat", "cat, dog")
    assert by_key(listed)["0.jpg"][1] == "Cat"


def test_splits_are_drawn_among_checked_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """12 checked images with cat, 4 of them with dog, and one with bird; 60 that nobody checked."""
    checked, others = names(("c", 12)), names(("u", 60))
    touch(tmp_path, *checked, *others)
    seen = ["cat|dog"] * 4 + ["cat"] * 7 + ["cat|bird"]
    text = "path,noisy,present,verified\n" + "".join(f"{n},cat,{s},full\n" for n, s in zip(checked, seen, strict=True))
    text += "".join(f"{n},cat|dog|bird,,\n" for n in others)
    table = build(tmp_path, text)
    drawn = table.split > 0
    assert set(table.keys[drawn]) <= set(checked), "unchecked images belong to train"
    assert (table.verification == np.where(np.isin(table.keys, checked), 2, 0)).all(), "drawing checks nothing"
    for split in ("train", "validation", "test"):
        rows = table.rows(split)
        counts = table.present[rows].sum(axis=0)
        assert (counts[[1, 2]] > 0).all(), "some of each in every split"
    assert [int((table.split == s).sum()) for s in (1, 2)] == [4, 4], "10 % of 72 is more than a third of 12"
    said = capsys.readouterr().err
    assert "drew 4 for test and 4 for validation from the checked training images" in said
    assert "1 of 3 classes are on too few checked images to have one in validation (bird)" in said
    everything = build(tmp_path, text, "all", draw_from="all")
    assert (everything.verification[everything.split > 0] == 0).any()
    assert abs(int((everything.split == 2).sum()) - 7) <= 1


def test_nobody_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    touch(tmp_path, *names(("a", 20)))
    text = "path,noisy\n" + "".join(f"{n},{'cat|dog' if i % 2 else 'cat'}\n" for i, n in enumerate(names(("a", 20))))
    table = build(tmp_path, text)
    assert (table.verification == 0).all()
    assert [len(table.rows(s)) for s in ("train", "validation", "test")] == [16, 2, 2]
    assert "nobody checked any of these images" in capsys.readouterr().err


def test_groups_come_into_one_split(tmp_path: Path) -> None:
    every = names(("a", 60))
    touch(tmp_path, *every)
    text = "path,noisy,verified,group\n" + "".join(
        f"{n},{'cat|dog' if i % 3 else 'cat'},{'full' if i % 4 == 0 else ''},{i // 6}\n" for i, n in enumerate(every)
    )
    table = build(tmp_path, text)
    for number in range(10):
        assert len(set(table.split[number * 6 : number * 6 + 6].tolist())) == 1
    assert {0, 1, 2} == set(table.split.tolist())


def test_missing_pictures_are_told_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    text = "path,noisy\na.jpg,cat\nb.jpg,dog\nc.jpg,cat\n"
    with pytest.raises(NlcliError, match=r"1 of 3 listed images are not in .*\(c\.jpg\)"):
        build(tmp_path, text)
    table = build(tmp_path, text, allow_missing=0.5)
    assert list(table.keys) == ["a.jpg", "b.jpg"]
    assert "1 of 3 listed images" in capsys.readouterr().err
    assert "c.jpg,table,missing" in (tmp_path / "out/left_out.csv").read_text()


def test_an_image_folder_with_metadata(tmp_path: Path) -> None:
    touch(tmp_path / "pile", "a.jpg", "b.jpg")
    (tmp_path / "pile/metadata.jsonl").write_text(
        '{"file_name": "a.jpg", "tags": ["cat", "dog"], "text": "x"}\n{"file_name": "b.jpg", "tags": []}\n'
    )
    table = read_dataset(build_tags(BuildTags(table=tmp_path / "pile", output=tmp_path / "out")))
    assert by_key(table)["a.jpg"][1] == "cat,dog"
    assert table.image_root == tmp_path / "pile"
    (tmp_path / "pile/metadata.csv").write_text("file_name,tags\n")
    with pytest.raises(NlcliError, match=r"both metadata\.csv and metadata\.jsonl"):
        build_tags(BuildTags(table=tmp_path / "pile", output=tmp_path / "again"))
