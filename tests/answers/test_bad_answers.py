"""Answers that are damaged, hostile, too large, or on another data set."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nlcli
from nlcli.answers import json_objects as objects
from nlcli.answers.json_objects import json_objects
from nlcli.data.label_files import read_dataset
from nlcli.errors import NlcliError
from worlds.annotators import annotation
from worlds.made_detections import checked_table, made_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    table = checked_table([0] * 6, [0] * 6, [0] * 6, [False] * 6)
    return made_dataset(tmp_path_factory.mktemp("data") / "data", table)


def task(image: str, names: list[str], **data: Any) -> dict[str, Any]:
    return {"data": {"image": image, **data}, "annotations": [annotation(names)]}


def refused(dataset: Path, text: str, output: Path, ending: str = ".json") -> str:
    """The sentence about a file of answers; nothing is left behind."""
    path = output / f"answers{ending}"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(NlcliError) as error:
        nlcli.import_verification(dataset=dataset, answers=[path], output=output / "made")
    assert {entry.name for entry in output.iterdir()} == {path.name}
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "does not begin with a list of tasks"),
        ("{}", "does not begin with a list of tasks"),
        ("[", "task 1: the file ends in it"),
        ("[]", "has no answers"),
        ("[1]", "task 1 is not an object"),
        ('[{"data": {"image": "k01"}', "task 1: the file ends in it, as if it was cut off"),
        ('[{"data": {"image": "k0', "task 1: the file ends in it, as if it was cut off"),
        ('[{"data": {"image": "k01"}} {"data": {}}]', "task 2: not valid JSON"),
        ('[{"data" {"image": "k01", "more": "' + "x" * 100 + '"}}]', "task 1: not valid JSON"),
        ('[{"data": {"image": "k01"}}] more', "something behind the end"),
        ('[{"image": "k01", "choice": "a"}]', "export from Label Studio as JSON"),
        ("[" * 100_000, "task 1 is not an object"),
        ('[{"a": ' + "[" * 100_000, "task 1: it is nested too deeply"),
        ('[{"a": ' + "9" * 10_000 + "}]", "thousands of digits"),
        (json.dumps([{"data": {"image": "k01"}, "annotations": 3}]), "'annotations' is not a list of objects"),
        (json.dumps([task("k01", ["a", "b"])]), "two classes are said of an image that has one"),
        (json.dumps([task("k01", ["<script>alert(1)</script>\x1b[2J"])]), "unknown class"),
    ],
)
def test_damaged_label_studio(text: str, told: str, dataset: Path, tmp_path: Path) -> None:
    sentence = refused(dataset, text, tmp_path)
    assert told in sentence
    assert sentence.isprintable()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("<annotations><image name='k01'><tag label='a'", "not valid XML"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><annotations/>", "declares a document type"),
        ("<other/>", "is not an XML file of CVAT"),
        ("<annotations/>", "has no answers"),
        ("<annotations><image><tag label='a'/></image></annotations>", "there is no name of an image"),
        ("<annotations><track/></annotations>", "is of a video"),
        ("<annotations><image name='k01'><box label='a'/></image></annotations>", "1 shapes and no tags"),
        (
            "<annotations><image name='k01'><tag label='a'><attribute name='answer'>maybe</attribute></tag></image>"
            "</annotations>",
            "none of unanswered, yes and no",
        ),
    ],
)
def test_damaged_cvat(text: str, told: str, dataset: Path, tmp_path: Path) -> None:
    assert told in refused(dataset, text, tmp_path, ".xml")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("<annotations><image name='" + "k" * (18 << 20), "line 1: something of more than 16 MiB without an end"),
        ("<annotations>" + "<a>" * 100_000, "line 1: more than 64 elements in each other"),
        ("<annotations><image name='k01'>" + "<tag/>" * 300_000, "an image of more than 262,144 tags"),
    ],
    ids=("a tag", "depth", "tags"),
)
def test_cvat_without_an_end(text: str, told: str, dataset: Path, tmp_path: Path) -> None:
    """Files that would take all memory, or hours: an image of 300,000 tags, a name of 18 MiB."""
    assert told in refused(dataset, text, tmp_path, ".xml")


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([["name", "label"], ["k01", "a"]], "unknown column 'name'"),
        ([["path"], ["k01"]], "neither the column 'label' nor 'right'"),
        ([["label"], ["a"]], "neither the column 'path' nor 'key'"),
        ([["path", "label"], ["", "a"]], "the image is not told"),
        ([["path", "right"], ["k01", "perhaps"]], "none of 1, yes, true"),
        ([["path", "label", "right"], ["k01", "b", "1"]], "contradict each other"),
        ([["path", "label"], ["k01", "=HYPERLINK()"]], "unknown class"),
        ([["path", "label"], ["k01", "A"]], "unknown class 'A'; did you mean 'a'?"),
        ([["path", "label"], ["k01", "Unsure"]], "'Unsure' reads as if nothing were said; empty the cell"),
        ([["path", "label"], ["x\\\\k01", "a"]], "1 of 1 images that were answered are named with backslashes"),
        ([["path", "label"], ["elsewhere/k01", "a"]], "not by the name of its file"),
    ],
)
def test_damaged_tables(rows: list[list[str]], told: str, dataset: Path, tmp_path: Path) -> None:
    with open(tmp_path / "made.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    text = (tmp_path / "made.csv").read_text()
    (tmp_path / "made.csv").unlink()
    assert told in refused(dataset, text, tmp_path, ".csv")


@pytest.mark.parametrize("ending", [".json", ".xml", ".csv", ".txt"])
def test_a_format_is_told_by_how_a_file_begins(ending: str, dataset: Path, tmp_path: Path) -> None:
    texts = {
        "json": json.dumps([task("k01", ["b"])]),
        "xml": "\n<annotations><image name='k01'><tag label='b' source='manual'/></image></annotations>",
    }
    for kind, text in texts.items():
        path = tmp_path / f"{kind}{ending}"
        path.write_text(text, encoding="utf-8-sig")
        made = nlcli.import_verification(dataset=dataset, answers=[path], output=tmp_path / kind)
        assert np.flatnonzero(read_dataset(made).verification).tolist() == [1]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"PK\x03\x04" + bytes(60), "is a ZIP archive or a workbook (.xlsx, .ods); unpack it"),
        (b"\x1f\x8b" + bytes(60), "is compressed with gzip; unpack it"),
        (b"<!DOCTYPE html><html></html>", "is a page of the web"),
        (b'[{"data": {"image": "k\xff"}}]', "not valid JSON, it has bytes that are no text"),
    ],
)
@pytest.mark.parametrize("ending", [".json", ".xml"])
def test_what_is_no_text_is_called_by_what_it_is(
    ending: str, content: bytes, told: str, dataset: Path, tmp_path: Path
) -> None:
    path = tmp_path / f"answers{ending}"
    path.write_bytes(content)
    with pytest.raises(NlcliError) as error:
        nlcli.import_verification(dataset=dataset, answers=[path], output=tmp_path / "made")
    assert told in str(error.value)


def test_json_in_utf_16(dataset: Path, tmp_path: Path) -> None:
    for encoding in ("utf-16", "utf-16-le"):
        path = tmp_path / f"{encoding}.json"
        path.write_text(json.dumps([task("k01", ["b"])]), encoding=encoding)
        made = nlcli.import_verification(dataset=dataset, answers=[path], output=tmp_path / f"made {encoding}")
        assert np.flatnonzero(read_dataset(made).verification).tolist() == [1]


def test_a_key_and_a_path_of_two_images_match_none(dataset: Path, tmp_path: Path) -> None:
    text = json.dumps([task("k01", ["a"], key="k02", path="k01")])
    assert "1 of 1 images that were answered are not in the data set" in refused(dataset, text, tmp_path)


def test_a_key_of_another_place_and_the_path_of_an_image_match(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([task("k01", ["b"], key="photo 7", path="./k01")]))
    made = nlcli.import_verification(dataset=dataset, answers=[tmp_path / "a.json"], output=tmp_path / "made")
    assert np.flatnonzero(read_dataset(made).verification).tolist() == [1]


def test_one_in_a_hundred_may_be_unknown(tmp_path: Path) -> None:
    table = checked_table([0] * 100, [0] * 100, [0] * 100, [False] * 100)
    dataset = made_dataset(tmp_path / "data", table)
    tasks = [task(f"k{i:02d}", ["b"]) for i in range(99)]
    (tmp_path / "a.json").write_text(json.dumps([*tasks, task("other", ["b"])]))
    made = nlcli.import_verification(dataset=dataset, answers=[tmp_path / "a.json"], output=tmp_path / "made")
    assert (read_dataset(made).verification > 0).sum() == 99
    with open(made / "left_out.csv", newline="") as file:
        assert list(csv.reader(file))[1:] == [["other", "a.json", "no such image"]]


def test_answers_on_another_data_set_with_the_same_keys(dataset: Path, tmp_path: Path) -> None:
    """All labels of this one are a: answers on images that were asked about as b and c are of another."""
    asked = {"asked": ["b", "c"], "given": ["b"], "dataset": "sha256:another"}
    text = json.dumps([task(f"k{i:02d}", ["b"], **asked) for i in range(6)])
    assert "these are answers on another data set" in refused(dataset, text, tmp_path)


def test_a_queue_of_another_data_set(dataset: Path, tmp_path: Path) -> None:
    from worlds.cleaned import detected, planted

    other, detection = detected(tmp_path, planted(images=60, verified=20))
    queue = nlcli.suggest(dataset=other, source=detection, output=tmp_path / "queue", count=10)
    (tmp_path / "a.json").write_text(json.dumps([task("k01", ["a"])]))
    with pytest.raises(NlcliError, match="pass the queue that was made of this data set"):
        nlcli.import_verification(
            dataset=dataset, suggestion=queue, answers=[tmp_path / "a.json"], output=tmp_path / "made"
        )


def test_a_long_file_is_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects cut at every place give the same; no more than one of them and a part is held."""
    tasks = [task('\u00fcn"\\\U0001f600', ["b"], number=-1.5e3, more=[{}, [], None, True]) for _ in range(7)]
    path = tmp_path / "a.json"
    path.write_text(json.dumps(tasks, indent=1) + "\n\n", encoding="utf-8-sig")
    for size in (1, 2, 3, 7, 64):
        monkeypatch.setattr(objects, "_PART", size)
        assert list(json_objects(path)) == tasks


def test_an_object_without_an_end_is_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "_LONGEST", 1 << 12)
    monkeypatch.setattr(objects, "_PART", 1 << 8)
    path = tmp_path / "a.json"
    path.write_text('[{"data": "' + "x" * (1 << 20))
    with pytest.raises(NlcliError, match="task 1: not valid JSON"):
        list(json_objects(path))
