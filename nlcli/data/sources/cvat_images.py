"""CVAT's XML ("CVAT for images") image by image, as it is written there: one reader for every stage.

A file with a document type, and so entities, is refused. Memory does not grow with the number of images.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.parsers import expat

from nlcli.data.lists import shown
from nlcli.errors import NlcliError, shortened

_LONGEST_NAME = 1 << 12
_PART = 1 << 20
_LONGEST_TAG = 1 << 24
"""Bytes between < and >: the parser begins anew with each part of a tag that does not end."""
_DEEPEST, _MOST_TAGS = 64, 1 << 18
"""Elements in each other, and tags of an image; a file that has more is none of CVAT, and would take all memory."""


@dataclass
class CvatTag:
    """A tag of an image.

    Attributes:
        label, source: As they are written; the source in small letters.
        attributes: By name, in small letters.
        where: The file and the line.
    """

    label: str
    source: str
    where: str
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass
class CvatImage:
    """An image with its tags; ``attributes`` are those of its element (``name``, ``subset``, ...)."""

    attributes: dict[str, str]
    where: str
    tags: list[CvatTag] = field(default_factory=list)


class CvatFile:
    """A file of CVAT.

    Attributes:
        declared: Labels of the task, in their order.
        shapes: How many shapes the images have.
        facts: What is said of the task or job: ``assignee``, ``updated``, ``dumped`` and ``label_kind``.

    All three are filled while ``images`` reads.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.declared: dict[str, None] = {}
        self.shapes = 0
        self.facts: dict[str, str] = {}
        self._parser = expat.ParserCreate()
        self._parser.StartDoctypeDeclHandler = self._refuse_types
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._ready: deque[CvatImage] = deque()
        self._stack: list[str] = []
        self._image: CvatImage | None = None
        self._attribute = ""
        self._text = ""

    def images(self) -> Iterator[CvatImage]:
        """The images in the order of the file.

        Raises:
            NlcliError: with the line, for what is no such file.
        """
        try:
            with open(self.path, "rb") as file:
                read = 0
                while part := file.read(_PART):
                    self._parser.Parse(part, False)
                    read += len(part)
                    if read - self._parser.CurrentByteIndex > _LONGEST_TAG:
                        raise self._not_of_cvat(f"something of more than {_LONGEST_TAG >> 20} MiB without an end")
                    while self._ready:
                        yield self._ready.popleft()
                self._parser.Parse(b"", True)
        except expat.ExpatError as error:
            raise NlcliError(f"{self.path}: not valid XML ({shortened(error)}); export it again") from error
        except (OSError, ValueError, LookupError) as error:  # an encoding that Python does not know, or cannot map
            raise NlcliError(f"cannot read {self.path}: {shortened(error)}") from error

    @property
    def _where(self) -> str:
        return f"{self.path}, line {self._parser.CurrentLineNumber}"

    def _not_of_cvat(self, what: str) -> NlcliError:
        return NlcliError(f"{self._where}: {what}, which CVAT does not write; export it again")

    def _refuse_types(self, *_: Any) -> None:
        raise NlcliError(f"{self.path} declares a document type, which CVAT does not write and which is refused")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._stack and name != "annotations":
            raise NlcliError(f"{self.path} is not an XML file of CVAT: it begins with <{shown(name)}>")
        self._stack.append(name)
        if len(self._stack) > _DEEPEST:
            raise self._not_of_cvat(f"more than {_DEEPEST} elements in each other")
        self._text = ""
        inside = self._stack[1:]
        if inside == ["track"]:
            raise NlcliError(f"{self.path} is of a video (it has tracks); export it as 'CVAT for images'")
        if inside == ["image"]:
            self._image = CvatImage(attributes, self._where)
        elif self._image is not None and inside == ["image", "tag"]:
            if len(self._image.tags) >= _MOST_TAGS:
                raise self._not_of_cvat(f"an image of more than {_MOST_TAGS:,} tags")
            source = attributes.get("source", "").strip().lower()
            self._image.tags.append(CvatTag(attributes.get("label", ""), source, self._where))
        elif inside == ["image", "tag", "attribute"]:
            self._attribute = attributes.get("name", "").strip().lower()
        elif len(inside) == 2 and inside[0] == "image":
            self.shapes += 1

    def _characters(self, data: str) -> None:
        if len(self._text) < _LONGEST_NAME:
            self._text += data

    def _end(self, name: str) -> None:
        inside, text = self._stack[1:], self._text.strip()
        self._stack.pop()
        if self._image is not None and inside == ["image", "tag", "attribute"]:
            self._image.tags[-1].attributes[self._attribute] = text
        elif self._image is not None and inside == ["image"]:
            self._ready.append(self._image)
            self._image = None
        elif inside[:1] == ["meta"] and inside[-3:] == ["labels", "label", "name"]:
            self.declared[text] = None
        elif inside[:1] == ["meta"] and inside[-2:] == ["assignee", "username"]:
            self.facts["assignee"] = text
        elif inside[:1] == ["meta"] and inside[-1] in ("updated", "dumped", "label_kind"):
            self.facts[inside[-1]] = text
        self._text = ""
