"""Label Studio: ``tasks.json`` to import, and ``labeling_config.xml`` for the project.

Noisy labels are predictions, which a person looks at; those of a fully verified image are an annotation. What a person
saw of single classes stands in the data of the task (``present``, ``absent``), because an annotation would say that
nothing else is there. Pictures are named as Label Studio serves local files, relative to
``LOCAL_FILES_DOCUMENT_ROOT``, which must be the folder of images.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from nlcli.data.exports.exported_image import exported_images, xml_attribute, xml_names
from nlcli.data.labels import LabelTable
from nlcli.stages.files import atomic_path

CONTROL, OBJECT = "labels", "image"
MODEL = "noisy labels"
LOCAL_FILES = "/data/local-files/?d="


def write(folder: Path, table: LabelTable) -> None:
    """Write both files."""
    classes = xml_names(table.classes)
    choice = "single" if table.task == "single-label" else "multiple"
    choices = "".join(f"    <Choice value={xml_attribute(name)}/>\n" for name in classes)
    config = (
        "<View>\n"
        f'  <Image name="{OBJECT}" value="$image"/>\n'
        f'  <Choices name="{CONTROL}" toName="{OBJECT}" choice="{choice}" showInline="true">\n{choices}  </Choices>\n'
        "</View>\n"
    )
    with atomic_path(folder / "labeling_config.xml") as temporary:
        temporary.write_text(config, encoding="utf-8")
    with atomic_path(folder / "tasks.json") as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write("[")
        for image in exported_images(table):
            data = {
                "image": LOCAL_FILES + quote(image.path),
                "key": image.key,
                "path": image.path,
                "split": image.split,
                "verification": image.verification,
                "task": table.task,
                "present": [classes[one] for one in image.present],
                "absent": [classes[one] for one in image.absent],
            }
            task: dict[str, Any] = {"id": image.row + 1, "data": data}
            if image.noisy:
                result = chosen([classes[one] for one in image.noisy])
                score = min(image.confidence)
                task["predictions"] = [{"model_version": MODEL, "score": score, "result": result}]
            if image.verification == "full":
                told = chosen([classes[one] for one in image.present]) if image.present else []
                task["annotations"] = [{"ground_truth": True, "was_cancelled": False, "result": told}]
            file.write(("," if image.row else "") + "\n" + json.dumps(task, ensure_ascii=False))
        file.write("\n]\n")


def chosen(names: Sequence[str]) -> list[dict[str, Any]]:
    """The result of a prediction or an annotation in which ``names`` are ticked."""
    return [{"from_name": CONTROL, "to_name": OBJECT, "type": "choices", "value": {"choices": list(names)}}]
