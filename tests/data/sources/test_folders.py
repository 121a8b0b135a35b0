"""Folders and tables of images: layouts, splits, labels, and every mistake with its line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nlcli.data.config import BuildFolders
from nlcli.data.label_files import read_dataset
from nlcli.data.labels import FULL, LabelTable
from nlcli.data.sources.folders import build_folders
from nlcli.data.sources.image_table import read_image_table
from nlcli.errors import NlcliError
from nlcli.stages.stage import read_stage
from worlds.folders import by_key, touch


def build(tmp_path: Path, images: Path, **options: object) -> LabelTable:
    return read_dataset(build_folders(BuildFolders(images=images, output=tmp_path / "out", **options)))


def test_split_folders(tmp_path: Path) -> None:
    images = tmp_path / "photos"
    touch(
        images,
        "train/cat/1, a.jpg",
        "train/cat/deeper/2.PNG",
        "train/dog/1.jpg",
        "val/cat/9.jpg",
        "val/dog/9.jpg",
        "test/dog/7.jpg",
        "train/dog/readme.txt",
        "train/dog/._1.jpg",
    )
    table = build(tmp_path, images)
    assert table.task == "single-label"
    assert table.classes == ("cat", "dog")
    assert by_key(table) == {
        "train/cat/1, a.jpg": ("train", "cat", "", "", 0),
        "train/cat/deeper/2.PNG": ("train", "cat", "", "", 0),
        "train/dog/1.jpg": ("train", "dog", "", "", 0),
        "val/cat/9.jpg": ("validation", "cat", "cat", "", 2),
        "val/dog/9.jpg": ("validation", "dog", "dog", "", 2),
        "test/dog/7.jpg": ("test", "dog", "dog", "", 2),
    }
    assert table.image_path(0).is_file()
    assert table.info["other_files"] == 1


def test_class_folders_are_split_class_by_class_and_by_the_seed(tmp_path: Path) -> None:
    images = tmp_path / "photos"
    touch(images, *(f"{name}/{i:02d}.jpg" for name, n in (("a", 40), ("b", 20), ("c", 1)) for i in range(n)))
    table = build(tmp_path, images)
    counts = {
        name: np.bincount(table.noisy[table.rows(name)].indices, minlength=3).tolist()
        for name in ("train", "validation", "test")
    }
    assert counts == {"train": [32, 16, 1], "validation": [4, 2, 0], "test": [4, 2, 0]}
    assert (table.verification == 0).all(), (
        "a split that was drawn is no more verified than the images it was drawn from"
    )
    again = read_dataset(build_folders(BuildFolders(images=images, output=tmp_path / "again")))
    assert np.array_equal(again.split, table.split)
    other = read_dataset(build_folders(BuildFolders(images=images, output=tmp_path / "other", seed=1)))
    assert not np.array_equal(other.split, table.split)


def test_images_for_testing_alone(tmp_path: Path) -> None:
    touch(tmp_path / "photos", *(f"test/{name}/{i}.jpg" for name in ("cat", "dog") for i in range(4)))
    table = build(tmp_path, tmp_path / "photos", verified=("test",))
    assert [len(table.rows(split)) for split in ("train", "validation", "test")] == [0, 0, 8]
    assert table.verification.tolist() == [FULL] * 8


def test_only_validation_is_drawn_where_test_is_there(tmp_path: Path) -> None:
    images = tmp_path / "photos"
    touch(images, *(f"train/{name}/{i}.jpg" for name in "ab" for i in range(10)), "test/a/0.jpg", "test/b/0.jpg")
    table = build(tmp_path, images, validation_share=0.2, verified=("train", "validation", "test"))
    assert [len(table.rows(name)) for name in ("train", "validation", "test")] == [16, 4, 2]
    assert (table.verification == 2).all()


def test_drawn_splits_are_as_verified_as_train(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = tmp_path / "photos"
    touch(images, *(f"{name}/{i}.jpg" for name in "ab" for i in range(10)))
    build(tmp_path, images)
    said = capsys.readouterr().err
    assert "nobody checked any of these images, so how many labels are wrong cannot be known" in said
    assert "--table with the column 'verification'" in said
    table = build(tmp_path / "all", images, verified=("train", "validation", "test"))
    assert (table.verification == 2).all(), "whoever checked every folder checked what is drawn from them"
    assert "nobody checked" not in capsys.readouterr().err
    with pytest.raises(NlcliError, match="--verified test: there is no folder 'test'.*add --verified train"):
        build(tmp_path / "test", images, verified=("test",))


def test_splits_are_drawn_among_checked_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """40 images of a, 12 checked; 40 of b, 3 checked; 40 of c, 2 checked: a third of each for validation and for test."""
    images, rows = tmp_path / "photos", ["path,noisy_label,verification"]
    for name, checked in (("a", 12), ("b", 3), ("c", 2)):
        for i in range(40):
            touch(images, f"{name}{i:02d}.jpg")
            rows.append(f"{name}{i:02d}.jpg,{name},{int(i % 4 > 0) if i < checked else ''}")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    table = build(tmp_path, images, table=tmp_path / "labels.csv", test_share=0.2, validation_share=0.05)
    state = by_key(table)
    drawn = {split: [key for key in sorted(state) if state[key][0] == split] for split in ("validation", "test")}
    # 20 % of 40 are 8, but a third of a's 12 checked ones is 4; 5 % of 40 are 2; b gives one to each, c to one.
    assert {split: "".join(key[0] for key in keys) for split, keys in drawn.items()} == {
        "validation": "aabc",
        "test": "aaaab",
    }
    assert all(state[key][4] == 1 for keys in drawn.values() for key in keys)
    said = capsys.readouterr().err
    assert "drew 5 for test and 4 for validation from the checked training images" in said
    assert "1 of 3 classes have no checked image in test (c); what is measured there says nothing of them" in said


def test_a_limit_keeps_a_share_of_every_class_and_smaller_ones_are_nested(tmp_path: Path) -> None:
    """Shares stay as they are, but no class is left without an image."""
    touch(
        tmp_path / "images",
        *(
            f"{split}/{name}/{n}.jpg"
            for split, count in (("train", 1), ("test", 2))
            for name, images in (("a", 40), ("b", 8), ("c", 2))
            for n in range(images // count)
        ),
    )
    whole = by_key(build(tmp_path, tmp_path / "images"))
    kept = {}
    for limit in (10, 20, 1000):
        table = build(tmp_path / str(limit), tmp_path / "images", limit=limit)
        kept[limit] = by_key(table)
        assert kept[limit].items() <= whole.items()
        assert table.classes == ("a", "b", "c")
        train = table.rows("train")
        assert len(train) == min(limit, len([key for key in whole if whole[key][0] == "train"]))
        counts = np.asarray((table.noisy[train] > 0).sum(axis=0)).ravel()
        assert counts.min() >= 1
        assert counts[0] >= 7 * counts[2]
    assert set(kept[10]) < set(kept[20]) < set(kept[1000])
    assert len(kept[1000]) == len(whole)
    assert set(by_key(build(tmp_path / "again", tmp_path / "images", limit=10))) == set(kept[10])


def test_no_limit_leaves_the_recipe_as_it_was_before_limits() -> None:
    config = BuildFolders(images=Path("a"), output=Path("b"))
    assert "limit" not in config.recipe()
    assert config.model_copy(update={"limit": 5}).recipe()["limit"] == 5


def test_folders_of_another_layout_are_told_what_to_do(tmp_path: Path) -> None:
    touch(tmp_path / "flat", "1.jpg", "2.jpg")
    with pytest.raises(NlcliError, match=r"2 images lie in .*flat itself \(1\.jpg, 2\.jpg\), and no folder of a class"):
        build(tmp_path, tmp_path / "flat")
    touch(tmp_path / "wrapped", "photos/a/1.jpg", "photos/b/1.jpg")
    with pytest.raises(NlcliError, match=r"give .*wrapped/photos as the folder of images"):
        build(tmp_path, tmp_path / "wrapped")
    touch(tmp_path / "sets", "training_set/a/1.jpg", "training_set/b/1.jpg", "test_set/a/1.jpg", "test_set/b/1.jpg")
    with pytest.raises(NlcliError, match="'test_set' in .* is called like a split; rename the splits"):
        build(tmp_path, tmp_path / "sets")
    touch(tmp_path / "years", "train2017/a/1.jpg", "train2017/b/1.jpg", "val/a/1.jpg", "val/b/1.jpg")
    with pytest.raises(NlcliError, match="'train2017' in .* is called like a split"):
        build(tmp_path, tmp_path / "years")
    touch(tmp_path / "phone", "a/1.jpg", "b/1.HEIC", "b/2.heic")
    with pytest.raises(
        NlcliError, match=r"has no images that are read, but 2 pictures, .*1\.HEIC, 2\.heic.*convert them"
    ):
        build(tmp_path, tmp_path / "phone")


def test_the_result_may_lie_among_the_images(tmp_path: Path) -> None:
    touch(tmp_path / "images", *(f"{c}/{i}.jpg" for c in "ab" for i in range(12)))
    config = BuildFolders(images=tmp_path / "images", output=tmp_path / "images" / "ds")
    before = read_stage(build_folders(config)).fingerprint
    assert read_stage(build_folders(config)).fingerprint == before  # up to date: it is not taken for a class
    assert read_dataset(config.output).classes == ("a", "b")
    with pytest.raises(NlcliError, match="was made by nlcli and has no folders of classes"):
        build(tmp_path, config.output)
    with pytest.raises(NlcliError, match=r"1\.jpg is a file; give the folder"):
        build(tmp_path, tmp_path / "images" / "a" / "1.jpg")


def test_folders_that_cannot_be_read_as_classes(tmp_path: Path) -> None:
    with pytest.raises(NlcliError, match="does not exist"):
        build(tmp_path, tmp_path / "nothing")
    touch(tmp_path / "mixed", "train/a/1.jpg", "b/1.jpg")
    with pytest.raises(NlcliError, match="the split 'train' and the folder 'b' side by side"):
        build(tmp_path, tmp_path / "mixed")
    touch(tmp_path / "twice", "val/a/1.jpg", "validation/a/1.jpg")
    with pytest.raises(NlcliError, match="for the same split"):
        build(tmp_path, tmp_path / "twice")
    touch(tmp_path / "hollow", "a/1.jpg", "b/readme.txt")
    with pytest.raises(NlcliError, match=r"class folder .*hollow/b has no images"):
        build(tmp_path, tmp_path / "hollow")
    touch(tmp_path / "one", "a/1.jpg")
    with pytest.raises(NlcliError, match="only one class"):
        build(tmp_path, tmp_path / "one")
    touch(tmp_path / "loop", "a/1.jpg", "b/1.jpg")
    (tmp_path / "loop/a/again").symlink_to(tmp_path / "loop/a")
    with pytest.raises(NlcliError, match="is a link to a folder above it"):
        build(tmp_path, tmp_path / "loop")


TABLE = """path,noisy_label,clean_label,verification,split
"x, 1.jpg",a,b,,train
2.jpg,a,,1,train
3.jpg,b,,0,train
4.jpg,,a,,val
5.jpg,b,,-1,train
6.jpg,b,b,1,test
"""


def test_a_table_of_labels(tmp_path: Path) -> None:
    images = tmp_path / "images"
    touch(images, "x, 1.jpg", *(f"{i}.jpg" for i in range(2, 7)))
    (tmp_path / "labels.csv").write_text(TABLE)
    table = build(tmp_path, images, table=tmp_path / "labels.csv")
    assert by_key(table) == {
        "x, 1.jpg": ("train", "a", "b", "", 2),
        "2.jpg": ("train", "a", "a", "", 1),
        "3.jpg": ("train", "b", "", "b", 1),
        "4.jpg": ("validation", "", "a", "", 2),
        "5.jpg": ("train", "b", "", "", 0),
        "6.jpg": ("test", "b", "b", "", 2),
    }


def test_the_label_column_may_be_called_label(tmp_path: Path) -> None:
    images = tmp_path / "photos"
    touch(images, "1.jpg", "2.jpg")
    listing = tmp_path / "labels.csv"
    listing.write_text("path,label\n1.jpg,cat\n2.jpg,dog\n")
    table = build(tmp_path, images, table=listing, validation_share=0, test_share=0)
    assert by_key(table) == {"1.jpg": ("train", "cat", "", "", 0), "2.jpg": ("train", "dog", "", "", 0)}
    for header, message in (
        ("path,label,noisy_label\n1.jpg,cat,cat\n", "both columns 'noisy_label' and 'label'.*keep one"),
        ("path,clean_label\n1.jpg,cat\n", "no column 'noisy_label' among path, clean_label"),
    ):
        listing.write_text(header)
        with pytest.raises(NlcliError, match=message):
            read_image_table(listing)


def test_images_of_a_group_come_into_one_split(tmp_path: Path) -> None:
    images = tmp_path / "photos"
    rows = [(f"{i:03d}.jpg", "cat" if i % 2 else "dog", f"object {i // 3}" if i < 90 else "") for i in range(120)]
    touch(images, *(path for path, _, _ in rows))
    listing = write_labels(tmp_path / "labels.csv", rows, "label", "group")
    table = build(tmp_path, images, table=listing, validation_share=0.2, test_share=0.2)
    split = dict(zip(table.keys, table.split, strict=True))
    groups: dict[str, set[int]] = {}
    for path, _, group in rows:
        groups.setdefault(group, set()).add(int(split[path]))
    assert groups.pop("") == {0, 1, 2}  # those without a group are drawn one by one
    assert all(len(of) == 1 for of in groups.values())
    assert set.union(*groups.values()) == {0, 1, 2}


def test_the_same_table_as_parquet(tmp_path: Path) -> None:
    columns = {
        "path": ["1.jpg", "2.jpg"],
        "noisy_label": ["a", None],
        "clean_label": [None, "b"],
        "verification": pa.array([0, None], pa.int64()),
        "split": ["train", "test"],
    }
    pq.write_table(pa.table(columns), tmp_path / "labels.parquet")
    listed = read_image_table(tmp_path / "labels.parquet")
    assert (listed.noisy, listed.clean, listed.right, listed.split) == (["a", None], [None, "b"], [0, -1], [0, 2])
    pq.write_table(pa.table({"path": [[1]], "noisy_label": ["a"]}), tmp_path / "labels.parquet")
    with pytest.raises(NlcliError, match="column 'path' holds lists, expected one value a cell"):
        read_image_table(tmp_path / "labels.parquet")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("2.jpg,a", "../2.jpg,a"), r"line 3: '../2.jpg' is not a path inside the image folder"),
        (("2.jpg,a", "3.jpg,a"), "line 4: '3.jpg' already stands in line 3"),
        (("4.jpg,,a", "4.jpg,,"), "line 5: '4.jpg' has neither"),
        ((",0,train", ",maybe,train"), "line 4: verification 'maybe' is none of 1"),
        (("b,b,1", "b,a,1"), "line 7: verification 1 contradicts the labels"),
        ((",,a,,val", ",,a,,vall"), "line 5: unknown split 'vall'"),
        (("5.jpg,b,,-1,train", "5.jpg,b,,-1,"), "'5.jpg' has no split but others have"),
        (("5.jpg,b,,-1,train", "5.jpg,b,,-1"), "line 6: 4 cells, expected 5"),
        (("clean_label", "clean"), "unknown column 'clean'; did you mean 'clean_label'"),
        (("path,", "file,"), "there is no column 'path' among file, noisy_label"),
        ((",clean_label", ",noisy_label"), "the column 'noisy_label' stands twice"),
        (('"x, 1.jpg"', '"x, 1.jpg'), "cannot read"),
        ((",,a,,val", ",,a,1,val"), "line 5: '4.jpg' is verified but has no noisy label"),
    ],
)
def test_mistakes_in_a_table_are_named_with_their_line(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    assert change[0] in TABLE
    (tmp_path / "labels.csv").write_text(TABLE.replace(change[0], change[1], 1))
    with pytest.raises(NlcliError, match=message):
        read_image_table(tmp_path / "labels.csv")


def write_labels(path: Path, rows: Sequence[tuple[object, ...]], *columns: str) -> Path:
    path.write_text("\n".join(",".join(map(str, row)) for row in [("path", *columns), *rows]) + "\n")
    return path


def test_labels_as_integers_and_as_floats_are_asked_about_and_made_one(tmp_path: Path) -> None:
    """As pandas writes a column of integers, and one with gaps."""
    rows = [(f"{i}.jpg", i % 3, f"{i % 3}.0" if i % 2 else "") for i in range(30)]
    labels = write_labels(tmp_path / "t.csv", rows, "noisy_label", "clean_label")
    touch(tmp_path / "images", *(str(row[0]) for row in rows))
    with pytest.raises(
        NlcliError, match=r"t\.csv: '0' \(10 images\) and '0\.0' \(5 images\) read alike, and 2 more such"
    ):
        build(tmp_path, tmp_path / "images", table=labels)
    table = build(tmp_path, tmp_path / "images", table=labels, class_names="merge")
    assert table.classes == ("0", "1", "2")
    assert {row[1:3] for row in by_key(table).values() if row[2]} == {("0", "0"), ("1", "1"), ("2", "2")}
    (tmp_path / "kept").mkdir()
    assert build(tmp_path / "kept", tmp_path / "images", table=labels, class_names="keep").num_classes == 6


def test_a_table_is_the_same_read_at_once_and_row_by_row(tmp_path: Path) -> None:
    """One path written another way makes every row be looked at; the images are the same."""
    rows = [
        ("a/1.jpg", "cat", "", "", "train", "one"),
        ("a/2.jpg", "dog", "cat", "", "val", ""),
        ("3.jpg", "", "dog", "", "TEST", "one"),
        ("4.jpg", "cat", "", "0", "train", ""),
        ("5.jpg", "cat", "cat", "yes", "train", "two"),
        ("6.jpg", "Cat", "", "1.0", "train", ""),
    ]
    names = ("noisy_label", "clean_label", "verification", "split", "group")
    at_once = read_image_table(write_labels(tmp_path / "plain.csv", rows, *names))
    assert at_once.noisy == ["cat", "dog", None, "cat", "cat", "Cat"]
    assert at_once.clean == [None, "cat", "dog", None, "cat", None]
    assert (at_once.right, at_once.split) == ([-1, -1, -1, 0, 1, 1], [0, 1, 2, 0, 0, 0])
    assert at_once.group == ["one", "", "one", "", "two", ""]
    again = [("./a//1.jpg", *rows[0][1:]), *rows[1:]]
    assert read_image_table(write_labels(tmp_path / "odd.csv", again, *names)) == at_once
    few = [row[:2] for row in rows if row[1]]
    assert read_image_table(write_labels(tmp_path / "few.csv", few, "label")) == read_image_table(
        write_labels(tmp_path / "few-odd.csv", [(f"./{path}", name) for path, name in few], "label")
    )


def test_verification_as_programs_write_it(tmp_path: Path) -> None:
    marks = {"1": 1, "0": 0, "1.0": 1, "0.0": 0, "True": 1, "FALSE": 0, "yes": 1, "No": 0, "": -1, "-1": -1, "-1.0": -1}
    rows = [(f"{i}.jpg", "a", mark) for i, mark in enumerate(marks)]
    listed = read_image_table(write_labels(tmp_path / "t.csv", rows, "noisy_label", "verification"))
    assert listed.right == list(marks.values())


def test_parquet_and_csv_of_one_table_are_one_data_set(tmp_path: Path) -> None:
    names = [f"{i}.jpg" for i in range(12)]
    touch(tmp_path / "images", *names)
    columns = {
        "path": names,
        "noisy_label": ["dress " if i % 3 else " hat" for i in range(12)],
        "verification": [(1.0, 0.0, None)[i % 3] for i in range(12)],
        "__index_level_0__": list(range(12)),
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    rows = [
        (name, columns["noisy_label"][i], "" if i % 3 == 2 else columns["verification"][i])
        for i, name in enumerate(names)
    ]
    write_labels(tmp_path / "t.csv", rows, "noisy_label", "verification")
    by_kind = {}
    for kind in ("csv", "parquet"):
        (tmp_path / kind).mkdir()
        by_kind[kind] = by_key(build(tmp_path / kind, tmp_path / "images", table=tmp_path / f"t.{kind}"))
    assert by_kind["csv"] == by_kind["parquet"]
    assert by_kind["csv"]["0.jpg"][1:] == ("hat", "hat", "", 1)
    assert by_kind["csv"]["1.jpg"][1:] == ("dress", "", "dress", 1)


def test_words_for_no_label_and_tags_are_asked_about(tmp_path: Path) -> None:
    touch(tmp_path / "photos", "a/1.jpg", "a/2.jpg", "A/1.jpg", "b/1.jpg", "b/2.jpg", "b/3.jpg")
    with pytest.raises(NlcliError, match=r"photos: 'a' \(2 images\) and 'A' \(1 images\) read alike"):
        build(tmp_path, tmp_path / "photos")
    assert build(tmp_path, tmp_path / "photos", class_names="merge").classes == ("a", "b")
    touch(tmp_path / "nan/photos", "a/1.jpg", "nan/1.jpg", "b/2.jpg")
    with pytest.raises(NlcliError, match=r"'nan' \(1 images\) reads as if there were no label; move this folder else"):
        build(tmp_path / "nan", tmp_path / "nan/photos")
    tags = ["cat|dog", "cat", "dog|car", "bus"]
    rows = [(f"a/{i}.jpg", tags[i % 4]) for i in range(8)]
    labels = write_labels(tmp_path / "tags.csv", rows, "noisy_label")
    touch(tmp_path / "tags", *(path for path, _ in rows))
    with pytest.raises(NlcliError, match=r"'cat\|dog' \(2 images\), 'dog\|car' \(2 images\) look like several labels"):
        build(tmp_path / "tags", tmp_path / "tags", table=labels)


def test_a_contradiction_that_merging_brings_up_is_told(tmp_path: Path) -> None:
    rows = [("1.jpg", "Dress", "dress", 0), ("2.jpg", "hat", "", "")]
    touch(tmp_path / "images", "1.jpg", "2.jpg")
    labels = write_labels(tmp_path / "t.csv", rows, "noisy_label", "clean_label", "verification")
    with pytest.raises(NlcliError, match=r"of '1\.jpg', verification 0 contradicts the labels"):
        build(tmp_path, tmp_path / "images", table=labels, class_names="merge")


def test_given_classes_say_how_they_are_spelled(tmp_path: Path) -> None:
    touch(tmp_path / "images", "1.jpg", "2.jpg", "3.jpg")
    labels = write_labels(tmp_path / "t.csv", [("1.jpg", "DRESS"), ("2.jpg", "hat"), ("3.jpg", "hat")], "noisy_label")
    (tmp_path / "classes.txt").write_text("hat\ndress\n")
    with pytest.raises(NlcliError, match="unknown class 'DRESS'"):
        build(tmp_path, tmp_path / "images", table=labels, classes=tmp_path / "classes.txt")
    options = {"table": labels, "classes": tmp_path / "classes.txt", "class_names": "merge"}
    assert by_key(build(tmp_path, tmp_path / "images", **options))["1.jpg"][1] == "dress"


def test_missing_images_are_counted_named_and_left_out(tmp_path: Path) -> None:
    images = tmp_path / "images"
    touch(images, "x, 1.jpg", *(f"{i}.jpg" for i in range(3, 7)))
    (tmp_path / "labels.csv").write_text(TABLE)
    with pytest.raises(NlcliError, match=r"1 of 6 listed images are not in .* \(2\.jpg\); .*--allow-missing 0\.17"):
        build(tmp_path, images, table=tmp_path / "labels.csv")
    table = build(tmp_path, images, table=tmp_path / "labels.csv", allow_missing=0.2)
    assert "2.jpg" not in table.keys.tolist()
    assert (tmp_path / "out" / "left_out.csv").read_text() == "key,list,reason\n2.jpg,table,missing\n"


def test_a_path_that_no_file_system_takes_is_missing_as_others(tmp_path: Path) -> None:
    touch(tmp_path / "photos", "a.jpg", "b.jpg")
    (tmp_path / "t.csv").write_text("path,noisy_label\na.jpg,x\nb.jpg,y\n" + "z" * 5000 + ".jpg,x\n")
    config = BuildFolders(images=tmp_path / "photos", table=tmp_path / "t.csv", output=tmp_path / "out")
    with pytest.raises(NlcliError, match=r"1 of 3 listed images are not in .*complete the folder, or leave them out"):
        build_folders(config)


def test_given_classes_keep_their_order(tmp_path: Path) -> None:
    images = tmp_path / "photos"
    touch(images, "train/a/1.jpg", "train/b/1.jpg", "test/b/2.jpg", "validation/b/2.jpg")
    (tmp_path / "classes.txt").write_text("b\nc\na\n")
    table = build(tmp_path, images, classes=tmp_path / "classes.txt")
    assert table.classes == ("b", "c", "a")
    (tmp_path / "classes.txt").write_text("b\nc\n")
    with pytest.raises(NlcliError, match="unknown class 'a'"):
        build_folders(BuildFolders(images=images, output=tmp_path / "out2", classes=tmp_path / "classes.txt"))


def test_real_photographs(shared_data: Path, tmp_path: Path) -> None:
    table = build(tmp_path, shared_data / "clothing", verified=("train", "validation", "test"))
    assert [len(table.rows(name)) for name in ("train", "validation", "test")] == [3068, 341, 372]
    assert table.num_classes == 10
    assert (table.verification == 2).all()
    assert table.image_path(0).is_file()


def test_a_table_of_tags_is_sent_to_its_builder(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path,noisy,split\na.jpg,cat|dog,train\n")
    with pytest.raises(NlcliError, match="'noisy' is of tables with several labels an image, which nlcli build-tags"):
        read_image_table(tmp_path / "t.csv")
