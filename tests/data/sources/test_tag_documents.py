"""COCO with image-level categories, Label Studio, CVAT, folders of metadata: one truth in every format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nlcli.data.config import BuildTags
from nlcli.data.label_files import read_dataset
from nlcli.data.sources.tag_files import read_tags
from nlcli.data.sources.tags import build_tags
from nlcli.errors import NlcliError
from worlds.folders import by_key, touch

TRUTH = {
    "a.jpg": ("train", "cat,dog", "cat", "dog", 1),
    "b/c.jpg": ("train", "dog", "bird,dog", "", 2),
    "d.jpg": ("validation", "bird", "", "", 0),
    "e.jpg": ("test", "", "", "", 2),
}
"""What every file below says: split, noisy, present, absent, verification."""


def coco() -> dict[str, Any]:
    images = [
        {"id": 7, "file_name": "a.jpg", "width": 5, "split": "train", "verified": "listed"},
        {"id": "x", "file_name": "./b//c.jpg", "split": "train", "verified": "full"},
        {"id": 0, "file_name": "d.jpg", "split": "val"},
        {"id": 1, "file_name": "e.jpg", "split": "test", "verified": "full"},
    ]
    categories = [{"id": 3, "name": "dog", "supercategory": "pet"}, {"id": 1, "name": "cat"}, {"id": 2, "name": "bird"}]
    annotations = [
        {"id": 1, "image_id": 7, "category_id": 1, "score": 0.5},
        {"id": 2, "image_id": 7, "category_id": 3, "bbox": [0, 0, 1, 1]},
        {"id": 3, "image_id": 7, "category_id": 3, "bbox": [2, 0, 1, 1]},
        {"image_id": 7, "category_id": 1, "source": "human"},
        {"image_id": 7, "category_id": 3, "source": "human", "score": 0},
        {"image_id": "x", "category_id": 3, "source": "machine"},
        {"image_id": "x", "category_id": 3, "source": "human", "score": 1},
        {"image_id": "x", "category_id": 2, "source": "human"},
        {"image_id": 0, "category_id": 2},
    ]
    return {"images": images, "categories": categories, "annotations": annotations}


def _choice(name: str, control: str = "tags", **more: object) -> dict[str, Any]:
    return {"type": "choices", "from_name": control, "to_name": "image", "value": {"choices": [name]}, **more}


def label_studio() -> list[dict[str, Any]]:
    return [
        {
            "data": {"image": "/data/local-files/?d=a.jpg", "split": "train", "verified": "listed"},
            "predictions": [{"score": 0.5, "result": [_choice("cat")]}, {"score": 0.0, "result": [_choice("dog")]}],
            "annotations": [
                {"was_cancelled": True, "result": [_choice("bird")]},
                {"result": [_choice("cat"), _choice("dog", "absent")]},
            ],
            "drafts": [{"result": [_choice("bird")]}],
        },
        {
            "data": {"picture": "b/c.jpg", "split": "train", "verified": "full"},
            "predictions": [{"result": [_choice("dog")]}],
            "annotations": [
                {"result": [_choice("cat")]},
                {"result": [_choice("dog"), _choice("bird")], "ground_truth": True},
            ],
        },
        {"data": {"image": "d.jpg", "split": "val"}, "predictions": [{"result": [_choice("bird")]}], "annotations": []},
        {"data": {"image": "e.jpg", "split": "test", "verified": "full"}, "annotations": [{"result": []}]},
    ]


CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version>
<meta><job><labels><label><name>dog</name><attributes></attributes></label><label><name>cat</name></label>
<label><name>bird</name></label></labels></job></meta>
<image id="0" name="a.jpg" width="5" height="5" subset="Train" verified="listed">
  <tag label="cat" source="auto"><attribute name="confidence">0.5</attribute></tag><tag label="dog" source="file"></tag>
  <tag label="cat" source="manual"></tag><tag label="dog"><attribute name="absent">true</attribute></tag>
</image>
<image id="1" name="b/c.jpg" subset="train" verified="full"><tag label="dog" source="auto"/><tag label="dog"/>
  <tag label="bird"/></image>
<image id="2" name="d.jpg" subset="val"><tag label="bird" source="auto"/></image>
<image id="3" name="e.jpg" subset="test" verified="full"></image>
</annotations>
"""
FILES = {"coco.json": json.dumps(coco()), "studio.json": json.dumps(label_studio()), "cvat.xml": CVAT}


def build(tmp_path: Path, name: str, text: str, **options: object) -> Any:
    touch(tmp_path, "a.jpg", "b/c.jpg", "d.jpg", "e.jpg")
    (tmp_path / name).write_text(text)
    config = BuildTags.parse({"table": tmp_path / name, "output": tmp_path / f"out-{name}", **options})
    return read_dataset(build_tags(config))


