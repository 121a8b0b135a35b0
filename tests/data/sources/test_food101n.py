"""Food-101N's lists: headers everywhere, one image under two classes, right and wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from nlcli.data.config import BuildFood101N
from nlcli.data.label_files import read_dataset
from nlcli.data.labels import LabelTable
from nlcli.data.sources.food101n import build_food101n
from nlcli.errors import NlcliError
from nlcli.stages.stage import read_stage
from worlds.folders import by_key, touch

CLASSES = ("apple_pie", "filet_mignon", "hot_and_sour_soup", *(f"food_{i:02d}" for i in range(98)))
TWO = "a49e6fb26e356c6c41a37b5c18176355.jpg"
LISTED = ("apple_pie/1.jpg", "apple_pie/2.jpg", "apple_pie/3.jpg", f"filet_mignon/{TWO}", "hot_and_sour_soup/9.jpg")
MARKS = "class_name/key\tverification_label\n"


def write_lists(root: Path, **changes: str) -> None:
    lists = {
        "classes.txt": "class_name\n" + "\n".join(CLASSES) + "\n",
        "imagelist.tsv": "class_name/key\n" + "\n".join(LISTED) + "\n",
        "verified_train.tsv": f"{MARKS}apple_pie/1.jpg\t1\napple_pie/2.jpg\t0\nhot_and_sour_soup/{TWO}\t1\n",
        "verified_val.tsv": f"{MARKS}hot_and_sour_soup/9.jpg\t0\n",
        "test.txt": "apple_pie/1011328\nfilet_mignon/77\n",
    } | {name.replace("__", "."): text for name, text in changes.items()}
    for name, text in lists.items():
        folder = root / ("food-101" if name == "test.txt" else "Food-101N_release") / "meta"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    touch(root / "Food-101N_release/images", *LISTED)
    touch(root / "food-101/images", "apple_pie/1011328.jpg", "filet_mignon/77.jpg")


def build(tmp_path: Path) -> LabelTable:
    config = BuildFood101N(root=tmp_path / "Food-101N_release", food101=tmp_path / "food-101", output=tmp_path / "out")
    return read_dataset(build_food101n(config))


def test_splits_and_verification_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_lists(tmp_path)
    table = build(tmp_path)
    assert table.classes == CLASSES  # without the header
    assert by_key(table) == {
        "apple_pie/1.jpg": ("train", "apple_pie", "apple_pie", "", 1),
        "apple_pie/2.jpg": ("train", "apple_pie", "", "apple_pie", 1),
        "apple_pie/3.jpg": ("train", "apple_pie", "", "", 0),
        f"filet_mignon/{TWO}": ("train", "filet_mignon", "", "", 0),  # verified under another class
        "hot_and_sour_soup/9.jpg": ("validation", "hot_and_sour_soup", "", "hot_and_sour_soup", 1),
        "food-101/apple_pie/1011328": ("test", "", "apple_pie", "", 2),
        "food-101/filet_mignon/77": ("test", "", "filet_mignon", "", 2),
    }
    assert all(table.image_path(row).is_file() for row in range(len(table)))
    said = capsys.readouterr().err
    assert (
        f"1 verified images are not listed under that class; those verifications are left out (hot_and_sour_soup/{TWO})"
        in said
    )
    assert "images 5 (published: 310,009)" in said
    assert read_stage(tmp_path / "out").summary["train_noisy_right"] == 0.5


def test_an_image_listed_under_two_classes_is_two_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_lists(tmp_path, imagelist__tsv="class_name/key\n" + "\n".join([*LISTED, f"hot_and_sour_soup/{TWO}"]) + "\n")
    touch(tmp_path / "Food-101N_release/images", f"hot_and_sour_soup/{TWO}")
    rows = by_key(build(tmp_path))
    assert rows[f"filet_mignon/{TWO}"] == ("train", "filet_mignon", "", "", 0)
    assert rows[f"hot_and_sour_soup/{TWO}"] == ("train", "hot_and_sour_soup", "hot_and_sour_soup", "", 1)
    assert "2 images are listed under two classes; both rows are kept" in capsys.readouterr().err


def test_verified_for_training_and_validation_stays_in_validation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_lists(tmp_path, verified_val__tsv=f"{MARKS}apple_pie/1.jpg\t0\n")
    assert by_key(build(tmp_path))["apple_pie/1.jpg"] == ("validation", "apple_pie", "", "apple_pie", 1)
    assert "verified for training and for validation; they are kept in validation" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("imagelist__tsv", "apple_pie/1.jpg\n", "line 1: expected the header 'class_name/key'"),
        ("imagelist__tsv", "class_name/key\napple/1.jpg\n", "line 2: unknown class 'apple'; did you mean 'apple_pie'"),
        ("imagelist__tsv", "class_name/key\napple_pie\n", "line 2: 'apple_pie' is not of the form CLASS/KEY"),
        ("imagelist__tsv", "class_name/key\napple_pie/../../x\n", "line 2: .* is not of the form"),
        (
            "imagelist__tsv",
            "class_name/key\napple_pie/1.jpg\napple_pie/1.jpg\n",
            "line 3: 'apple_pie/1.jpg' is listed twice",
        ),
        ("verified_train__tsv", f"{MARKS}apple_pie/1.jpg 1\n", r"line 2: .* is not of the form 'CLASS/KEY<TAB>0\|1'"),
        ("verified_train__tsv", f"{MARKS}apple_pie/1.jpg\t2\n", "line 2"),
        (
            "verified_train__tsv",
            f"{MARKS}apple_pie/1.jpg\t1\napple_pie/1.jpg\t0\n",
            "line 3: .* is called right and wrong",
        ),
        ("verified_train__tsv", "apple_pie/1.jpg\t1\n", "line 1: expected the header"),
        ("classes__txt", "\n".join(CLASSES) + "\n", "100 classes, expected 101"),  # the header was cut off
        ("test__txt", "apple_pie/1\napple_pie/1\n", "line 2: 'apple_pie/1' is listed twice"),
    ],
)
def test_malformed_lists(tmp_path: Path, name: str, text: str, message: str) -> None:
    write_lists(tmp_path, **{name: text})
    with pytest.raises(NlcliError, match=message):
        build(tmp_path)


def test_food101_itself_is_clean_and_has_the_same_test_images(tmp_path: Path) -> None:
    write_lists(tmp_path)
    names = [f"{name}/{number}" for name in ("apple_pie", "filet_mignon") for number in range(20)]
    (tmp_path / "food-101/meta/train.txt").write_text("\n".join(names) + "\n")
    touch(tmp_path / "food-101/images", *(f"{name}.jpg" for name in names))
    config = BuildFood101N(
        root=tmp_path / "Food-101N_release", food101=tmp_path / "food-101", output=tmp_path / "clean", train="food-101"
    )
    table = read_dataset(build_food101n(config))
    rows = by_key(table)
    assert table.classes == CLASSES
    assert [len(table.rows(split)) for split in ("train", "validation", "test")] == [36, 4, 2]
    assert rows["filet_mignon/3"] in (("train", "", "filet_mignon", "", 2), ("validation", "", "filet_mignon", "", 2))
    assert rows["apple_pie/1011328"] == ("test", "", "apple_pie", "", 2)
    assert table.image_path(0).is_file()
    assert "train" not in BuildFood101N(root=tmp_path, food101=tmp_path, output=tmp_path).recipe()
    (tmp_path / "food-101/meta/train.txt").write_text("apple_pie/1011328\n")
    with pytest.raises(NlcliError, match=r"test.txt: 'apple_pie/1011328' is a training image as well"):
        build_food101n(config.model_copy(update={"output": tmp_path / "again"}))
