"""A queue for Label Studio: ``tasks.json`` to import, and ``labeling_config.xml`` for the project.

A task shows the picture, the reason, and as boxes the classes that are asked about (``options``); on one label an image
it shows all classes, of which one is to be chosen. The noisy labels are a prediction, ticked beforehand; it is no
answer until somebody submits it. ``asked`` and ``given`` say which boxes there were, and which of them are noisy
labels.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from nlcli.data.exports.exported_image import xml_attribute, xml_names
from nlcli.data.exports.label_studio import CONTROL, LOCAL_FILES, MODEL, OBJECT, chosen
from nlcli.data.labels import LabelTable
from nlcli.stages.files import atomic_path
from nlcli.suggestion.questions import Question

_MANY = 12
"""Classes from which on they are a list that opens, instead of boxes side by side."""


def write(folder: Path, queue: Sequence[Question], table: LabelTable) -> None:
    """Write both files."""
    told = dict(zip(table.classes, xml_names(table.classes), strict=True))
    with atomic_path(folder / "labeling_config.xml") as temporary:
        temporary.write_text(_config(table, list(told.values())), encoding="utf-8")
    with atomic_path(folder / "tasks.json") as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write("[")
        for number, question in enumerate(queue):
            task = _task(number, question, table, told)
            file.write(("," if number else "") + "\n" + json.dumps(task, ensure_ascii=False))
        file.write("\n]\n")


def _config(table: LabelTable, names: Sequence[str]) -> str:
    if table.task == "single-label":
        layout = "select" if len(names) > _MANY else "inline"
        choices = "".join(f"    <Choice value={xml_attribute(name)}/>\n" for name in names)
        boxes = (
            f'  <Choices name="{CONTROL}" toName="{OBJECT}" choice="single" layout="{layout}">\n{choices}  </Choices>\n'
        )
    else:
        boxes = f'  <Choices name="{CONTROL}" toName="{OBJECT}" choice="multiple" value="$options"/>\n'
    return f'<View>\n  <Image name="{OBJECT}" value="$image"/>\n  <Text name="why" value="$reason"/>\n{boxes}</View>\n'


def _task(number: int, question: Question, table: LabelTable, told: dict[str, str]) -> dict[str, Any]:
    asked = [told[name] for name in question.classes]
    given = [told[name] for name in question.given]
    data: dict[str, Any] = {
        "image": LOCAL_FILES + quote(question.path),
        "key": question.key,
        "path": question.path,
        "split": question.split,
        "reason": question.reason,
        "asked": asked,
        "given": given,
        "dataset": table.fingerprint,
    }
    if table.task == "multi-label":
        data["options"] = [{"value": name} for name in asked]
    task: dict[str, Any] = {"id": number + 1, "data": data}
    if given:
        known = [chance for chance in question.chances if chance == chance]
        score = {"score": round(min(known), 7)} if known else {}
        task["predictions"] = [{"model_version": MODEL, **score, "result": chosen(given)}]
    return task
