"""A queue for CVAT: ``labels.json`` for the task, ``images.txt`` of its pictures, ``annotations.xml`` to upload.

CVAT has no boxes of an image: every class that is asked about is a tag with an attribute ``answer``, which says
``unanswered`` until somebody sets it to ``yes`` or ``no``. So an image that nobody opened is no answer. A tag that
somebody adds is a class that is there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from nlcli.data.exports.exported_image import xml_attribute, xml_names, xml_text
from nlcli.data.labels import LabelTable
from nlcli.stages.files import atomic_path
from nlcli.suggestion.questions import Question

ANSWER = "answer"
UNANSWERED, YES, NO = "unanswered", "yes", "no"


def write(folder: Path, queue: Sequence[Question], table: LabelTable) -> None:
    """Write the three files."""
    told = dict(zip(table.classes, xml_names(table.classes), strict=True))
    attribute = {
        "name": ANSWER,
        "mutable": False,
        "input_type": "select",
        "default_value": UNANSWERED,
        "values": [UNANSWERED, YES, NO],
    }
    labels = [{"name": name, "type": "tag", "attributes": [attribute]} for name in told.values()]
    with atomic_path(folder / "labels.json") as temporary:
        temporary.write_text(json.dumps(labels, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    with atomic_path(folder / "images.txt") as temporary:
        temporary.write_text("".join(f"{question.path}\n" for question in queue), encoding="utf-8")
    with atomic_path(folder / "annotations.xml") as temporary, open(temporary, "w", encoding="utf-8") as file:
        names = "".join(
            f"<label><name>{xml_text(name)}</name><type>tag</type><attributes><attribute><name>{ANSWER}</name>"
            f"<mutable>False</mutable><input_type>select</input_type><default_value>{UNANSWERED}</default_value>"
            f"<values>{UNANSWERED}\n{YES}\n{NO}</values></attribute></attributes></label>\n"
            for name in told.values()
        )
        file.write(
            '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n<meta><task>'
            f"<name>to check</name><size>{len(queue)}</size><mode>annotation</mode>\n<labels>\n{names}</labels>\n"
            "</task></meta>\n"
        )
        for number, question in enumerate(queue):
            file.write(f'<image id="{number}" name={xml_attribute(xml_names([question.path])[0])}>\n')
            for name in question.classes:
                file.write(
                    f'  <tag label={xml_attribute(told[name])} source="auto"><attribute name="{ANSWER}">{UNANSWERED}'
                    "</attribute></tag>\n"
                )
            file.write("</image>\n")
        file.write("</annotations>\n")
