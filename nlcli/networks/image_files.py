"""Image files in folders."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nlcli.errors import NlcliError

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".jp2", ".avif"}
)
_MOST_NAMED = 3


@dataclass(frozen=True)
class ImageFile:
    """An image to annotate: its key, where it lies, and its size in bytes."""

    key: str
    path: Path
    size: int


def name_some(names: Sequence[str], between: str = ", ") -> str:
    """The first few of ``names``, for a sentence."""
    return between.join(names[:_MOST_NAMED]) + (" ..." if len(names) > _MOST_NAMED else "")


# --- images ----------------------------------------------------------------------------------


def folder_labels(folders: Sequence[Path]) -> list[str]:
    """Names that tell ``folders`` apart: the last parts of their paths, as few as suffice.

    The same folder given twice gets the same name twice.
    """
    whole = [Path(os.path.abspath(folder)) for folder in folders]
    for count in range(1, max(len(folder.parts) for folder in whole) + 1):
        names = ["/".join(part.strip("/") for part in folder.parts[-count:]) for folder in whole]
        if len(set(names)) == len(set(whole)):
            return names
    raise AssertionError("different folders have different paths")


def find_images(folders: Sequence[Path]) -> dict[Path, dict[str, ImageFile]]:
    """Image files in ``folders`` and their subfolders, by their path in the folder (with ``/``).

    Hidden files are left out: copying from a Mac makes one beside each image.

    Raises:
        NlcliError: a folder is missing or cannot be read.
    """
    by_folder: dict[Path, dict[str, ImageFile]] = {}
    for folder, label in zip(folders, folder_labels(folders), strict=True):
        if not folder.is_dir():
            raise NlcliError(f"image folder {folder} does not exist; give the folder that holds the images")
        by_folder[folder] = {
            name: ImageFile(f"{label}/{name}", folder / name, _size(entry))
            for name, entry in walk_files(folder)
            if is_image(name)
        }
    return by_folder


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except OSError:  # a link to nowhere: reading it says so, image by image
        return -1


def is_image(name: str) -> bool:
    """Whether a file of that name is taken for an image."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def walk_files(
    root: Path, inside: str = "", *, follow_links: bool = False, above: tuple[str, ...] = ()
) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Files in a folder and its subfolders with their paths in ``root``, sorted, hidden ones left out.

    Args:
        root: The folder.
        inside: Where to begin, a path in ``root`` with a slash at its end.
        follow_links: Whether links to folders are followed; otherwise they are left out.
        above: Real paths of the folders that this one is in.

    Raises:
        NlcliError: a folder cannot be listed, or is a link to a folder above it.
    """
    real = os.path.realpath(root / inside) if follow_links else ""
    if real in above:
        raise NlcliError(f"{root / inside} is a link to a folder above it; remove the link")
    try:
        with os.scandir(root / inside) as listed:
            entries = sorted(listed, key=lambda entry: entry.name)
    except OSError as error:
        raise NlcliError(f"cannot list image folder {root / inside}: {error.strerror}") from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        name = f"{inside}{entry.name}"
        if not entry.is_dir():
            yield name, entry
        elif follow_links:
            yield from walk_files(root, f"{name}/", follow_links=True, above=(*above, real))
        elif not entry.is_symlink():
            yield from walk_files(root, f"{name}/")
