"""COCO JSON with image-level categories: annotations without boxes, or with boxes that are not looked at."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nlcli.data.lists import shown
from nlcli.data.sources.collected_tags import Collected, is_text, number_of, word
from nlcli.data.sources.tag_tables import MACHINES, PEOPLE
from nlcli.data.sources.tagged_images import TaggedImages
from nlcli.errors import NlcliError


def read_coco(path: Path, document: dict[str, Any], *, checked: bool = False) -> TaggedImages:
    """The images of a document of COCO; without a source, an annotation is a noisy tag.

    Raises:
        NlcliError: with the image or the annotation, for what does not fit.
    """
    annotations, categories = document.get("annotations"), document.get("categories")
    if not isinstance(annotations, list) or not isinstance(categories, list):
        raise NlcliError(f"{path} has images but no lists 'annotations' and 'categories'; it is not COCO JSON")
    names: dict[Any, str] = {}
    taken: set[str] = set()
    groups: dict[str, str] = {}
    for number, category in enumerate(categories, start=1):
        where = f"{path}, category {number}"
        given = category.get("name") if isinstance(category, dict) else None
        if not isinstance(given, str) or not given.strip():
            what = "has no name" if given in (None, "") else f"has the name {shown(repr(given))}, expected text"
            raise NlcliError(f"{where} {what}")
        name, key = given.strip(), _id(category.get("id"))
        if not isinstance(key, int | str) or key in names or name in taken or not is_text(name):
            raise NlcliError(f"{where} ('{shown(name)}') has no id, or one or a name that another has; correct it")
        names[key] = name
        taken.add(name)
        if isinstance(category.get("supercategory"), str) and category["supercategory"].strip():
            groups[name] = category["supercategory"].strip()
    collected = Collected(path, checked=checked)
    images: dict[Any, int] = {}
    told: set[Any] = set()
    for number, image in enumerate(document["images"], start=1):
        where = f"{path}, image {number}"
        own = _id(image.get("id")) if isinstance(image, dict) else None
        if not isinstance(own, int | str) or own in images:
            raise NlcliError(f"{where} has no id, or one that another has; correct it")
        row = images[own] = collected.image(image.get("file_name"), where, image)
        if not checked and "noisy_category_ids" in image:
            told.add(own)
            _add(collected, row, image, "noisy_category_ids", "noisy", names, where)
        _add(collected, row, image, "neg_category_ids", "absent", names, where)
    for number, annotation in enumerate(annotations, start=1):
        where = f"{path}, annotation {number}"
        if not isinstance(annotation, dict):
            raise NlcliError(f"{where} is no object")
        of, category = _id(annotation.get("image_id")), _id(annotation.get("category_id"))
        if not isinstance(of, int | str) or of not in images:
            raise NlcliError(f"{where}: there is no image with the id {shown(repr(of))}{_as_other_type(of, images)}")
        if not isinstance(category, int | str) or category not in names:
            raise NlcliError(
                f"{where}: there is no category with the id {shown(repr(category))}{_as_other_type(category, names)}"
            )
        if annotation.get("verified") is True:
            collected.tag(images[of], names[category], "present", where)
            continue
        if of in told:  # its noisy tags stand at the image
            continue
        source = word(annotation.get("source")).lower()
        if source not in PEOPLE and source not in MACHINES:
            raise NlcliError(
                f"{where}: source '{shown(source)}' is none of {', '.join(filter(None, PEOPLE + MACHINES))}"
            )
        score = annotation.get("score")
        if source in PEOPLE or (checked and not source):
            seen = 1.0 if score is None else number_of(score)
            if seen not in (0, 1):
                raise NlcliError(f"{where}: the score of what a person saw is neither 1 (there) nor 0 (not there)")
            collected.tag(images[of], names[category], "present" if seen else "absent", where)
        elif checked:
            raise NlcliError(f"{where}: a list of checked images says what people saw; leave it out")
        else:
            collected.tag(images[of], names[category], "noisy", where, score)
    info = document.get("info")
    one_label = isinstance(info, dict) and info.get("task") == "single-label"
    return collected.finished(tuple(names.values()), groups, one_label=one_label)


def _id(value: Any) -> Any:
    """An id; a whole number with a fraction, as pandas writes a column with gaps, is one."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _as_other_type(value: Any, known: Mapping[Any, Any]) -> str:
    """What to say where an id is there as text and asked for as a number, or the other way round."""
    other: Any = (
        str(value) if isinstance(value, int) else int(value) if isinstance(value, str) and _digits(value) else None
    )
    return f", but one with {other!r}; write ids all as numbers or all as text" if other in known else ""


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20


def _add(
    collected: Collected, row: int, image: dict[str, Any], key: str, kind: str, names: dict[Any, str], where: str
) -> None:
    """The tags that an image lists itself, by the ids of their categories."""
    listed, scores = image.get(key, []), image.get("noisy_scores") if kind == "noisy" else None
    listed = [_id(one) for one in listed] if isinstance(listed, list) else None
    if listed is None or not all(isinstance(one, int | str) and one in names for one in listed):
        raise NlcliError(f"{where}: '{key}' is not a list of ids of categories")
    if scores is not None and (not isinstance(scores, list) or len(scores) != len(listed)):
        raise NlcliError(f"{where}: there is not one of 'noisy_scores' for each of '{key}'")
    for number, one in enumerate(listed):
        collected.tag(row, names[one], kind, where, None if scores is None else scores[number])
