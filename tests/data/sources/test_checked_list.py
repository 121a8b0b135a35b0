"""Tables of checked images beside folders, tables and tags: how images are matched, and what they come to."""

from __future__ import annotations

from pathlib import Path

import pytest

from nlcli.data.config import BuildFolders, BuildTags
from nlcli.data.label_files import read_dataset
from nlcli.data.labels import LabelTable
from nlcli.data.sources.checked_list import match_images
from nlcli.data.sources.folders import build_folders
from nlcli.data.sources.tags import build_tags
from nlcli.errors import NlcliError
from worlds.folders import by_key, touch


def folders(tmp_path: Path, checked: str, **options: object) -> LabelTable:
    """Classes cat and dog of 20 images each, in folders, and a table of checked ones."""
    touch(tmp_path / "photos", *(f"{name}/{i:02d}.jpg" for name in ("cat", "dog") for i in range(20)))
    (tmp_path / "checked.csv").write_text(checked)
    config = {"images": tmp_path / "photos", "output": tmp_path / "out", "checked": tmp_path / "checked.csv"}
    return read_dataset(build_folders(BuildFolders.parse(config | options)))


def test_images_are_matched_by_key_or_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "photos/cat/1.jpg", "photos/2.jpg", "lists/x")
    monkeypatch.chdir(tmp_path)
    given = ["cat/1.jpg", "./2.jpg", str(tmp_path / "photos/cat/1.jpg"), "photos/2.jpg", "../photos/2.jpg", "1.jpg"]
    given += ["/cat/1.jpg", "../2.jpg"]
    found = match_images(given, ["cat/1.jpg", "2.jpg"], Path("photos"), Path("lists/checked.csv"))
    assert found.tolist() == [0, 1, 0, 1, 1, -1, -1, -1]


def test_true_classes_beside_folders(tmp_path: Path) -> None:
    rows = [f"cat/{i:02d}.jpg,{'dog' if i < 2 else 'cat'}" for i in range(9)] + [
        f"dog/{i:02d}.jpg,dog" for i in range(9)
    ]
    table = folders(tmp_path, "path,label\n" + "\n".join(rows) + "\n")
    state = by_key(table)
    assert {key: entry[1:] for key, entry in state.items() if entry[4]} == {
        f"{noisy}/{i:02d}.jpg": (noisy, "dog" if i < 2 else noisy, "", 2) for noisy in ("cat", "dog") for i in range(9)
    }
    drawn = [key for key, entry in state.items() if entry[0] != "train"]
    assert drawn
    assert all(state[key][4] == 2 for key in drawn), "drawn among what was checked"
    for split in ("train", "validation", "test"):
        assert {entry[2] for entry in state.values() if entry[0] == split} >= {"cat", "dog"}


def test_sheets_of_suggest_are_tables_of_checked_images(tmp_path: Path) -> None:
    """``to_answer.csv`` has key and path, columns that say nothing of what was seen, and rows that were skipped."""
    head = "key,path,noisy_label,suggested,reason,label,right,annotator,time,skipped\n"
    rows = "cat/00.jpg,cat/00.jpg,cat,dog,why,dog,,ann,,\ncat/01.jpg,cat/01.jpg,cat,dog,why,dog,,ann,,1\n"
    state = by_key(folders(tmp_path, head + rows + "cat/02.jpg,cat/02.jpg,cat,dog,why,,,,,\n"))
    assert [state[f"cat/{i:02d}.jpg"][1:] for i in range(3)] == [
        ("cat", "dog", "", 2),
        ("cat", "", "", 0),
        ("cat", "", "", 0),
    ]


def test_right_and_wrong_beside_folders(tmp_path: Path) -> None:
    table = folders(tmp_path, "key;right\ncat/00.jpg;right\ncat/01.jpg;wrong\ndog/00.jpg;1\ndog/01.jpg;\n")
    state = by_key(table)
    assert [state[key][1:] for key in ("cat/00.jpg", "cat/01.jpg", "dog/00.jpg", "dog/01.jpg")] == [
        ("cat", "cat", "", 1),
        ("cat", "", "cat", 1),
        ("dog", "dog", "", 1),
        ("dog", "", "", 0),
    ]
    assert sum(entry[4] for entry in state.values()) == 3


