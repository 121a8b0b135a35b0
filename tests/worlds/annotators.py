"""Exports of annotation programs as people send them, after the documented forms of Label Studio and CVAT."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

Seen = Callable[[str], Sequence[str]]
"""By key of an image, the classes that somebody sees on it."""


def choices(names: Sequence[str], number: int = 0) -> list[dict[str, Any]]:
    """A result of Label Studio: its ``Choices`` with ``names`` ticked; nothing of none."""
    value = {"value": {"choices": list(names)}, "id": f"r{number}", "from_name": "labels", "to_name": "image"}
    return [{**value, "type": "choices", "origin": "manual"}] if names else []


def annotation(names: Sequence[str], who: Any = 1, when: str = "2026-03-01T10:00:00.000000Z", **more: Any) -> Any:
    """An annotation as Label Studio exports it."""
    return {
        "id": 7,
        "completed_by": who,
        "result": choices(names),
        "was_cancelled": False,
        "ground_truth": False,
        "created_at": when,
        "updated_at": when,
        "draft_created_at": None,
        "lead_time": 4.2,
        "prediction": {},
        "result_count": 1,
        "unique_id": "0f1e",
        "import_id": None,
        "last_action": None,
        "task": 1,
        "project": 1,
        "updated_by": 1,
        "parent_prediction": None,
        "parent_annotation": None,
        **more,
    }


def label_studio_export(tasks: Path, output: Path, seen: Seen, most: int | None = None, **more: Any) -> Path:
    """The tasks of ``suggest``, imported, annotated by one person, and exported as JSON; those behind ``most`` not yet."""
    exported = []
    for number, task in enumerate(json.loads(tasks.read_text())):
        boxes = task["data"]["asked"] if "options" in task["data"] else None
        names = [name for name in seen(task["data"]["key"]) if boxes is None or name in boxes]
        done = most is None or number < most
        exported.append(
            {
                "id": number + 1,
                "annotations": [annotation(names, **more)] if done else [],
                "file_upload": "1234abcd-tasks.json",
                "drafts": [],
                "predictions": [1] * 0,
                "data": task["data"],
                "meta": {},
                "created_at": "2026-03-01T09:00:00.000000Z",
                "updated_at": "2026-03-01T10:00:00.000000Z",
                "inner_id": number + 1,
                "total_annotations": int(done),
                "cancelled_annotations": 0,
                "total_predictions": 0,
                "project": 1,
            }
        )
    output.write_text(json.dumps(exported))
    return output


def cvat_export(annotations: Path, output: Path, key_of: Callable[[str], str], seen: Seen, who: str = "ann") -> Path:
    """The annotations of ``suggest``, uploaded, answered by one person, and exported as "CVAT for images 1.1"."""
    tree = ElementTree.parse(annotations)
    root = tree.getroot()
    task = root.find("meta/task")
    assert task is not None
    assignee = ElementTree.SubElement(task, "assignee")
    ElementTree.SubElement(assignee, "username").text = who
    ElementTree.SubElement(assignee, "email").text = ""
    ElementTree.SubElement(task, "updated").text = "2026-03-01 10:00:00.000000+00:00"
    ElementTree.SubElement(root.find("meta") or task, "dumped").text = "2026-03-02 10:00:00.000000+00:00"
    for image in root.iter("image"):
        image.set("width", "640")
        image.set("height", "480")
        there = seen(key_of(image.get("name", "")))
        for tag in image.iter("tag"):
            answer = tag.find("attribute")
            assert answer is not None
            answer.text = "yes" if tag.get("label") in there else "no"
    tree.write(output, encoding="utf-8", xml_declaration=True)
    return output


def filled_table(table: Path, output: Path, seen: Seen, who: str = "ann") -> Path:
    """``to_answer.csv`` or ``answers.csv`` of ``suggest``, filled in; keys are paths."""
    with open(table, newline="", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    place = {name: i for i, name in enumerate(head)}
    for row in rows:
        there = seen(row[place.get("key", place["path"])])
        if "right" in place and row[place["label"]]:
            row[place["right"]] = str(int(row[place["label"]] in there))
        elif there:
            row[place["label"]] = there[0]
        if "annotator" in place:
            row[place["annotator"]] = who
    with open(output, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([head, *rows])
    return output
