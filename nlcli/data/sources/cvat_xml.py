"""CVAT's export in XML ("CVAT for images"): images with tags."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nlcli.console import say
from nlcli.data.sources.collected_tags import Collected
from nlcli.data.sources.cvat_images import CvatFile, CvatTag
from nlcli.data.sources.image_table import SPLIT_NAMES
from nlcli.data.sources.tagged_images import TaggedImages
from nlcli.errors import NlcliError

_BY_PEOPLE = ("", "manual", "consensus")


def read_cvat(path: Path, *, checked: bool = False) -> TaggedImages:
    """The images of an XML file of CVAT ("CVAT for images"). A file with a document type, and so entities, is refused.

    Raises:
        NlcliError: with the line, for whatever does not fit.
    """
    file, collected = CvatFile(path), Collected(path, checked=checked)
    subsets: list[str] = []
    tags = 0
    for image in file.images():
        facts = {key: image.attributes[key] for key in ("verified", "group") if key in image.attributes}
        number = collected.image(image.attributes.get("name"), image.where, facts)
        subsets.append(image.attributes.get("subset", "").strip())
        for tag in image.tags:
            _add(collected, number, tag, checked)
        tags += len(image.tags)
    if not tags and file.shapes:
        raise NlcliError(f"{path} has {file.shapes:,} shapes and no tags of images; tags are what is read")
    if file.shapes:
        say(f"note: {path} has {file.shapes:,} shapes; they are passed over")
    one_label = file.facts.get("label_kind") == "single-label"
    declared = tuple(name for name in file.declared if name)
    tagged = collected.finished(declared, asks=True, one_label=one_label)
    numbers = np.array([SPLIT_NAMES.get(subset.lower(), -1) for subset in subsets], np.int8)
    if (numbers >= 0).all():
        tagged.split[:] = numbers
    elif (numbers >= 0).any():
        say(f"note: not all subsets of {path} are train, validation or test, so that none is taken for a split")
    return tagged


def _add(collected: Collected, image: int, tag: CvatTag, checked: bool) -> None:
    if tag.source in _BY_PEOPLE or checked:
        absent = tag.attributes.get("absent", "").lower() in ("1", "true", "yes")
        collected.tag(image, tag.label, "absent" if absent else "present", tag.where)
        if tag.attributes.get("noisy") and not checked:
            collected.tag(image, tag.label, "noisy", tag.where, tag.attributes["noisy"])
    else:
        collected.tag(image, tag.label, "noisy", tag.where, tag.attributes.get("confidence"))
