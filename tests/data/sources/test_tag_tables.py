"""Tables of tags: wide, long, metadata of image folders, and every mistake with its line."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nlcli.data.sources.tag_tables import read_metadata, read_tag_table, split_tags
from nlcli.data.sources.tagged_images import CHECKED, EVERYTHING, LISTED, UNCHECKED, UNSAID, Entries, TaggedImages
from nlcli.errors import NlcliError


def listed(tagged: TaggedImages, part: Entries) -> dict[str, dict[str, float]]:
    """path -> name -> confidence."""
    found: dict[str, dict[str, float]] = {path: {} for path in tagged.paths}
    for image, name, confidence in zip(part.image, part.name, part.confidence.tolist(), strict=True):
        found[tagged.paths[image]][tagged.names[name]] = round(confidence, 4)
    return found


def read(tmp_path: Path, text: str, name: str = "t.csv", **options: bool) -> TaggedImages:
    (tmp_path / name).write_text(text)
    return read_tag_table(tmp_path / name, **options)


@pytest.mark.parametrize(
    ("cell", "tags"),
    [
        ("", []),
        ("cat", ["cat"]),
        ("cat | dog", ["cat", "dog"]),
        (r"a\|b|c", ["a|b", "c"]),
        (r"a\\|b", ["a\\", "b"]),
        (r"C:\x|b", ["C:\\x", "b"]),
        ("a|", ["a", ""]),
        ("\\", ["\\"]),
    ],
)
def test_lists_in_cells(cell: str, tags: list[str]) -> None:
    assert split_tags(cell) == tags


WIDE = r"""path,noisy,confidence,present,absent,verified,split,group
./a//1.jpg,cat|dog,0.5|1,cat,dog|bird,listed,train,g1
a/2.jpg,,,,,no,val,
b.jpg,a\|b|cat,1|0.25,,,full,Test,g1
c.jpg,cat,1,cat,,1,train,
d.jpg,dog,0.125,,,,train,g2
"""


def test_wide(tmp_path: Path) -> None:
    tagged = read(tmp_path, WIDE)
    assert tagged.paths == ("a/1.jpg", "a/2.jpg", "b.jpg", "c.jpg", "d.jpg")
    noisy = {"a/1.jpg": {"cat": 0.5, "dog": 1}, "a/2.jpg": {}, "b.jpg": {"a|b": 1, "cat": 0.25}}
    assert listed(tagged, tagged.noisy) == noisy | {"c.jpg": {"cat": 1}, "d.jpg": {"dog": 0.125}}
    present = listed(tagged, tagged.present)
    assert {path: list(names) for path, names in present.items() if names} == {"a/1.jpg": ["cat"], "c.jpg": ["cat"]}
    assert listed(tagged, tagged.absent)["a/1.jpg"] == {"dog": 1, "bird": 1}
    assert tagged.verified.tolist() == [LISTED, UNCHECKED, EVERYTHING, CHECKED, UNSAID]
    assert tagged.split.tolist() == [0, 1, 2, 0, 0]
    assert tagged.group[0] == tagged.group[2] != tagged.group[4]
    assert tagged.group[[1, 3]].tolist() == [-1, -1]
    assert tagged.lists_present


def test_wide_parquet_and_json_lines_are_the_same(tmp_path: Path) -> None:
    expected = read(tmp_path, WIDE)
    rows = {
        "path": ["a/1.jpg", "a/2.jpg", "b.jpg", "c.jpg", "d.jpg"],
        "noisy": [["cat", "dog"], [], ["a|b", "cat"], ["cat"], ["dog"]],
        "confidence": [[0.5, 1.0], None, [1.0, 0.25], [1.0], [0.125]],
        "present": [["cat"], [], [], ["cat"], []],
        "absent": [["dog", "bird"], [], [], [], []],
        "verified": ["listed", "no", "full", "1", None],
        "split": ["train", "val", "Test", "train", "train"],
        "group": ["g1", None, "g1", None, "g2"],
    }
    pq.write_table(pa.table(rows), tmp_path / "t.parquet")
    lines = [dict(zip(rows, cells, strict=True)) for cells in zip(*rows.values(), strict=True)]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, lines)))
    for name in ("t.parquet", "t.jsonl"):
        tagged = read_tag_table(tmp_path / name)
        for part in ("noisy", "present", "absent"):
            assert listed(tagged, getattr(tagged, part)) == listed(expected, getattr(expected, part))
        for part in ("split", "verified"):
            assert getattr(tagged, part).tolist() == getattr(expected, part).tolist()
        assert (tagged.group >= 0).tolist() == (expected.group >= 0).tolist()


def test_long_as_open_images_has_it(tmp_path: Path) -> None:
    tagged = read(
        tmp_path,
        "path,label,source,confidence\nb.jpg,cat,machine,0.5\na.jpg,cat,verification,1\nb.jpg,dog,verification,0\n"
        "./b.jpg,bird,,0.75\nc.jpg,,machine,\n",
    )
    assert tagged.paths == ("b.jpg", "a.jpg", "c.jpg"), "in the order of the file; an image may have no tag"
    assert listed(tagged, tagged.noisy) == {"b.jpg": {"cat": 0.5, "bird": 0.75}, "a.jpg": {}, "c.jpg": {}}
    assert listed(tagged, tagged.present)["a.jpg"] == {"cat": 1}
    assert listed(tagged, tagged.absent)["b.jpg"] == {"dog": 1}


def test_long_without_sources(tmp_path: Path) -> None:
    text = "path,label,verified\na.jpg,cat,\na.jpg,dog,full\nb.jpg,dog,\n"
    tagged = read(tmp_path, text)
    assert listed(tagged, tagged.noisy) == {"a.jpg": {"cat": 1, "dog": 1}, "b.jpg": {"dog": 1}}
    assert tagged.verified.tolist() == [EVERYTHING, UNSAID]
    assert not tagged.lists_present
    checked = read(tmp_path, text, checked=True)
    assert len(checked.noisy) == 0
    assert listed(checked, checked.present) == listed(tagged, tagged.noisy)


def test_metadata_of_an_image_folder(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text('file_name,caption,tags\na.jpg,"a cat, a dog",cat|dog\nb.jpg,,\n')
    tagged = read_metadata(tmp_path / "metadata.csv")
    assert listed(tagged, tagged.noisy) == {"a.jpg": {"cat": 1, "dog": 1}, "b.jpg": {}}
    (tmp_path / "metadata.csv").write_text("file_name,labels,tags\na.jpg,x,y\n")
    with pytest.raises(NlcliError, match="tags in 'labels' and in 'tags'"):
        read_metadata(tmp_path / "metadata.csv")
    (tmp_path / "metadata.csv").write_text("file_name,caption\na.jpg,x\n")
    with pytest.raises(NlcliError, match="none of the columns noisy, labels, tags, label"):
        read_metadata(tmp_path / "metadata.csv")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("path,noisy\n../a.jpg,x\n", r"line 2: '\.\./a\.jpg' is not a path inside"),
        ("path,noisy\n/etc/a.jpg,x\n", "line 2: '/etc/a.jpg' is not a path inside"),
        ("path,noisy\na\\b.jpg,x\n", "write / between folders"),
        ("path,noisy\n,x\n", "line 2: '' is not a path inside"),
        ("path,noisy\na.jpg,x\nb.jpg,y\n./a.jpg,y\n", r"line 4: 'a\.jpg' already stands in line 2"),
        ("path,noisy\na.jpg,x||y\n", "line 2: there is an empty entry in 'noisy'; is there a bar too many"),
        ("path,noisy,confidence\na.jpg,x|y,0.5\n", "line 2: 1 confidences of 2 noisy tags"),
        ("path,noisy,confidence\na.jpg,x,1\nb.jpg,y,1.5\n", r"line 3: confidence '1\.5' of a noisy tag"),
        ("path,noisy,verified\na.jpg,x,perhaps\n", "line 2: verified 'perhaps' is none of full, listed"),
        ("path,noisy,split\na.jpg,x,dev\n", "line 2: split 'dev' is none of train, validation, test"),
        ("path,noisy,split\na.jpg,x,train\nb.jpg,x,\n", "line 3: the image has no split but others have"),
        ("path,noisy,label\na.jpg,x,y\n", "both the column 'label' .a row a tag. and 'noisy'"),
        (
            "path,noisy_label\na.jpg,x\n",
            "'noisy_label' is of tables with one label an image, which nlcli build-folders",
        ),
        ("path,split\na.jpg,train\n", "none of the columns noisy, present, absent"),
        ("path,noisy\n", "has no rows"),
        ("path,noisy,source\na.jpg,x,human\n", "'source' is of tables with a row a tag"),
        ("path,label,source\na.jpg,x,somebody\n", "line 2: source 'somebody' is none of human"),
        ("path,label,source,confidence\na.jpg,x,human,0.5\n", r"line 2: confidence '0\.5' of what a person saw"),
        ("path,label,confidence\na.jpg,x,0\n", "line 2: confidence '0' of a noisy tag is not above 0"),
        ("path,label,split\na.jpg,x,train\na.jpg,y,test\n", "line 2: the image has another split in another row"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(NlcliError, match=sentence):
        read(tmp_path, text)


def test_a_table_of_checked_images_says_what_people_saw(tmp_path: Path) -> None:
    with pytest.raises(NlcliError, match="leave out 'noisy'"):
        read(tmp_path, "path,noisy,present\na.jpg,x,x\n", checked=True)
    with pytest.raises(NlcliError, match="line 2: a table of checked images says what people saw"):
        read(tmp_path, "path,label,source\na.jpg,x,machine\n", checked=True)
