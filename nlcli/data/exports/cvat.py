"""CVAT's XML for images, version 1.1: ``SPLIT.xml``, a tag for every label.

A tag is a label of the best that is known: its ``source`` is ``manual`` where a person saw it, else ``auto``. Classes
that a person saw are not there have no place in this format.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO

from nlcli.data.exports.exported_image import exported_images, xml_attribute, xml_names, xml_text
from nlcli.data.labels import SPLITS, LabelTable
from nlcli.stages.files import atomic_path


def write(folder: Path, table: LabelTable) -> None:
    """Write a file for each split that has images; an image's number is its place in the file."""
    classes = xml_names(table.classes)
    for number, split in enumerate(SPLITS):
        count = int((table.split == number).sum())
        if count:
            with atomic_path(folder / f"{split}.xml") as temporary, open(temporary, "w", encoding="utf-8") as file:
                _write_split(file, table, split, count, classes)


def _write_split(file: IO[str], table: LabelTable, split: str, count: int, classes: list[str]) -> None:
    labels = "".join(
        f"        <label><name>{xml_text(name)}</name><type>tag</type><attributes></attributes></label>\n"
        for name in classes
    )
    file.write(
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n  <meta>\n    <task>\n'
        f"      <name>{split}</name>\n      <size>{count}</size>\n      <mode>annotation</mode>\n"
        f"      <labels>\n{labels}      </labels>\n    </task>\n  </meta>\n"
    )
    number = 0
    for image in exported_images(table):
        if image.split == split:
            file.write(f'  <image id="{number}" name={xml_attribute(xml_names([image.path])[0])}>\n')
            for one in image.labels:
                source = "manual" if one in image.present else "auto"
                file.write(f'    <tag label={xml_attribute(classes[one])} source="{source}"></tag>\n')
            file.write("  </image>\n")
            number += 1
    file.write("</annotations>\n")
