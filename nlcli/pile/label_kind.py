"""Whether a table of labels has one an image or several: told by its columns and rows, never guessed from names."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nlcli.data.labels import Task
from nlcli.data.lists import shown
from nlcli.data.table_columns import read_columns
from nlcli.errors import NlcliError

OF_TAGS = (".json", ".jsonl", ".xml")
"""Endings of files that only ``build-tags`` reads."""
_SINGLE = ("noisy_label", "clean_label", "verification")
_SEVERAL = ("noisy", "present", "absent")
_OTHERS = ("path", "label", "source", "confidence", "verified", "split", "group")


def label_kind(table: Path) -> tuple[Task, str]:
    """The kind of labels in ``table``, and why, in a clause.

    Raises:
        NlcliError: it is not a table, has no labels, or its labels may be read in two ways.
    """
    if table.suffix.lower() in OF_TAGS:
        return "multi-label", f"{table.suffix} files hold tags"
    columns = read_columns(table, (*_OTHERS, *_SINGLE, *_SEVERAL), ("path",), _SEVERAL)
    names = {*columns.texts, *columns.lists}
    for task, known in (("single-label", _SINGLE), ("multi-label", _SEVERAL)):
        named = next((name for name in known if name in names), None)
        if named is not None:
            return ("single-label" if task == "single-label" else "multi-label"), f"it has a column '{named}'"
    if "label" not in names:
        raise NlcliError(f"{table} has no labels; give a column label (a row a label), or noisy (a row an image)")
    if "source" in names:
        return "multi-label", "it has a column 'source'"
    paths = columns.texts["path"].codes
    if len(np.unique(paths)) < len(paths):
        return "multi-label", "some images stand in several rows"
    barred = next((name for name in columns.texts["label"].names if "|" in name), None)
    if barred is not None:
        raise NlcliError(
            f"{table}: the label '{shown(barred)}' may be one name or several; call the column noisy if | parts "
            "tags, or pass --task single-label if it is part of a name"
        )
    return "single-label", "every image stands in one row"
