"""The label table on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import ConfigDict, ValidationInfo, field_validator

from nlcli.console import say
from nlcli.data.labels import SPLITS, VERIFICATION, LabelTable, Task
from nlcli.data.one_picture import refuse_one_picture_in_two_splits
from nlcli.data.pictures import look_at_pictures, picture_root, tell_unreadable
from nlcli.errors import NlcliError
from nlcli.stages.arrow_arrays import arrow_lists, arrow_names, arrow_numbers, arrow_texts, numpy_numbers, numpy_texts
from nlcli.stages.files import atomic_path
from nlcli.stages.own_tables import damaged_as_sentence, own_table_blocks, read_own_table
from nlcli.stages.records import ClassText, PathText, SchemaRecord
from nlcli.stages.stage import read_stage

if TYPE_CHECKING:
    from scipy.sparse import csr_array


# --- on disk ---------------------------------------------------------------------------------

DESCRIPTION = "dataset.json"
REMEDY = "build the data set again"
_GROUP_ROWS = 1 << 16


def images_schema() -> Any:
    """The columns of ``images.parquet``."""
    import pyarrow as pa

    classes = pa.list_(pa.int32())
    return pa.schema(
        [
            ("key", pa.string()),
            ("path", pa.string()),
            ("split", pa.string()),
            ("noisy", classes),
            ("noisy_confidence", pa.list_(pa.float32())),
            ("present", classes),
            ("absent", classes),
            ("verification", pa.string()),
        ]
    )


def write_dataset(
    directory: Path, table: LabelTable, info: dict[str, Any], *, derived: bool = False, contents: bool = False
) -> None:
    """Write ``dataset.json`` and ``images.parquet`` into ``directory`` (usually ``stage.work``).

    What its pictures are is recorded beside them.

    Args:
        info: ``name`` and ``source`` at least, and what else is worth keeping, as JSON values.
        derived: Its images were looked at before, such as in the data set that the table was made of.
        contents: Record a hash of every picture's content, too.

    Raises:
        NlcliError: one picture is in two splits under two names.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if table.image_root.is_dir():
        _record_pictures(directory, table, derived, contents)
    elif not derived:
        say(
            f"note: there is no folder {table.image_root}, so none of the {len(table):,} images was looked at; stages "
            "that read images need it"
        )

    def lists(matrix: csr_array, rows: slice, values: Any = None) -> Any:
        indptr = matrix.indptr[rows.start : rows.stop + 1]
        inside = slice(indptr[0], indptr[-1])
        values = matrix.indices[inside].astype(np.int32, copy=False) if values is None else values[inside]
        return arrow_lists(indptr - indptr[0], values)

    confidence = table.noisy.data.astype(np.float32, copy=False)
    with atomic_path(directory / "images.parquet") as temporary:
        with pq.ParquetWriter(temporary, images_schema()) as file:
            for start in range(0, max(len(table), 1), _GROUP_ROWS):
                rows = slice(start, min(start + _GROUP_ROWS, len(table)))
                columns = [
                    arrow_texts(table.keys[rows].tolist()),
                    arrow_texts(table.paths[rows].tolist()),
                    arrow_names(SPLITS, table.split[rows]),
                    lists(table.noisy, rows),
                    lists(table.noisy, rows, confidence),
                    lists(table.present, rows),
                    lists(table.absent, rows),
                    arrow_names(VERIFICATION, table.verification[rows]),
                ]
                file.write_table(pa.Table.from_arrays(columns, schema=images_schema()))
    record = {
        **info,
        "task": table.task,
        "classes": table.classes,
        "groups": table.groups,
        "image_root": str(table.image_root),
        "images": len(table),
    }
    DatasetRecord.model_validate(record).write(directory / DESCRIPTION)


def _record_pictures(directory: Path, table: LabelTable, derived: bool, contents: bool) -> None:
    """What is held of them, 48 bytes a picture, is given back when this ends."""
    pictures, facts = look_at_pictures(table.image_root, table.paths.tolist(), contents=contents)
    if not derived:
        tell_unreadable(pictures)
        refuse_one_picture_in_two_splits(table.image_root, table.paths, table.split, SPLITS, facts)
    pictures.write(directory)


