"""The formats that images with any number of tags come in, told apart by what is in the files, never by a guess."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from nlcli.data.sources.tag_tables import read_metadata, read_tag_table
from nlcli.data.sources.tagged_images import TaggedImages
from nlcli.errors import NlcliError

_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")


def tag_files(source: Path) -> list[Path]:
    """The files that are read of ``source``: itself, or the metadata of a folder of images.

    Raises:
        NlcliError: there is none.
    """
    if not source.is_dir():
        if not source.exists():
            raise NlcliError(f"{source} does not exist; give a table of tags, or a folder with {', '.join(_METADATA)}")
        return [source]
    own = [source / name for name in _METADATA if (source / name).is_file()]
    inner = [folder / name for folder in sorted(source.iterdir()) for name in _METADATA if (folder / name).is_file()]
    if own and inner:
        raise NlcliError(f"{source} has metadata of its own ({own[0].name}) and in {inner[0].parent}; keep one")
    files = own or inner
    for one, other in pairwise(files):
        if one.parent == other.parent:
            raise NlcliError(f"{one.parent} has both {one.name} and {other.name}; keep one of the two")
    if not files:
        raise NlcliError(f"{source} has none of {', '.join(_METADATA)}; give the table of tags itself")
    return files


def read_tags(source: Path, *, checked: bool = False) -> TaggedImages:
    """The images that ``source`` lists.

    Args:
        checked: It lists what people saw, and nothing else.
    """
    files = tag_files(source)
    if source.is_dir():
        return read_metadata(files[0])
    return read_tag_table(source, checked=checked)
