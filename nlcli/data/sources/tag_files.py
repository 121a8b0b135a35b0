"""The formats that images with any number of tags come in, told apart by what is in the files, never by a guess."""

from __future__ import annotations

from itertools import combinations, pairwise
from pathlib import Path

from nlcli.data.sources.coco_categories import read_coco
from nlcli.data.sources.cvat_xml import read_cvat
from nlcli.data.sources.image_table import SPLIT_NAMES
from nlcli.data.sources.label_studio import read_label_studio
from nlcli.data.sources.tag_tables import read_metadata, read_tag_table
from nlcli.data.sources.tagged_images import TaggedImages, concatenated
from nlcli.errors import NlcliError
from nlcli.stages.files import read_json

_DOCUMENTS = (".json", ".xml")
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
        files = _of_splits(source)
    if not files:
        raise NlcliError(
            f"{source} has none of {', '.join(_METADATA)}, train.json and train.xml; give the table itself"
        )
    return files


def _of_splits(folder: Path) -> list[Path]:
    """``train.json`` and its like, or the same of CVAT.

    Raises:
        NlcliError: two are for one split.
    """
    files = [
        path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in _DOCUMENTS and path.stem.lower() in SPLIT_NAMES and path.is_file()
    ]
    for one, other in combinations(files, 2):
        if SPLIT_NAMES[one.stem.lower()] == SPLIT_NAMES[other.stem.lower()]:
            raise NlcliError(f"{folder} has {one.name} and {other.name} for the same split; keep one of the two")
    return files


def read_tags(source: Path, *, checked: bool = False) -> TaggedImages:
    """The images that ``source`` lists.

    Args:
        checked: It lists what people saw, and nothing else.

    Raises:
        NlcliError: what does not fit, with its place.
    """
    files = tag_files(source)
    if source.is_dir():
        if files[0].suffix.lower() in _DOCUMENTS:
            return concatenated(
                [("", SPLIT_NAMES[file.stem.lower()], read_tags(file, checked=checked)) for file in files]
            )
        if files[0].parent == source:
            return read_metadata(files[0])
        parts = [(file.parent.name, read_metadata(file)) for file in files]
        known = all(name.lower() in SPLIT_NAMES for name, _ in parts)
        return concatenated([(name, SPLIT_NAMES[name.lower()] if known else -1, part) for name, part in parts])
    kind = source.suffix.lower()
    if kind == ".json":
        return _document(source, checked)
    if kind == ".xml":
        return read_cvat(source, checked=checked)
    return read_tag_table(source, checked=checked)


def _document(path: Path, checked: bool) -> TaggedImages:
    document = read_json(path)
    if isinstance(document, dict) and isinstance(document.get("images"), list):
        return read_coco(path, document, checked=checked)
    first = document[0] if isinstance(document, list) and document else None
    if isinstance(first, dict) and "data" not in first:
        if "image_id" in first:
            raise NlcliError(
                f"{path} is a list of COCO's results, without the names of images and categories; give the document "
                "with images, annotations and categories"
            )
        if {"path", "file_name"} & set(first):
            raise NlcliError(
                f"{path} is one list; write one object a line, with the ending .jsonl (jq -c '.[]' does so)"
            )
    if isinstance(document, list):
        return read_label_studio(path, document, checked=checked)
    raise NlcliError(
        f"{path} is neither COCO JSON (images, annotations, categories) nor an export of Label Studio (a list of "
        "tasks); JSONL, an object a line, has the ending .jsonl"
    )
