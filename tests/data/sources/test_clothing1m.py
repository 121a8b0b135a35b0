"""Clothing1M's lists: commas in names, sets that overlap, malformed lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from nlcli.data.config import BuildClothing1M
from nlcli.data.label_files import read_dataset
from nlcli.data.labels import LabelTable
from nlcli.data.sources.clothing1m import PUBLISHED, build_clothing1m
from nlcli.errors import NlcliError
from nlcli.stages.stage import read_stage
from worlds.folders import by_key, touch

A, B, C, D, E, F = (f"images/{i}/4{i},31675{i}.jpg" for i in range(6))
NAMES = tuple(f"name {i}" for i in range(14))


def write_lists(root: Path, folder: str = "", **changes: str) -> None:
    lists = {
        "noisy_train_key_list.txt": f"{A}\n{B}\n{D}\n",
        "clean_train_key_list.txt": f"{B}\n{C}\n",
        "clean_val_key_list.txt": f"{D}\n{E}\n",
        "clean_test_key_list.txt": f"{F}\n",
        "noisy_label_kv.txt": f"{A} 0\n{B} 1\n{D} 2\n{F} 13\n",
        "clean_label_kv.txt": f"{B} 3\n{C} 4\n{D} 2\n{E} 5\n{F} 13\n",
        "category_names_eng.txt": "\n".join(NAMES) + "\n",
    } | {name.replace("__", "."): text for name, text in changes.items()}
    (root / folder).mkdir(parents=True, exist_ok=True)
    for name, text in lists.items():
        (root / folder / name).write_text(text)
    touch(root, A, B, C, D, E, F)


def build(tmp_path: Path, **options: float) -> LabelTable:
    return read_dataset(build_clothing1m(BuildClothing1M(root=tmp_path / "c", output=tmp_path / "out", **options)))


@pytest.mark.parametrize("folder", ["", "annotations"])
def test_splits_and_labels_by_hand(tmp_path: Path, folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    write_lists(tmp_path / "c", folder)
    table = build(tmp_path)
    assert table.classes == NAMES
    assert by_key(table) == {
        A: ("train", "name 0", "", "", 0),
        B: ("train", "name 1", "name 3", "", 2),  # in the noisy and in the clean training set
        C: ("train", "", "name 4", "", 2),
        D: ("validation", "name 2", "name 2", "", 2),  # a noisy training key as well
        E: ("validation", "", "name 5", "", 2),
        F: ("test", "name 13", "name 13", "", 2),
    }
    assert table.image_path(0) == tmp_path / "c" / A
    said = capsys.readouterr().err
    assert "1 images of the clean validation set are noisy training keys, too" in said
    assert "noisy_train 3 (published: 1,000,000)" in said
    summary = read_stage(tmp_path / "out").summary
    assert summary["noisy_keys_in_validation"] == 1
    assert summary["as_published"] is False
    assert (summary["train_noisy_right"], summary["train_noisy_checked"]) == (0.0, 1)  # of B; C has no noisy label
    assert (summary["test_noisy_right"], summary["test_noisy_checked"]) == (1.0, 1)
    assert table.info["counts"]["found"]["clean_with_noisy_label"] == 3
    assert f"{D},noisy_train,in clean_validation" in (tmp_path / "out/left_out.csv").read_text().replace('"', "")


def test_published_counts() -> None:
    assert sum(PUBLISHED[f"clean_{name}"] for name in ("train", "validation", "test")) == PUBLISHED["clean_labels"]
    assert PUBLISHED["noisy_train"] + PUBLISHED["clean_with_noisy_label"] == PUBLISHED["noisy_labels"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "clean_label_kv__txt",
            f"{B} 3\n{C}4\n",
            r"clean_label_kv.txt, line 2: 'images/.*' is not of the form 'images/... CLASS'",
        ),
        ("clean_label_kv__txt", f"{B} 3\n{C} x\n", "clean_label_kv.txt, line 2"),
        ("clean_label_kv__txt", f"{B} 14\n", "line 1: class 14 is not among 0 to 13"),
        ("clean_label_kv__txt", f"{B} 3\n{B} 4\n", "line 2: .* has class 4 here and 3 before"),
        ("noisy_label_kv__txt", f"{A} 0\n/etc/passwd 1\n", "line 2: '/etc/passwd' is not a path inside"),
        ("noisy_label_kv__txt", f"{A} 0\n{D} 1\n", rf"noisy_train_key_list.txt, entry 2: '{B}' has no label"),
        (
            "clean_test_key_list__txt",
            f"{F}\n{E}\n",
            r"clean_test_key_list.txt, entry 2: .* is also in .*clean_val_key_list.txt",
        ),
        ("clean_train_key_list__txt", f"{B}\n{C}\n\n{B}\n", "line 4: .* already stands in line 1"),
        ("category_names_eng__txt", "a\nb\n", "2 classes, expected 14"),
        ("noisy_train_key_list__txt", "", "is empty"),
    ],
)
def test_malformed_lists(tmp_path: Path, name: str, text: str, message: str) -> None:
    write_lists(tmp_path / "c", **{name: text})
    with pytest.raises(NlcliError, match=message):
        build(tmp_path)


def test_a_list_that_is_not_text(tmp_path: Path) -> None:
    write_lists(tmp_path / "c")
    (tmp_path / "c/clean_label_kv.txt").write_bytes(b"images/\xff\xfe 3\n")
    with pytest.raises(NlcliError, match="line 1: byte 7 is not UTF-8"):
        build(tmp_path)
    (tmp_path / "c/clean_label_kv.txt").unlink()
    with pytest.raises(NlcliError, match=r"clean_label_kv.txt is not in .* or .*annotations"):
        build(tmp_path)


def test_a_list_of_keys_that_is_cut_off_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a release that was not unpacked whole every list may end early; the labels tell what is missing."""
    write_lists(tmp_path / "c", noisy_train_key_list__txt=f"{B}\n", clean_val_key_list__txt=f"{D}\n")
    assert len(build(tmp_path)) == 4
    assert f"2 images that have a label are in no list of keys ({A}, {E}); they are left out" in capsys.readouterr().err
    assert read_stage(tmp_path / "out").summary["labels_of_unlisted_images"] == 2
    left_out = (tmp_path / "out/left_out.csv").read_text().replace('"', "")
    assert f"{A},labels,in no list of keys" in left_out
    assert f"{E},labels,in no list of keys" in left_out


def test_a_label_that_is_listed_again_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = f"{B} 3\n{C} 4\n{D} 2\n{E} 5\n{F} 13\n"
    write_lists(tmp_path / "c", clean_label_kv__txt=f"\ufeff{labels}\r\n{B} 3\r\n./{C} 4\n")
    assert len(build(tmp_path)) == 6
    said = capsys.readouterr().err
    assert "2 lines of" in said
    assert "clean_label_kv.txt list an image again, with the same class; each image counts once" in said


def test_missing_images(tmp_path: Path) -> None:
    write_lists(tmp_path / "c")
    (tmp_path / "c" / C).unlink()
    with pytest.raises(NlcliError, match="1 of 6 listed images are not in"):
        build(tmp_path)
    assert len(build(tmp_path, allow_missing=0.5)) == 5