def test_from_all_images(tmp_path: Path) -> None:
    checked = "path,right\n" + "".join(f"{c}/{i:02d}.jpg,1\n" for c in ("cat", "dog") for i in range(10))
    table = folders(tmp_path, checked, draw_from="all", validation_share=0.2, test_share=0.2)
    state = by_key(table)
    for split in ("validation", "test"):
        assert sorted(entry[1:] for entry in state.values() if entry[0] == split) == [
            *[("cat", "", "", 0)] * 2,
            *[("cat", "cat", "", 1)] * 2,
            *[("dog", "", "", 0)] * 2,
            *[("dog", "dog", "", 1)] * 2,
        ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("path,label\n00.jpg,cat\n", r"1 of 1 images.*\(00\.jpg\).*a file's name alone is not enough.*'dog/00\.jpg'"),
        ("path,label\ncat/xx.jpg,cat\n", "1 of 1 images of .* are not among those of .*write the paths as they are in"),
        ("path,label\ncat/00.jpg,cat\n./cat/00.jpg,dog\n", "'cat/00.jpg' and './cat/00.jpg' are one image"),
        ("path,right\ncat/00.jpg,maybe\n", "line 2: 'maybe' is none of right, 1"),
        ("path,split\ncat/00.jpg,train\n", "unknown column 'split'"),
        ("path\ncat/00.jpg\n", "neither the column 'label'"),
        ("path,key,label\na,b,cat\n", "has the columns path, key, label; expected"),
        ("path,label\n", "has no rows"),
        ("path,label\n,cat\n", "line 2: the path is empty"),
        (
            "path,label,right\ncat/00.jpg,dog,1\n",
            "line 2: what is said of 'cat/00.jpg' .noisy 'cat', true 'dog', right.",
        ),
        ("path,label\ncat/00.jpg,Dog\n", "'dog' .20 images. and 'Dog' .1 images. read alike"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(NlcliError, match=sentence):
        folders(tmp_path, text)


def test_one_in_a_hundred_may_be_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    touch(tmp_path / "photos", *(f"{name}/{i:03d}.jpg" for name in ("cat", "dog") for i in range(60)))
    text = "path,label\n" + "".join(f"{name}/{i:03d}.jpg,{name}\n" for name in ("cat", "dog") for i in range(60))
    folders(tmp_path, text + "gone.jpg,cat\n")
    assert "warning: 1 of 121 images of" in capsys.readouterr().err
    assert "gone.jpg,checked,no such image" in (tmp_path / "out/left_out.csv").read_text()


def test_a_verified_folder_says_otherwise(tmp_path: Path) -> None:
    touch(tmp_path / "photos", "train/cat/1.jpg", "train/dog/1.jpg", "test/cat/1.jpg", "test/dog/1.jpg")
    (tmp_path / "checked.csv").write_text("path,label\ntest/cat/1.jpg,dog\n")
    options = {"images": tmp_path / "photos", "output": tmp_path / "out", "checked": tmp_path / "checked.csv"}
    with pytest.raises(NlcliError, match="is 'dog' here and known to be 'cat' otherwise.*left out of --verified"):
        build_folders(BuildFolders.parse(options))
    table = read_dataset(build_folders(BuildFolders.parse(options | {"verified": ["train"]})))
    assert by_key(table)["test/cat/1.jpg"] == ("test", "cat", "dog", "", 2)


def test_another_table_is_another_result(tmp_path: Path) -> None:
    folders(tmp_path, "path,label\ncat/00.jpg,cat\n")
    with pytest.raises(NlcliError, match="content of checked"):
        folders(tmp_path, "path,label\ncat/00.jpg,dog\n")


# --- tags ------------------------------------------------------------------------------------


def tags(tmp_path: Path, checked: str, name: str = "checked.csv", **options: object) -> LabelTable:
    touch(tmp_path / "photos", "a.jpg", "b/c.jpg", "d.jpg", "e.jpg")
    (tmp_path / "tags.csv").write_text(
        "path,noisy,split\na.jpg,cat|dog,train\nb/c.jpg,dog,train\nd.jpg,bird,validation\ne.jpg,,test\n"
    )
    (tmp_path / name).write_text(checked)
    config = {"table": tmp_path / "tags.csv", "images": tmp_path / "photos", "checked": tmp_path / name}
    return read_dataset(build_tags(BuildTags.parse(config | {"output": tmp_path / "out"} | options)))


def test_wide_beside_tags(tmp_path: Path) -> None:
    whole = tmp_path / "photos/b/c.jpg"
    text = f"path,present,absent,verified\na.jpg,cat,dog,listed\n{whole},dog|fish,,full\ne.jpg,,,full\n"
    table = tags(tmp_path, text)
    assert table.classes == ("bird", "cat", "dog", "fish")
    assert by_key(table) == {
        "a.jpg": ("train", "cat,dog", "cat", "dog", 1),
        "b/c.jpg": ("train", "dog", "dog,fish", "", 2),
        "d.jpg": ("validation", "bird", "", "", 0),
        "e.jpg": ("test", "", "", "", 2),
    }


def test_long_beside_tags(tmp_path: Path) -> None:
    table = tags(
        tmp_path, "path,label,right\na.jpg,cat,right\na.jpg,dog,wrong\nd.jpg,bird,0\n", verified_means="listed"
    )
    assert by_key(table)["a.jpg"] == ("train", "cat,dog", "cat", "dog", 1)
    assert by_key(table)["d.jpg"] == ("validation", "bird", "", "bird", 1)


def test_what_is_not_listed_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(NlcliError, match="nothing says what a class means that is not listed there"):
        tags(tmp_path, "path,present\na.jpg,cat\n")
    table = tags(tmp_path, '{"path": "a.jpg", "present": ["cat"]}\n', "checked.jsonl", verified_means="full")
    assert by_key(table)["a.jpg"] == ("train", "cat,dog", "cat", "", 2)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("path,present,split\na.jpg,cat,train\n", "leave out 'split'"),
        ("path,present\nc.jpg,dog\n", r"a file's name alone is not enough.*'b/c\.jpg'"),
        ("path,label,right,confidence\na.jpg,cat,1,1\n", "both the columns 'confidence' and 'right'"),
        ("path,key,label\na.jpg,a,cat\n", "a column 'path' or 'key'"),
        ("path,present\n,dog\n", "line 2: '' is not a path inside"),
    ],
)
def test_mistakes_beside_tags(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(NlcliError, match=sentence):
        tags(tmp_path, text, verified_means="full")


def test_a_column_that_only_checked_tables_have(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    (tmp_path / "t.csv").write_text("path,label,right\na.jpg,cat,1\n")
    with pytest.raises(NlcliError, match="'right' is of tables of checked images; give this one as --checked"):
        build_tags(BuildTags(table=tmp_path / "t.csv", output=tmp_path / "out"))