def read_dataset(path: Path | str) -> LabelTable:
    """The data set at ``path``, its schema and its indices checked.

    Raises:
        NlcliError: not a data set, or one whose files do not fit together.
    """
    header = _read_header(path)

    def column(name: str) -> Any:
        """One column at a time, because they are large."""
        return read_own_table(header.where, REMEDY, columns=(name,)).column(0)

    return _assembled(header, header.images, column)


def dataset_blocks(path: Path | str, rows: int = _GROUP_ROWS) -> Iterator[LabelTable]:
    """The data set at ``path`` as consecutive tables of at most ``rows`` images.

    For what can be counted block by block: memory does not grow with the number of images. Only
    within a block is a key looked at for being unique.

    Raises:
        NlcliError: as :func:`read_dataset`.
    """
    header = _read_header(path)
    for block in own_table_blocks(header.where, REMEDY, rows):
        yield _assembled(header, len(block), block.column)


class DatasetRecord(SchemaRecord):
    """``dataset.json``: what the labels are about; whatever else a source wrote there is kept.

    Attributes:
        task: Whether an image has one class or several.
        classes: C names.
        groups: For every class its group or None; None without groups.
        image_root: Folder that the images' paths are relative to.
        images: How many there are.
    """

    model_config = ConfigDict(extra="allow")

    states_format = False
    remedy: ClassVar[str] = REMEDY

    task: Task
    classes: tuple[ClassText, ...]
    groups: tuple[str | None, ...] | None
    image_root: PathText
    images: int

    @field_validator("groups")
    @classmethod
    def _one_for_each_class(
        cls, groups: tuple[str | None, ...] | None, earlier: ValidationInfo
    ) -> tuple[str | None, ...] | None:
        classes = earlier.data.get("classes", ())
        if groups is not None and len(groups) != len(classes):
            raise ValueError(f"{len(groups)} groups of {len(classes)} classes")
        return groups

    @property
    def info(self) -> dict[str, Any]:
        """What else it says: ``images``, ``name``, ``source``, counts."""
        return {"images": self.images, **(self.model_extra or {})}


@dataclass(frozen=True)
class _Header:
    """What ``dataset.json`` and the schema of ``images.parquet`` say."""

    where: Path  # of images.parquet
    images: int
    record: DatasetRecord
    fingerprint: str


def _read_header(path: Path | str) -> _Header:
    import pyarrow.parquet as pq

    record = read_stage(path, "dataset")
    where = record.path / "images.parquet"
    described = DatasetRecord.read(record.path / DESCRIPTION)
    with damaged_as_sentence(where, REMEDY):
        if not pq.read_schema(where).equals(images_schema()):
            raise NlcliError(f"{where} does not have the columns of a data set; {REMEDY}")
        count = pq.read_metadata(where).num_rows
    return _Header(where, count, described, record.fingerprint)


def open_images(path: Path | str) -> tuple[Path, Path, str]:
    """Where the table of images of the data set at ``path`` is, the folder of its pictures, and its fingerprint.

    Raises:
        NlcliError: as :func:`read_dataset`, as far as its header tells.
    """
    header = _read_header(path)
    return header.where, picture_root(header.where.parent, Path(header.record.image_root)), header.fingerprint


