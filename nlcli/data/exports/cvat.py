"""CVAT's XML for images, version 1.1: ``SPLIT.xml``, a tag for every label.

A tag is a label of the best that is known: its ``source`` is ``manual`` where a person saw it, else ``auto``. A class
that a person saw is not there is a tag with the attribute ``absent``; ``noisy`` is the confidence of a noisy label of
which a person's word is known, too. ``verified`` of the image says how much of it is, and ``label_kind`` beside the
task whether an image has one label or several: CVAT passes over both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from nlcli.data.exports.exported_image import ExportedImage, exported_images, xml_attribute, xml_names, xml_text
from nlcli.data.labels import SPLITS, LabelTable
from nlcli.stages.files import atomic_path

ABSENT, CONFIDENCE, NOISY = "absent", "confidence", "noisy"
"""Attributes of a tag."""
LABEL_KIND = "label_kind"
VERIFIED = {"full": "full", "partial": "listed", "none": "no"}


def write(folder: Path, table: LabelTable) -> None:
    """Write a file for each split that has images; an image's number is its place in the file."""
    classes = xml_names(table.classes)
    for number, split in enumerate(SPLITS):
        count = int((table.split == number).sum())
        if count:
            with atomic_path(folder / f"{split}.xml") as temporary, open(temporary, "w", encoding="utf-8") as file:
                _write_split(file, table, split, count, classes)


def _write_split(file: IO[str], table: LabelTable, split: str, count: int, classes: list[str]) -> None:
    attributes = "".join(
        f"<attribute><name>{name}</name><mutable>False</mutable><input_type>{kind}</input_type><default_value>{default}"
        f"</default_value><values>{default}</values></attribute>"
        for name, kind, default in ((ABSENT, "checkbox", "false"), (CONFIDENCE, "text", ""), (NOISY, "text", ""))
    )
    labels = "".join(
        f"        <label><name>{xml_text(name)}</name><type>tag</type><attributes>{attributes}</attributes></label>\n"
        for name in classes
    )
    file.write(
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n  <meta>\n    <task>\n'
        f"      <name>{split}</name>\n      <size>{count}</size>\n      <mode>annotation</mode>\n"
        f"      <labels>\n{labels}      </labels>\n    </task>\n"
        f"    <{LABEL_KIND}>{table.task}</{LABEL_KIND}>\n  </meta>\n"
    )
    number = 0
    for image in exported_images(table):
        if image.split == split:
            verified = VERIFIED[image.verification]
            name = xml_attribute(xml_names([image.path])[0])
            file.write(f'  <image id="{number}" name={name} verified="{verified}">\n')
            for tag in _tags(image):
                told = "".join(
                    f'<attribute name="{key}">{value}</attribute>' for key, value in tag.attributes.items() if value
                )
                label = xml_attribute(classes[tag.of_class])
                file.write(f'    <tag label={label} source="{tag.source}">{told}</tag>\n')
            file.write("  </image>\n")
            number += 1
    file.write("</annotations>\n")


@dataclass(frozen=True)
class _Tag:
    of_class: int
    source: str
    attributes: dict[str, str]


def _tags(image: ExportedImage) -> Iterator[_Tag]:
    """A tag for every class that is said to be there, or not to be there, or is a noisy label."""
    confidence = {one: f"{value:.7g}" for one, value in zip(image.noisy, image.confidence, strict=True)}
    absent = {*image.absent}
    if image.verification == "full":
        absent |= {*image.noisy} - {*image.present}
    for one in sorted({*image.present, *absent, *image.noisy}):
        if one in image.present or one in absent:
            told = {ABSENT: "true" if one in absent else "", NOISY: confidence.get(one, "")}
            yield _Tag(one, "manual", told)
        else:
            yield _Tag(one, "auto", {CONFIDENCE: confidence[one]})
