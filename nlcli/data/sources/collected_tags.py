"""Images and tags as the documents of annotation programs tell them, one after the other.

Each says in its own words what a long table says: who gave a tag, how sure, and whether it is there.

================ ============================== =====================================================
 format          noisy                          what people saw
================ ============================== =====================================================
 COCO            annotations without a source,  ``"source": "human"``, with ``"score": 0`` not there
                 or of a machine; ``score``
 Label Studio    predictions                    annotations; choices from a control ``absent`` are not
                                                there; what was skipped, and drafts, do not count
 CVAT            tags of another source         tags of the sources ``manual`` and ``consensus``, with
                                                the attribute ``absent`` not there
================ ============================== =====================================================

An image may say ``split``, ``group`` and ``verified`` (or ``verification``), as in tables: COCO beside ``file_name``,
where also ``noisy_category_ids`` with ``noisy_scores`` and ``neg_category_ids`` (seen not to be there) may stand and
``verified`` be true of an annotation; Label Studio in ``data``, with lists ``present`` and ``absent``; CVAT as
attributes (``subset`` is the split).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from nlcli.data.labels import SPLITS
from nlcli.data.lists import image_name, plain_path, shown
from nlcli.data.sources.image_table import SPLIT_NAMES
from nlcli.data.sources.tag_tables import VERIFIED
from nlcli.data.sources.tagged_images import CHECKED, UNSAID, Entries, TaggedImages
from nlcli.errors import NlcliError


class Collected:
    """Images and tags as a document tells them, one after the other.

    Args:
        path: The document.
        checked: It says what people saw, and nothing else; images may be named by whole paths.
    """

    def __init__(self, path: Path, *, checked: bool) -> None:
        self.path, self.checked = path, checked
        self._image: dict[str, int] = {}
        self._split: list[int] = []
        self._verified: list[int] = []
        self._group: list[int] = []
        self._groups: dict[str, int] = {}
        self._names: dict[str, int] = {}
        self._kinds: dict[str, list[tuple[int, int, float]]] = {"noisy": [], "present": [], "absent": []}

    def image(self, given: Any, where: str, facts: Any = None) -> int:
        """Add an image; ``facts`` may say its ``split``, ``group`` and ``verified``."""
        if not isinstance(given, str):
            raise NlcliError(f"{where}: there is no name of an image; expected text")
        name = plain_path(given) if self.checked and given.strip() else image_name(given, where)
        if name in self._image:
            raise NlcliError(f"{where}: '{shown(name)}' is there twice; an image may be listed once")
        facts = facts if isinstance(facts, dict) else {}
        split, group = word(facts.get("split")), word(facts.get("group"))
        verified = word(facts.get("verified", facts.get("verification")))
        if split and split.lower() not in SPLIT_NAMES:
            raise NlcliError(f"{where}: split '{shown(split)}' is none of {', '.join(SPLITS)}")
        if verified.lower() not in VERIFIED:
            raise NlcliError(f"{where}: verified '{shown(verified)}' is none of full, listed, 1, 0, none and empty")
        self._image[name] = len(self._image)
        self._split.append(SPLIT_NAMES[split.lower()] if split else -1)
        self._verified.append(VERIFIED[verified.lower()])
        self._group.append(self._groups.setdefault(group, len(self._groups)) if group else -1)
        return self._image[name]

    def saw(self, image: int) -> None:
        """Somebody looked at the image, and nothing more is said of what that means."""
        if self._verified[image] == UNSAID:
            self._verified[image] = CHECKED

    def tag(self, image: int, name: Any, kind: str, where: str, confidence: Any = None) -> None:
        """Add a tag: ``noisy`` with a confidence above 0 and up to 1, ``present`` or ``absent``."""
        if not isinstance(name, str) or not name.strip() or not is_text(name):
            raise NlcliError(f"{where}: a tag has no name")
        value = 1.0 if confidence is None else number_of(confidence)
        if not 0 < value <= 1:
            raise NlcliError(f"{where}: the confidence of '{shown(name)}' is not above 0 and at most 1")
        self._kinds[kind].append((image, self._names.setdefault(name.strip(), len(self._names)), value))

    def finished(
        self,
        declared: tuple[str, ...] = (),
        groups: dict[str, str] | None = None,
        *,
        asks: bool = False,
        one_label: bool = False,
    ) -> TaggedImages:
        """All of it.

        Args:
            declared: All names in their order, where the document lists them.
            groups: The group of names that have one.
            asks: Whether people alone tag in such documents, so that what they say may be what is to be doubted.
            one_label: Whether the document says that an image has one label.
        """
        if not self._image:
            raise NlcliError(f"{self.path} has no images")
        split = np.array(self._split, np.int8)
        if (split >= 0).any() and (split < 0).any():
            first = list(self._image)[int(np.argmin(split))]
            raise NlcliError(f"{self.path}: '{shown(first)}' has no split but others have; give one to all, or to none")

        def entries(kind: str) -> Entries:
            part = self._kinds[kind]
            if not part:
                return Entries.none()
            image, name, confidence = zip(*part, strict=True)
            return Entries.of(np.array(image), np.array(name), np.array(confidence, np.float32))

        return TaggedImages(
            paths=tuple(self._image),
            names=tuple(self._names),
            noisy=entries("noisy"),
            present=entries("present"),
            absent=entries("absent"),
            split=split,
            verified=np.array(self._verified, np.int8),
            group=np.array(self._group, np.int32),
            declared=declared,
            class_groups=groups or {},
            one_label=one_label,
            people_alone=asks and not self._kinds["noisy"] and any(self._kinds.values()),
        )


def word(value: Any) -> str:
    """A value of a document as a table has it."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, int | str):
        return str(value).strip()
    return ""


def is_text(name: str) -> bool:
    """Whether no half characters are in ``name``."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def number_of(value: Any) -> float:
    """``value`` as a number, NaN where it is none."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
