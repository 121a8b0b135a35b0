"""A folder of images as Hugging Face's ``datasets`` and ``build-tags`` read it: one folder a split, metadata in each.

``SPLIT/metadata.jsonl`` has a line an image: ``file_name``, ``label`` (of several labels ``labels``), the best that is
known, and what else the data set says of it, as ``build-tags`` reads it. Of a single label, pictures lie in
``SPLIT/CLASS/``, as ``build-folders`` reads them, of several in ``SPLIT/images/``: links to where they are, or copies.
A folder is called as its class where a file system takes that name, else as ``folder_names`` has it; the metadata has
the true name. An image without a label, of data where each has one, is left out.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from nlcli.console import say
from nlcli.data.exports.exported_image import ExportedImage, exported_images, folder_names
from nlcli.data.labels import LabelTable
from nlcli.errors import NlcliError
from nlcli.stages.alike_names import NamesApart

_METADATA, _SEVERAL = "metadata.jsonl", "images"
_VERIFIED = {"full": "full", "partial": "listed", "none": "no"}


def write(folder: Path, table: LabelTable, *, copy_images: bool) -> None:
    """Write the folder; images whose picture is gone, or that have no label, are left out and counted.

    Raises:
        NlcliError: a picture cannot be copied, or links cannot be made here.
    """
    classes = folder_names(table.classes, taken=[_METADATA])
    apart: defaultdict[Path, NamesApart] = defaultdict(NamesApart)
    missing: list[str] = []
    bare = 0
    root = Path(os.path.realpath(table.image_root))
    with ExitStack() as files:
        metadata: dict[str, Any] = {}
        for image in exported_images(table):
            picture = root / image.path
            if not picture.is_file():
                missing.append(image.path)
                continue
            single = table.task == "single-label"
            if single and not image.labels:
                bare += 1
                continue
            inside = folder / image.split / (classes[image.labels[0]] if single else _SEVERAL)
            inside.mkdir(parents=True, exist_ok=True)
            place = inside / _picture_name(image.path, apart[inside])
            _put(picture, place, copy_images)
            if image.split not in metadata:
                path = folder / image.split / _METADATA
                metadata[image.split] = files.enter_context(open(path, "w", encoding="utf-8"))
            name = place.relative_to(folder / image.split).as_posix()
            metadata[image.split].write(json.dumps(_line(name, image, table), ensure_ascii=False) + "\n")
    if missing:
        say(f"note: {len(missing):,} pictures are gone and not in imagefolder (the first: {missing[0]})")
    if bare:
        say(f"note: {bare:,} images without a label are not in imagefolder")


def _line(name: str, image: ExportedImage, table: LabelTable) -> dict[str, Any]:
    def names(classes: list[int]) -> list[str]:
        return [table.classes[one] for one in classes]

    if table.task == "single-label":
        label: dict[str, Any] = {"label": names(image.labels)[0]}
    else:
        label = {"labels": names(image.labels)}
    return {
        "file_name": name,
        **label,
        "noisy": names(image.noisy),
        "confidence": image.confidence,
        "present": names(image.present),
        "absent": names(image.absent),
        "verified": _VERIFIED[image.verification],
        "path": image.path,
    }


def _picture_name(path: str, apart: NamesApart) -> str:
    """The path with ``__`` between its parts, unlike the names of other pictures of the folder."""
    stem, ending = os.path.splitext(path.replace("/", "__"))
    return apart.give(stem.encode()[:200].decode(errors="ignore"), ending[:20])


def _put(picture: Path, place: Path, copy: bool) -> None:
    try:
        if copy:
            shutil.copyfile(picture, place)
        else:
            place.symlink_to(os.path.relpath(picture, os.path.realpath(place.parent)))
    except OSError as error:
        do = "" if copy else "; pass --copy-images"
        raise NlcliError(f"cannot write {place}: {error.strerror}{do}") from error
