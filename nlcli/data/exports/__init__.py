"""A data set as other programs have it: one module a format, each with a function ``write`` for its folder.

What an image is said to be is the same in all of them: ``ExportedImage.labels``, the best that is known. Where a format
has room for it, the noisy labels and what a person saw stand beside it, so that reading the export gives the data set
back (docs/cleaned-labels.md tells of every format what it holds). Nothing is written outside of the folder, whatever
names of classes and paths of images are.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nlcli.errors import NlcliError
from nlcli.registry import load

if TYPE_CHECKING:
    from nlcli.data.labels import LabelTable

Format = Literal["csv", "parquet", "coco", "imagefolder", "labelstudio", "cvat", "fiftyone"]
FOLDER = "exports"
_WRITERS: dict[str, str] = {
    "csv": "nlcli.data.exports.tables_of_images:write_as_csv",
    "parquet": "nlcli.data.exports.tables_of_images:write_as_parquet",
    "coco": "nlcli.data.exports.coco_labels:write",
    "imagefolder": "nlcli.data.exports.image_folder:write",
    "labelstudio": "nlcli.data.exports.label_studio:write",
    "cvat": "nlcli.data.exports.cvat:write",
    "fiftyone": "nlcli.data.exports.fiftyone:write",
}
PICTURES = (f"{FOLDER}/imagefolder/*/*/*",)
"""Files of exports that are pictures, and no part of a result."""


def new_folders(directory: Path, paths: Iterable[str], names: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """Each of ``names`` with an empty folder for it in ``directory / "exports"``, made when it is asked for.

    Args:
        paths: Of the images that are written about.

    Raises:
        NlcliError: a path of an image leads out of the folder of images.
    """
    from nlcli.data.lists import is_inside, shown

    outside = next((path for path in paths if names and not is_inside(path)), None)
    if outside is not None:
        raise NlcliError(f"'{shown(outside)}' is not a path inside the folder of images; build the data set again")
    for name in names:
        folder = directory / FOLDER / name
        if folder.is_dir():  # of a run that was stopped
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        yield name, folder


def write_exports(
    directory: Path, table: LabelTable, formats: Sequence[Format], *, copy_images: bool = False
) -> tuple[str, ...]:
    """Write each of ``formats`` into a folder of its name in ``directory / "exports"``.

    Returns:
        Patterns of the files that are pictures or links to them.

    Raises:
        NlcliError: a path of an image leads out of the folder of images.
    """
    for name, folder in new_folders(directory, table.paths, formats):
        options = {"copy_images": copy_images} if name == "imagefolder" else {}
        load(_WRITERS[name])(folder, table, **options)
    return PICTURES if "imagefolder" in formats else ()
