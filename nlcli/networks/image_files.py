"""Image files in folders."""

from __future__ import annotations

import os
from collections.abc import Sequence
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
        files: dict[str, ImageFile] = {}
        _scan(folder, "", label, files)
        by_folder[folder] = files
    return by_folder


def _scan(folder: Path, inside: str, label: str, files: dict[str, ImageFile]) -> None:
    try:
        with os.scandir(folder / inside) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                name = f"{inside}{entry.name}"
                if os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES and not entry.is_dir():
                    try:
                        size = entry.stat().st_size
                    except OSError:  # a link to nowhere: reading it says so, image by image
                        size = -1
                    files[name] = ImageFile(f"{label}/{name}", folder / name, size)
                elif entry.is_dir(follow_symlinks=False):
                    _scan(folder, f"{name}/", label, files)
    except OSError as error:
        raise NlcliError(f"cannot list image folder {folder / inside}: {error.strerror}") from error