@pytest.mark.parametrize("name", FILES)
def test_one_truth(tmp_path: Path, name: str) -> None:
    table = build(tmp_path, name, FILES[name])
    state = {
        key: (entry[0], *(",".join(sorted(names.split(","))) for names in entry[1:4]), entry[4])
        for key, entry in by_key(table).items()
    }
    assert state == TRUTH
    assert table.noisy[[0]].toarray().tolist() == [[0.5 if c == "cat" else float(c == "dog") for c in table.classes]]
    if name != "studio.json":
        assert table.classes == ("dog", "cat", "bird"), "in the order of the file"
    assert table.groups == (("pet", None, None) if name == "coco.json" else None)


def test_checked_images_in_the_same_formats(tmp_path: Path) -> None:
    document = coco()
    document["annotations"] = [{"image_id": 7, "category_id": 1}, {"image_id": 1, "category_id": 3, "score": 0}]
    document["images"] = [{"id": i["id"], "file_name": i["file_name"]} for i in document["images"] if i["id"] in (7, 1)]
    (tmp_path / "checked.json").write_text(json.dumps(document))
    (tmp_path / "checked.xml").write_text(
        '<annotations><image name="a.jpg"><tag label="cat"/></image><image name="e.jpg"><tag label="dog">'
        '<attribute name="absent">1</attribute></tag></image></annotations>'
    )
    plain = "path,noisy,split\na.jpg,cat|dog,train\nb/c.jpg,dog,train\nd.jpg,bird,validation\ne.jpg,,test\n"
    for name in ("checked.json", "checked.xml"):
        options = {"checked": tmp_path / name, "verified_means": "listed", "output": tmp_path / name[8:]}
        state = by_key(build(tmp_path, "tags.csv", plain, **options))
        assert state["a.jpg"] == ("train", "cat,dog", "cat", "", 1)
        assert state["e.jpg"] == ("test", "", "", "dog", 1)


def test_what_the_tags_of_people_are_is_asked_for(tmp_path: Path) -> None:
    text = '<annotations><image name="a.jpg"><tag label="cat"/></image><image name="d.jpg"><tag label="dog"/></image></annotations>'
    with pytest.raises(
        NlcliError, match=r"all tags of .* are people's: pass --people noisy if .* or --people verified"
    ):
        build(tmp_path, "t.xml", text)
    noisy = build(tmp_path, "t.xml", text, people="noisy", output=tmp_path / "noisy")
    assert {key: entry[1:] for key, entry in by_key(noisy).items()} == {
        "a.jpg": ("cat", "", "", 0),
        "d.jpg": ("dog", "", "", 0),
    }
    seen = build(tmp_path, "t.xml", text, people="verified", verified_means="full", output=tmp_path / "seen")
    assert {key: entry[1:] for key, entry in by_key(seen).items()} == {
        "a.jpg": ("", "cat", "", 2),
        "d.jpg": ("", "dog", "", 2),
    }


def test_metadata_in_the_folders_of_splits(tmp_path: Path) -> None:
    touch(tmp_path / "pile", "train/1.jpg", "train/2.jpg", "validation/1.jpg")
    (tmp_path / "pile/train/metadata.csv").write_text("file_name,tags,group\n1.jpg,cat,x\n2.jpg,dog|cat,\n")
    (tmp_path / "pile/validation/metadata.jsonl").write_text('{"file_name": "1.jpg", "tags": ["bird"], "group": "x"}\n')
    tagged = read_tags(tmp_path / "pile")
    assert tagged.group.tolist() == [0, -1, 1] or (tagged.group[0] != tagged.group[2] and tagged.group[1] == -1)
    table = read_dataset(build_tags(BuildTags(table=tmp_path / "pile", output=tmp_path / "out")))
    assert {key: entry[:2] for key, entry in by_key(table).items()} == {
        "train/1.jpg": ("train", "cat"),
        "train/2.jpg": ("train", "cat,dog"),
        "validation/1.jpg": ("validation", "bird"),
    }


def _coco_without(change: Any) -> str:
    document = coco()
    change(document)
    return json.dumps(document)


