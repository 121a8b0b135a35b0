"""Documents of annotation programs whose images have one label each, as tables list such images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nlcli.console import say
from nlcli.data.lists import shown
from nlcli.data.sources.base import enumerate_some
from nlcli.data.sources.image_table import Listed
from nlcli.data.sources.tag_files import read_tags, tag_files
from nlcli.data.sources.tagged_images import EVERYTHING, LISTED, Entries
from nlcli.errors import NlcliError

_DOCUMENTS = (".json", ".xml")


def is_document(table: Path) -> bool:
    """Whether ``table`` is a document of COCO, Label Studio or CVAT, or a folder of them, one a split."""
    return table.is_dir() or table.suffix.lower() in _DOCUMENTS


def document_files(table: Path) -> list[Path]:
    """The files that are read of it.

    Raises:
        NlcliError: there is none.
    """
    return tag_files(table)


def read_documents(table: Path) -> Listed:
    """The images with their noisy label and what a person saw.

    Raises:
        NlcliError: with the image, if one has several labels.
    """
    tagged = read_tags(table)
    noisy, present = (_only(tagged.paths, tagged.names, part, table) for part in (tagged.noisy, tagged.present))
    absent = {
        (image, name) for image, name in zip(tagged.absent.image.tolist(), tagged.absent.name.tolist(), strict=True)
    }
    listed = Listed()
    bare: list[str] = []
    for row, path in enumerate(tagged.paths):
        given, seen, state = noisy.get(row), present.get(row), int(tagged.verified[row])
        marked = seen is not None and seen == given and state == LISTED  # it was only called right
        wrong = seen is None and given is not None and (row, given) in absent and state != EVERYTHING
        if given is None and seen is None:
            bare.append(path)
            continue
        listed.paths.append(path)
        listed.noisy.append(None if given is None else tagged.names[given])
        listed.clean.append(None if seen is None or marked else tagged.names[seen])
        listed.right.append(1 if marked else 0 if wrong else -1)
        listed.split.append(None if tagged.split[row] < 0 else int(tagged.split[row]))
        listed.group.append("" if tagged.group[row] < 0 else str(tagged.group[row]))
    if not listed.paths:
        raise NlcliError(f"{table} has no image with a label; its labels are not read as such, or nobody gave one")
    if bare:
        some = enumerate_some([shown(path) for path in bare[:4]], len(bare))
        say(f"note: {len(bare):,} images of {table} have no label and are left out ({some})")
    return listed


def _only(paths: Sequence[str], names: Sequence[str], entries: Entries, table: Path) -> dict[int, int]:
    """The one name of every image that has any."""
    found: dict[int, int] = {}
    for image, name in zip(entries.image.tolist(), entries.name.tolist(), strict=True):
        if found.setdefault(image, name) != name:
            raise NlcliError(
                f"{table}: '{shown(paths[image])}' has the labels '{shown(names[found[image]])}' and "
                f"'{shown(names[name])}'; nlcli build-tags reads several labels an image"
            )
    return found
