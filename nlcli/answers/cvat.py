"""Answers in CVAT's XML ("CVAT for images").

A tag with the attribute ``answer`` is a class that was asked about: ``yes`` and ``no`` are answers, ``unanswered`` is
none. A tag of a person (``source`` is ``manual`` or ``consensus``) without such an answer is a class that is there,
or with the attribute ``absent`` one that is not. An image of which all that is left unanswered was not looked at.
CVAT does not write who gave a tag: the person that the task or job is assigned to has given them all.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nlcli.answers.answer import Answer
from nlcli.console import say
from nlcli.data.sources.cvat_images import CvatFile, CvatTag
from nlcli.errors import NlcliError
from nlcli.suggestion.cvat_tasks import ANSWER, NO, UNANSWERED, YES

_BY_PEOPLE = ("", "manual", "consensus")
_TRUE = ("1", "true", "yes")


def read_answers(path: Path) -> Iterator[Answer]:
    """The answers of an export, one an image.

    Raises:
        NlcliError: with the line, for what does not fit.
    """
    file = CvatFile(path)
    tags = 0
    for image in file.images():
        tags += len(image.tags)
        said: dict[str, list[str]] = {YES: [], NO: [], UNANSWERED: []}
        for tag in image.tags:
            said[_said(tag)].append(tag.label)
        name = image.attributes.get("name", "")
        if not name:
            raise NlcliError(f"{image.where}: there is no name of an image; export it as 'CVAT for images'")
        looked = bool(said[YES] or said[NO])
        yield Answer(
            where=image.where,
            file=path.name,
            path=name,
            who=file.facts.get("assignee", ""),
            when=file.facts.get("updated", ""),
            state="answered" if looked else "not looked at",
            present=tuple(said[YES]),
            absent=tuple(said[NO]),
            # A class that is left unanswered was not answered; others that were asked about are in the queue.
            asked=tuple(said[YES] + said[NO]) if any(ANSWER in tag.attributes for tag in image.tags) else None,
        )
    if file.shapes:
        if not tags:
            raise NlcliError(f"{path} has {file.shapes:,} shapes and no tags of images; tags are the answers")
        say(f"note: {path} has {file.shapes:,} shapes; they are passed over")


def _said(tag: CvatTag) -> str:
    if not tag.label:
        raise NlcliError(f"{tag.where}: a tag has no label")
    word = tag.attributes.get(ANSWER, UNANSWERED).lower()
    if word in (YES, NO):
        return word
    if word != UNANSWERED:
        raise NlcliError(f"{tag.where}: the attribute '{ANSWER}' is none of {UNANSWERED}, {YES} and {NO}")
    if tag.source not in _BY_PEOPLE:
        return UNANSWERED
    return NO if tag.attributes.get("absent", "").lower() in _TRUE else YES
