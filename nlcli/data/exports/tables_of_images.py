"""Tables as ``build-folders --table`` and ``build-tags`` read them, CSV and Parquet; ``classes.txt`` beside them.

One label an image: ``path``, ``noisy_label``, ``clean_label``, ``verification``, ``split``; an image of which no label
is known stands in ``left_out.csv``. Several: ``path``, ``noisy``, ``confidence``, ``present``, ``absent``, ``verified``
(``full``, ``listed``, ``no``), ``split``; in CSV lists with ``|`` between, and ``\\|`` and ``\\\\`` in a name.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from nlcli.console import say
from nlcli.data.exports.exported_image import ExportedImage, exported_images
from nlcli.data.labels import LabelTable
from nlcli.stages.files import atomic_path, write_csv

SINGLE = ("path", "noisy_label", "clean_label", "verification", "split")
SEVERAL = ("path", "noisy", "confidence", "present", "absent", "verified", "split")
_VERIFIED = {"full": "full", "partial": "listed", "none": "no"}
_ROWS = 1 << 16


def write_as_csv(folder: Path, table: LabelTable) -> None:
    """Write ``labels.csv``."""
    if table.task == "single-label":
        write_csv(folder / "labels.csv", SINGLE, _single(table))
    else:
        rows = ([_text(cell) if isinstance(cell, list) else cell for cell in row] for row in _several(table))
        write_csv(folder / "labels.csv", SEVERAL, rows)
    _write_beside(folder, table)


def write_as_parquet(folder: Path, table: LabelTable) -> None:
    """Write ``labels.parquet``, lists as lists."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts, numbers = pa.list_(pa.string()), pa.list_(pa.float32())
    kinds = {"noisy": texts, "present": texts, "absent": texts, "confidence": numbers, "verification": pa.int8()}
    single = table.task == "single-label"
    names = SINGLE if single else SEVERAL
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in names])
    with atomic_path(folder / "labels.parquet") as temporary, pq.ParquetWriter(temporary, schema) as file:
        rows = _single(table) if single else _several(table)
        while part := list(islice(rows, _ROWS)):
            columns = [
                pa.array(list(column), kind.type) for column, kind in zip(zip(*part, strict=True), schema, strict=True)
            ]
            file.write_table(pa.Table.from_arrays(columns, schema=schema))
    _write_beside(folder, table)


def _single(table: LabelTable) -> Iterator[list[Any]]:
    for image in exported_images(table):
        if not _has_none(image):
            noisy = image.noisy[0] if image.noisy else None
            known = image.verification == "full"
            clean = image.present[0] if known and image.present else None
            right: int | None = None
            if noisy is not None and image.verification == "partial" and noisy in (*image.present, *image.absent):
                right = int(noisy in image.present)
            names = [None if one is None else table.classes[one] for one in (noisy, clean)]
            yield [image.path, *names, right, image.split]


def _several(table: LabelTable) -> Iterator[list[Any]]:
    def names(classes: list[int]) -> list[str]:
        return [table.classes[one] for one in classes]

    for image in exported_images(table):
        lists = [names(image.noisy), image.confidence, names(image.present), names(image.absent)]
        yield [image.path, *lists, _VERIFIED[image.verification], image.split]


def _has_none(image: ExportedImage) -> bool:
    return not image.noisy and not (image.verification == "full" and image.present)


def _text(values: list[Any]) -> str:
    return "|".join(
        f"{value:.7g}" if isinstance(value, float) else str(value).replace("\\", "\\\\").replace("|", "\\|")
        for value in values
    )


def _write_beside(folder: Path, table: LabelTable) -> None:
    """The classes in their order, which a table does not tell, and images that it has no row for."""
    if all(name == name.strip() and name.isprintable() for name in table.classes):
        with atomic_path(folder / "classes.txt") as temporary:
            temporary.write_text("".join(f"{name}\n" for name in table.classes), encoding="utf-8")
    else:
        say("note: there are class names that no list of lines can hold, and so no classes.txt beside the table")
    if table.task == "single-label":
        bare = [[image.path, image.split] for image in exported_images(table) if _has_none(image)]
        if bare:
            write_csv(folder / "left_out.csv", ("path", "split"), bare)
            say(f"note: {len(bare):,} images without any label are not in {folder.name}, but in left_out.csv")
