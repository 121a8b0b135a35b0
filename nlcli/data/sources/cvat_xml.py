"""CVAT's export in XML ("CVAT for images"): images with tags."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.parsers import expat

import numpy as np

from nlcli.console import say
from nlcli.data.lists import shown
from nlcli.data.sources.collected_tags import Collected
from nlcli.data.sources.image_table import SPLIT_NAMES
from nlcli.data.sources.tagged_images import TaggedImages
from nlcli.errors import NlcliError, shortened

_LONGEST_NAME = 1 << 12
_BY_PEOPLE = ("", "manual", "consensus")


def read_cvat(path: Path, *, checked: bool = False) -> TaggedImages:
    """The images of an XML file of CVAT ("CVAT for images"). A file with a document type, and so entities, is refused.

    Raises:
        NlcliError: with the line, for whatever does not fit.
    """
    reader = _CvatReader(path, checked)
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = reader.refuse_types
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    reader.line = lambda: parser.CurrentLineNumber
    try:
        with open(path, "rb") as file:
            parser.ParseFile(file)
    except expat.ExpatError as error:
        raise NlcliError(f"{path}: not valid XML ({shortened(error)}); export it again") from error
    except (OSError, ValueError, LookupError) as error:  # an encoding that Python does not know, or cannot map
        raise NlcliError(f"cannot read {path}: {shortened(error)}") from error
    return reader.finished()


class _CvatReader:
    def __init__(self, path: Path, checked: bool) -> None:
        self.path, self.checked = path, checked
        self.line: Any = lambda: 0
        self._collected = Collected(path, checked=checked)
        self._stack: list[str] = []
        self._image: int | None = None
        self._tag: dict[str, str] = {}
        self._attribute = ""
        self._text = ""
        self._declared: dict[str, None] = {}
        self._subsets: list[str] = []
        self._shapes = self._tags = 0

    @property
    def _where(self) -> str:
        return f"{self.path}, line {self.line()}"

    def refuse_types(self, *_: Any) -> None:
        raise NlcliError(f"{self.path} declares a document type, which CVAT does not write and which is refused")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._stack and name != "annotations":
            raise NlcliError(f"{self.path} is not an XML file of CVAT: it begins with <{shown(name)}>")
        self._stack.append(name)
        self._text = ""
        if len(self._stack) == 2 and name == "track":
            raise NlcliError(f"{self.path} is of a video (it has tracks); export it as 'CVAT for images'")
        if self._stack[1:] == ["image"]:
            subset = attributes.get("subset", "").strip()
            facts = {key: attributes[key] for key in ("verified", "group") if key in attributes}
            self._image = self._collected.image(attributes.get("name"), self._where, facts)
            self._subsets.append(subset)
        elif self._stack[1:] == ["image", "tag"]:
            self._tag = {"": attributes.get("label", ""), "source": attributes.get("source", "").strip().lower()}
        elif self._stack[1:] == ["image", "tag", "attribute"]:
            self._attribute = attributes.get("name", "").strip().lower()
        elif len(self._stack) == 3 and self._stack[1] == "image":
            self._shapes += 1

    def text(self, data: str) -> None:
        if len(self._text) < _LONGEST_NAME:
            self._text += data

    def end(self, name: str) -> None:
        inside = self._stack[1:]
        self._stack.pop()
        if inside == ["image", "tag", "attribute"]:
            self._tag[self._attribute] = self._text.strip()
        elif inside == ["image", "tag"]:
            self._add()
        elif inside[:1] == ["meta"] and inside[-3:] == ["labels", "label", "name"]:
            self._declared[self._text.strip()] = None
        self._text = ""

    def _add(self) -> None:
        assert self._image is not None
        self._tags += 1
        absent = self._tag.get("absent", "").lower() in ("1", "true", "yes")
        if self._tag["source"] in _BY_PEOPLE or self.checked:
            self._collected.tag(self._image, self._tag[""], "absent" if absent else "present", self._where)
        else:
            self._collected.tag(self._image, self._tag[""], "noisy", self._where, self._tag.get("confidence"))

    def finished(self) -> TaggedImages:
        if not self._tags and self._shapes:
            raise NlcliError(f"{self.path} has {self._shapes:,} shapes and no tags of images; tags are what is read")
        if self._shapes:
            say(f"note: {self.path} has {self._shapes:,} shapes; they are passed over")
        tagged = self._collected.finished(tuple(name for name in self._declared if name), asks=True)
        numbers = np.array([SPLIT_NAMES.get(subset.lower(), -1) for subset in self._subsets], np.int8)
        if (numbers >= 0).all():
            tagged.split[:] = numbers
        elif (numbers >= 0).any():
            say(
                f"note: not all subsets of {self.path} are train, validation or test, so that none is taken for a split"
            )
        return tagged
