"""A queue as annotation programs take it: by their own libraries where they are there, and by what is documented."""

from __future__ import annotations

import csv
import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import nlcli
from nlcli.suggestion.questions import Question
from worlds.annotators import annotation
from worlds.cleaned import detected, planted, tag_dataset, tag_detection, tag_world
from worlds.made_detections import made_dataset, made_detection

TOOLS = ["labelstudio", "cvat", "csv"]


@pytest.fixture(scope="module", params=["single", "several"])
def queue(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "single":
        dataset, detection = detected(folder, planted(images=120, verified=40))
    else:
        table, truth, probability = tag_world(images=120)
        dataset = tag_dataset(folder / "data", table, truth)
        detection = tag_detection(folder / "detection", dataset, probability)
    return nlcli.suggest(dataset=dataset, source=detection, output=folder / "queue", count=30, export=TOOLS)


def rows_of(queue: Path) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = pq.read_table(queue / "queue.parquet").to_pylist()
    return rows


def test_label_studio_by_its_own_library(queue: Path) -> None:
    interfaces = pytest.importorskip("label_studio_sdk.label_interface")
    folder = queue / "exports" / "labelstudio"
    interface = interfaces.LabelInterface((folder / "labeling_config.xml").read_text())
    interface.validate()
    for task in json.loads((folder / "tasks.json").read_text()):
        assert interface.validate_task({"data": task["data"]})
        names = task["data"]["given"]
        if "options" not in task["data"]:  # it knows no boxes that come with the task
            assert all(interface.validate_prediction(one) for one in task.get("predictions", []))
            assert interface.validate_annotation(annotation(names))


def test_label_studio_tasks(queue: Path) -> None:
    tasks = json.loads((queue / "exports" / "labelstudio" / "tasks.json").read_text())
    rows = rows_of(queue)
    assert len(tasks) == len(rows) == 30
    for task, row in zip(tasks, rows, strict=True):
        data = task["data"]
        assert (data["key"], data["path"], data["reason"]) == (row["key"], row["path"], row["reason"])
        assert data["image"] == f"/data/local-files/?d={row['path']}"
        assert data["asked"] == row["classes"].split("|")
        given = [name for name in row["given"].split("|") if name]
        assert data["given"] == given
        ticked = [one["result"][0]["value"]["choices"] for one in task.get("predictions", [])]
        assert ticked == ([given] if given else [])
        assert "annotations" not in task  # nobody has answered
        if "options" in data:
            assert [option["value"] for option in data["options"]] == data["asked"]


def test_cvat(queue: Path) -> None:
    folder = queue / "exports" / "cvat"
    root = ElementTree.parse(folder / "annotations.xml").getroot()
    labels = json.loads((folder / "labels.json").read_text())
    assert root.findtext("version") == "1.1"
    assert [label.findtext("name") for label in root.iter("label")] == [label["name"] for label in labels]
    assert labels[0]["attributes"][0]["values"] == ["unanswered", "yes", "no"]
    rows = rows_of(queue)
    assert (folder / "images.txt").read_text().split() == [row["path"] for row in rows]
    for image, row in zip(root.iter("image"), rows, strict=True):
        assert image.get("name") == row["path"]
        assert [tag.get("label") for tag in image.iter("tag")] == row["classes"].split("|")
        assert {(tag.get("source"), tag.findtext("attribute")) for tag in image.iter("tag")} == {("auto", "unanswered")}


def test_a_table_to_fill_in(queue: Path) -> None:
    with open(queue / "exports" / "csv" / "to_answer.csv", newline="") as file:
        table = list(csv.DictReader(file))
    rows = rows_of(queue)
    assert list(dict.fromkeys(row["key"] for row in table)) == [row["key"] for row in rows]
    single = "noisy_label" in table[0]
    if not single:
        assert [row["label"] for row in table] == [name for row in rows for name in row["classes"].split("|")]
    assert {row["right"] for row in table} == {""}


def test_probabilities_are_of_the_class_to_be_there(queue: Path) -> None:
    """So that what is expected to be wrong is 1 less that of a noisy label, and that of another."""
    for row in rows_of(queue):
        chances = [float(text) for text in row["probabilities"].split("|")]
        given = row["given"].split("|")
        names = row["classes"].split("|")
        wrong = [1 - p if name in given else p for name, p in zip(names, chances, strict=True)]
        if "Label '" in row["reason"] or "label '" in row["reason"]:
            assert wrong[0] == pytest.approx(row["expected_errors"], abs=1e-6)
        else:
            assert sum(wrong) <= float(row["expected_errors"]) + 1e-6


def test_hostile_names_are_text(tmp_path: Path) -> None:
    from nlcli.data.labels import single_label_table
    from nlcli.suggestion.for_tools import write_for_tools

    names = ("<script>alert(1)</script>", "=cmd|' /C calc'!A0", "a\0b", 'quo"te & co')
    keys = [f"{i}.jpg" for i in range(4)]
    none = np.full(4, -1)
    table = single_label_table(names, keys, keys, tmp_path, np.zeros(4, int), np.arange(4), none)
    asked = [
        Question(key, key, "train", "errors", None, 0.5, (name,), (0.5,), (name,), f"Label '{name}'.")
        for key, name in zip(keys, names, strict=True)
    ]
    write_for_tools(tmp_path, asked, table, ["labelstudio", "cvat", "csv"])
    config = ElementTree.parse(tmp_path / "exports" / "labelstudio" / "labeling_config.xml").getroot()
    assert [choice.get("value") for choice in config.iter("Choice")] == [names[0], names[1], "a\ufffdb", names[3]]
    root = ElementTree.parse(tmp_path / "exports" / "cvat" / "annotations.xml").getroot()
    assert [tag.get("label") for tag in root.iter("tag")] == [names[0], names[1], "a\ufffdb", names[3]]
    with open(tmp_path / "exports" / "csv" / "to_answer.csv", newline="") as file:
        assert [row["noisy_label"] for row in csv.DictReader(file)][1] == "'" + names[1]


def test_a_path_that_leads_out_is_refused(tmp_path: Path) -> None:
    from worlds.made_detections import checked_table

    table = checked_table([0, 1], [0, 1], [0, 0], [False, False])
    table.paths[:] = ["../k00", "k01"]
    dataset = made_dataset(tmp_path / "data", table)
    detection = made_detection(tmp_path / "d", dataset, table, [0.5, 0.5], probability=[0.5, 0.5])
    with pytest.raises(nlcli.NlcliError, match="not a path inside the folder of images"):
        nlcli.suggest(dataset=dataset, source=detection, output=tmp_path / "q", export=["cvat"])
    assert not (tmp_path / "q").exists()
