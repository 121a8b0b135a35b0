"""The questions of a queue as annotation programs take them: one module a program, each with a function ``write``.

What comes back from them is read by ``import-verification``. Keys and whole paths go with every image, so that no
answer needs to be matched by the name of a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nlcli.data.exports import new_folders
from nlcli.registry import load

if TYPE_CHECKING:
    from nlcli.data.labels import LabelTable
    from nlcli.suggestion.questions import Question

Tool = Literal["labelstudio", "cvat", "csv"]
_WRITERS: dict[str, str] = {
    "labelstudio": "nlcli.suggestion.label_studio_tasks:write",
    "cvat": "nlcli.suggestion.cvat_tasks:write",
    "csv": "nlcli.suggestion.table_to_fill:write",
}


def write_for_tools(directory: Path, queue: Sequence[Question], table: LabelTable, tools: Sequence[Tool]) -> None:
    """Write the queue for each of ``tools`` into a folder of its name in ``directory / "exports"``.

    Raises:
        NlcliError: a path of an image leads out of the folder of images.
    """
    for name, folder in new_folders(directory, (question.path for question in queue), tools):
        load(_WRITERS[name])(folder, queue, table)