def _studio(change: Any) -> str:
    tasks = label_studio()
    change(tasks)
    return json.dumps(tasks)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("t.json", '{"a": 1}', "neither COCO JSON .* nor an export of Label Studio"),
        ("t.json", '{"images": []}', "no lists 'annotations' and 'categories'"),
        ("t.json", "[", "not valid JSON"),
        (
            "t.json",
            _coco_without(lambda d: d["images"][0].update(file_name="../a.jpg")),
            "image 1: '../a.jpg' is not a",
        ),
        ("t.json", _coco_without(lambda d: d["images"][1].update(id=7)), "image 2 has no id, or one that another has"),
        (
            "t.json",
            _coco_without(lambda d: d["images"][1].update(file_name="a.jpg")),
            "image 2: 'a.jpg' is there twice",
        ),
        ("t.json", _coco_without(lambda d: d["images"][2].pop("split")), "'d.jpg' has no split but others have"),
        ("t.json", _coco_without(lambda d: d["annotations"][0].update(image_id=5)), "annotation 1: there is no image"),
        (
            "t.json",
            _coco_without(lambda d: d["annotations"][0].update(category_id=[])),
            "annotation 1: there is no cat",
        ),
        (
            "t.json",
            _coco_without(lambda d: d["annotations"][0].update(score=3)),
            "annotation 1: the confidence of 'cat'",
        ),
        ("t.json", _coco_without(lambda d: d["annotations"][3].update(score=0.5)), "annotation 4: the score of what a"),
        ("t.json", _coco_without(lambda d: d["annotations"][0].update(source="?")), "source '\\?' is none of human"),
        ("t.json", _coco_without(lambda d: d["categories"][0].update(name="cat")), "category 2 .'cat'. has no id, or"),
        ("t.json", '[{"image": "a.jpg", "choice": "cat"}]', "task 1 has no 'data'; export .*not as JSON-MIN"),
        ("t.json", _studio(lambda t: t[0]["data"].pop("image")), "task 1: 'data' has no 'image'"),
        ("t.json", _studio(lambda t: t[1]["annotations"][1].pop("ground_truth")), "task 2: 2 people saw different"),
        (
            "t.json",
            '[{"data": {"image": "a.jpg"}, "annotations": [{"result": [{"type": "rectanglelabels", "value": {}}]}]}]',
            "results of other kinds .1 rectanglelabels. and no choices",
        ),
        ("t.xml", "<annotations><image", "not valid XML"),
        ("t.xml", "<a/>", "not an XML file of CVAT: it begins with <a>"),
        ("t.xml", '<!DOCTYPE a [<!ENTITY b "c">]><annotations/>', "declares a document type"),
        ("t.xml", '<?xml version="1.0" encoding="no-such"?><annotations/>', "t.xml"),
        ("t.xml", "<annotations><track/></annotations>", "is of a video"),
        ("t.xml", '<annotations>\n<image name="/etc/passwd"/></annotations>', "line 2: '/etc/passwd' is not a path"),
        ("t.xml", '<annotations><image name="a.jpg"><tag/></image></annotations>', "line 1: a tag has no name"),
        ("t.xml", '<annotations><image name="a.jpg"><box label="x"/></image></annotations>', "1 shapes and no tags"),
        ("t.xml", "<annotations/>", "has no images"),
    ],
)
def test_mistakes(tmp_path: Path, name: str, text: str, sentence: str) -> None:
    with pytest.raises(NlcliError, match=sentence):
        build(tmp_path, name, text)


def test_entities_are_never_expanded(tmp_path: Path) -> None:
    """A billion laughs: the document type alone is refused, before anything in it is read."""
    laughs = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
    (tmp_path / "t.xml").write_text(f'<!DOCTYPE a [<!ENTITY l0 "ha">{laughs}]><annotations>&l9;</annotations>')
    with pytest.raises(NlcliError, match="declares a document type, which CVAT does not write"):
        read_tags(tmp_path / "t.xml")


def test_ids_as_pandas_writes_them(tmp_path: Path) -> None:
    """Whole numbers with a fraction are whole numbers; text and numbers are not one id, and it is said."""
    plain, content = coco(), coco()
    for part, names in (("images", ["id"]), ("categories", ["id"]), ("annotations", ["image_id", "category_id"])):
        for entry in content[part]:
            entry |= {name: float(entry[name]) for name in names if isinstance(entry[name], int)}
    (tmp_path / "plain.json").write_text(json.dumps(plain))
    (tmp_path / "floats.json").write_text(json.dumps(content))
    one, other = (read_tags(tmp_path / f"{name}.json") for name in ("plain", "floats"))
    assert (one.paths, one.names) == (other.paths, other.names)
    for kind in ("noisy", "present", "absent"):
        ours, theirs = getattr(one, kind), getattr(other, kind)
        assert ours.image.tolist() == theirs.image.tolist()
        assert ours.name.tolist() == theirs.name.tolist()
    plain["annotations"][0]["image_id"] = "7"
    (tmp_path / "mixed.json").write_text(json.dumps(plain))
    with pytest.raises(NlcliError, match="no image with the id '7', but one with 7; write ids all as numbers or all"):
        read_tags(tmp_path / "mixed.json")
    plain["categories"][0]["name"] = 7
    (tmp_path / "number.json").write_text(json.dumps(plain))
    with pytest.raises(NlcliError, match="category 1 has the name 7, expected text"):
        read_tags(tmp_path / "number.json")


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ([{"image_id": 1, "category_id": 1, "score": 0.5}], "a list of COCO's results, without the names"),
        ([{"path": "a.jpg", "noisy": ["x"]}], r"is one list; write one object a line, with the ending \.jsonl"),
    ],
)
def test_other_lists_of_json_are_called_by_what_they_are(tmp_path: Path, document: object, told: str) -> None:
    (tmp_path / "t.json").write_text(json.dumps(document))
    with pytest.raises(NlcliError, match=told):
        read_tags(tmp_path / "t.json")