def _assembled(header: _Header, images: int, read: Callable[[str], Any]) -> LabelTable:
    """The table of ``images`` rows whose columns ``read`` gives, as pyarrow's chunked arrays."""
    from scipy.sparse import csr_array

    where, record, classes = header.where, header.record, header.record.classes
    shape = (images, len(classes))

    def column(name: str) -> Any:
        values = read(name)
        if values.null_count:
            raise NlcliError(f"{where}: column '{name}' has empty cells; build the data set again")
        return values

    def lists(name: str) -> tuple[np.ndarray, np.ndarray]:
        """Values and row starts."""
        chunks = column(name).chunks
        inner = [chunk.flatten() for chunk in chunks]
        if any(part.null_count for part in inner):
            raise NlcliError(f"{where}: column '{name}' has empty cells; build the data set again")
        values = [numpy_numbers(part) for part in inner]
        counts = [np.diff(numpy_numbers(chunk.offsets)) for chunk in chunks]
        indptr = np.zeros(shape[0] + 1, np.int64)
        np.cumsum(np.concatenate([*counts, np.zeros(0, np.int32)]), out=indptr[1:])
        return np.concatenate(values) if values else np.zeros(0, np.int32), indptr

    def matrix(name: str, confidence: str | None = None) -> csr_array:
        indices, indptr = lists(name)
        if len(indices) and (indices.min() < 0 or indices.max() >= len(classes)):
            raise NlcliError(f"{where}: column '{name}' names a class that dataset.json does not have")
        if confidence is None:
            data = np.ones(len(indices), np.uint8)
        else:
            data, starts = lists(confidence)
            if not np.array_equal(starts, indptr):
                raise NlcliError(f"{where}: columns '{name}' and '{confidence}' differ in length")
        return csr_array((data, indices, indptr), shape=shape)

    def codes(name: str, names: tuple[str, ...]) -> np.ndarray:
        import pyarrow.compute as pc

        indices = pc.index_in(column(name), value_set=arrow_texts(names))
        if indices.null_count:
            raise NlcliError(f"{where}: column '{name}' has a value other than {', '.join(names)}")
        return numpy_numbers(indices)

    def texts() -> tuple[np.ndarray, np.ndarray]:
        """Keys and paths, which are mostly the same: one text for both saves 80 MiB of a million images."""
        keys, paths = column("key"), column("path")
        of_keys = numpy_texts(keys)
        return of_keys, of_keys.copy() if paths.equals(keys) else numpy_texts(paths)

    keys, paths = texts()
    return LabelTable(
        task=record.task,
        classes=classes,
        groups=record.groups,
        keys=keys,
        paths=paths,
        image_root=picture_root(where.parent, Path(record.image_root)),
        split=codes("split", SPLITS).astype(np.int8),
        noisy=matrix("noisy", "noisy_confidence"),
        present=matrix("present"),
        absent=matrix("absent"),
        verification=codes("verification", VERIFICATION).astype(np.uint8),
        info=record.info,
        fingerprint=header.fingerprint,
    )


def labels_fingerprint(table: LabelTable) -> str:
    """``sha256:...`` of the noisy labels, their confidences and the images that have them."""
    digest = hashlib.sha256("\0".join(table.keys.tolist()).encode())
    for values, kind in ((table.noisy.indptr, "<i8"), (table.noisy.indices, "<i4"), (table.noisy.data, "<f4")):
        digest.update(np.ascontiguousarray(values, kind).tobytes())
    return "sha256:" + digest.hexdigest()


TRUTH = "truth.parquet"


def read_truth(dataset: Path | str, table: LabelTable) -> np.ndarray:
    """True classes of ``table``'s images as planted noise remembers them: int64 (N,), -1 where unknown.

    Args:
        dataset: Directory made by ``add_noise`` (or filtered from one).
        table: Its table, or a part of it.

    Raises:
        NlcliError: the directory holds no truth, or one that does not fit.
    """

    path = Path(dataset) / TRUTH
    if not path.is_file():
        raise NlcliError(f"{dataset} has no {TRUTH}; only data sets made by nlcli add-noise know the whole truth")
    rows = read_own_table(path, "make the data set again", columns=("key", "true"))
    known = dict(zip(rows["key"].to_pylist(), rows["true"].to_pylist(), strict=True))
    if any(not -1 <= true < table.num_classes for true in known.values()):
        raise NlcliError(f"{path} names a class that the data set does not have; make the data set again")
    return np.asarray([known.get(key, -1) for key in table.keys.tolist()], np.int64)


def write_truth(directory: Path, keys: np.ndarray, true: np.ndarray) -> None:
    """Write ``truth.parquet``: key and true class index (-1 where unknown) of every image."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {"key": arrow_texts(keys.tolist()), "true": arrow_numbers(true.astype(np.int32))}
    with atomic_path(directory / TRUTH) as temporary:
        pq.write_table(pa.table(columns), temporary)
