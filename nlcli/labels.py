"""The label table: noisy, verified-present and verified-absent labels of every image.

Labels have three states everywhere: verified present, verified absent, unverified. One table
holds them for every data set as sparse matrices, never as a dense (N, C) array:

========== ============== ===================================================================
COCO       fully verified every class of every image is known; absent ones are not stored
Open       partial        only the stored present and absent entries are known
Food-101N  partial        the one noisy label is known to be right (present) or wrong (absent)
========== ============== ===================================================================

On disk a data set is ``dataset.json`` and ``images.parquet``, one row an image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nlcli.errors import NlcliError
from nlcli.metrics import confusion_matrix
from nlcli.stage import atomic_path, fingerprint_json, read_json, read_stage, write_json

if TYPE_CHECKING:
    from scipy.sparse import csr_array

SPLITS = ("train", "validation", "test")
NONE, PARTIAL, FULL = 0, 1, 2
VERIFICATION = ("none", "partial", "full")
Task = Literal["multi-label", "single-label"]


@dataclass(eq=False)
class LabelTable:
    """Images of a data set with their labels; row ``i`` is the same image in every field.

    Attributes:
        task: Whether an image has one class or several.
        classes: C class names; a column of the matrices each.
        groups: For every class its group (a high-level category) or None; None without groups.
        keys: (N,) unique strings naming the images.
        paths: (N,) file paths relative to ``image_root``.
        image_root: Folder that the paths are relative to.
        split: (N,) int8, index into ``SPLITS``.
        noisy: (N, C) float32 CSR; the confidence of each noisy label, 1 where none is known.
        present: (N, C) uint8 CSR; 1 where a person saw the class.
        absent: (N, C) uint8 CSR; 1 where a person saw that the class is not there. Empty for
            fully verified images, where every class that is not present is absent.
        verification: (N,) uint8: 0 none, 1 partial, 2 full.
        info: What else ``dataset.json`` says: name, source, counts.
        fingerprint: Of the stage that wrote the table; empty for one made in memory.
    """

    task: Task
    classes: tuple[str, ...]
    keys: np.ndarray
    paths: np.ndarray
    image_root: Path
    split: np.ndarray
    noisy: csr_array
    present: csr_array
    absent: csr_array
    verification: np.ndarray
    groups: tuple[str | None, ...] | None = None
    info: dict[str, Any] = field(default_factory=dict)
    fingerprint: str = ""

    def __post_init__(self) -> None:
        shape = (len(self.keys), len(self.classes))
        for name in ("noisy", "present", "absent"):
            matrix = getattr(self, name)
            if matrix.shape != shape:
                raise ValueError(f"{name} has shape {matrix.shape}, expected {shape}")
            matrix.sum_duplicates()  # sorts the indices, too: rows read the same from any source
        repeated = _first_repeated(self.classes)
        if repeated is not None:
            raise NlcliError(f"class '{repeated}' is listed twice; class names must be unique")
        repeated = _first_repeated(self.keys)
        if repeated is not None:
            raise NlcliError(f"image key '{repeated}' occurs twice; keys must be unique")
        both = self.present.multiply(self.absent)
        if both.nnz:
            row, column = (int(axis[0]) for axis in both.nonzero())
            raise NlcliError(
                f"image '{self.keys[row]}' has class '{self.classes[column]}' verified both present and "
                "absent; keep one of the two"
            )

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def num_classes(self) -> int:
        """C, the number of classes."""
        return len(self.classes)

    def rows(self, split: str) -> np.ndarray:
        """int64 rows of ``split`` in table order."""
        return np.flatnonzero(self.split == SPLITS.index(split)).astype(np.int64)

    def image_path(self, row: int) -> Path:
        """Where the image of ``row`` lies."""
        return self.image_root / str(self.paths[row])

    def noisy_targets(self, rows: np.ndarray) -> np.ndarray:
        """Noisy labels ``y`` of ``rows``: (n, C) uint8 in {0, 1}."""
        return np.asarray((self.noisy[rows] > 0).toarray(), np.uint8)

    def verified_targets(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Verified labels ``v`` and their mask ``m`` of ``rows``: two (n, C) uint8 arrays.

        ``m`` is 1 where a person looked at that class on that image.
        """
        v = self.present[rows].toarray()
        m: np.ndarray = np.maximum(v, self.absent[rows].toarray())
        m[self.verification[rows] == FULL] = 1
        return np.asarray(v, np.uint8), np.asarray(m, np.uint8)

    def verified_entries(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Every verified (image, class) entry of ``rows``, sorted by image and class.

        Returns:
            Position in ``rows`` (int64), class (int64), and whether it is present (bool); each of
            the length of the number of verified entries. Memory is proportional to that number.
        """
        rows = np.asarray(rows)
        full = np.equal(self.verification[rows], FULL)
        parts = []
        for matrix, label in ((self.present, True), (self.absent, False)):
            part = matrix[rows].tocoo()
            counts = np.flatnonzero(np.asarray(part.data > 0) & (label | ~full[part.row]))
            parts.append((part.row[counts], part.col[counts], np.full(len(counts), label)))
        where = np.flatnonzero(full)
        if len(where):
            missing = self.present[rows[where]].toarray() == 0
            row, column = np.nonzero(missing)
            parts.append((where[row], column, np.zeros(len(row), bool)))
        position, column, labels = (np.concatenate([part[i] for part in parts]) for i in range(3))
        order = np.lexsort((column, position))
        return position[order].astype(np.int64), column[order].astype(np.int64), labels[order].astype(bool)


_MANY = 100_000


def _first_repeated(names: Sequence[str] | np.ndarray) -> str | None:
    if len(names) > _MANY:  # a set of millions of strings is slow and large
        import pyarrow as pa
        import pyarrow.compute as pc

        if pc.count_distinct(pa.array(names, pa.string())).as_py() == len(names):
            return None
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def matrix_from_lists(lists: Sequence[Sequence[int]], num_classes: int, values: Any = None) -> csr_array:
    """CSR matrix (N, C) with an entry for every class index in the list of each image.

    Args:
        lists: For every image its class indices.
        num_classes: C.
        values: For every image the values of its entries (float32); ones (uint8) when None.
    """
    from scipy.sparse import csr_array

    lengths = np.fromiter((len(entry) for entry in lists), np.int64, len(lists))
    indptr = np.concatenate(([0], np.cumsum(lengths)))
    indices = np.fromiter((c for entry in lists for c in entry), np.int32, int(indptr[-1]))
    if values is None:
        data = np.ones(len(indices), np.uint8)
    else:
        data = np.fromiter((x for entry in values for x in entry), np.float32, len(indices))
    return csr_array((data, indices, indptr), shape=(len(lists), num_classes))


def verified_pairs(table: LabelTable, rows: np.ndarray) -> np.ndarray:
    """How many of ``rows`` have each pair of a true and a noisy class: (C, C) int64, true class by row.

    Rows that are fully verified and have one true and one noisy class count. Those of which only is
    known whether the noisy label is right do not: a right one would tell its pair and a wrong one
    nothing, as if there were no noise.
    """
    rows = rows[table.verification[rows] == FULL]
    present, noisy = table.present[rows] > 0, table.noisy[rows] > 0
    single = (np.diff(present.indptr) == 1) & (np.diff(noisy.indptr) == 1)
    return confusion_matrix(present[single].indices, noisy[single].indices, table.num_classes)


def take_rows(table: LabelTable, rows: np.ndarray) -> LabelTable:
    """The images ``rows`` of ``table``, in that order."""
    names = ("keys", "paths", "split", "noisy", "present", "absent", "verification")
    return replace(table, **{name: getattr(table, name)[rows] for name in names}, info={}, fingerprint="")


def choose_clean(table: LabelTable, fraction: float, seed: int) -> np.ndarray:
    """The clean set V: rows of train whose verified labels may be used, sorted (int64).

    Drawn from the training images with any verification by a permutation that depends on ``seed``
    and their keys alone. So every method with the same seed gets the same images, and those of a
    smaller fraction are among those of a larger one.

    Raises:
        NlcliError: no training image is verified.
    """
    rows = table.rows("train")
    rows = rows[table.verification[rows] > NONE]
    if not len(rows):
        raise NlcliError(
            "the clean set is empty: no training image has a verified label; add verified labels to the data "
            "set, or use a method that needs none (noisy)"
        )
    order = np.argsort(table.keys[rows].astype(str), kind="stable")  # independent of the table's order
    order = order[np.random.default_rng([seed, 0x636C65616E]).permutation(len(rows))]
    count = max(1, round(fraction * len(rows)))
    return np.sort(rows[order[:count]])


def clean_set_record(table: LabelTable, rows: np.ndarray) -> dict[str, Any]:
    """What a result says about the clean labels it used: how many images, and a hash of their keys."""
    return {"images": len(rows), "keys": fingerprint_json(sorted(table.keys[rows].tolist()))}


# --- on disk ---------------------------------------------------------------------------------

_GROUP_ROWS = 1 << 16


def _schema() -> Any:
    import pyarrow as pa

    classes = pa.list_(pa.int32())
    return pa.schema(
        [
            ("key", pa.string()), ("path", pa.string()), ("split", pa.string()),
            ("noisy", classes), ("noisy_confidence", pa.list_(pa.float32())),
            ("present", classes), ("absent", classes), ("verification", pa.string()),
        ]
    )


def write_dataset(directory: Path, table: LabelTable, info: dict[str, Any]) -> None:
    """Write ``dataset.json`` and ``images.parquet`` into ``directory`` (usually ``stage.work``).

    Args:
        info: ``name`` and ``source`` at least, and what else is worth keeping, as JSON values.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    def lists(matrix: csr_array, rows: slice, values: Any = None) -> Any:
        indptr = matrix.indptr[rows.start : rows.stop + 1]
        inside = slice(indptr[0], indptr[-1])
        values = matrix.indices[inside].astype(np.int32, copy=False) if values is None else values[inside]
        return pa.ListArray.from_arrays(pa.array((indptr - indptr[0]).astype(np.int32)), pa.array(values))

    def names(known: tuple[str, ...], codes: np.ndarray) -> Any:
        return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int8)), pa.array(known)).cast(pa.string())

    confidence = table.noisy.data.astype(np.float32, copy=False)
    with atomic_path(directory / "images.parquet") as temporary:
        with pq.ParquetWriter(temporary, _schema()) as file:
            for start in range(0, max(len(table), 1), _GROUP_ROWS):
                rows = slice(start, min(start + _GROUP_ROWS, len(table)))
                columns = [
                    pa.array(table.keys[rows], pa.string()), pa.array(table.paths[rows], pa.string()),
                    names(SPLITS, table.split[rows]),
                    lists(table.noisy, rows), lists(table.noisy, rows, confidence),
                    lists(table.present, rows), lists(table.absent, rows),
                    names(VERIFICATION, table.verification[rows]),
                ]
                file.write_table(pa.Table.from_arrays(columns, schema=_schema()))
    write_json(
        directory / "dataset.json",
        {
            **info, "task": table.task, "classes": list(table.classes),
            "groups": None if table.groups is None else list(table.groups),
            "image_root": str(table.image_root), "images": len(table),
        },
    )


def read_dataset(path: Path | str) -> LabelTable:
    """The data set at ``path``, its schema and its indices checked.

    Raises:
        NlcliError: not a data set, or one whose files do not fit together.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    header = _read_header(path)

    def column(name: str) -> Any:
        """One column at a time, because they are large."""
        try:
            return pq.read_table(header.where, columns=[name]).column(0)
        except (OSError, pa.ArrowException) as error:
            raise NlcliError(f"cannot read {header.where}: {error}; build the data set again") from error

    return _assembled(header, header.images, column)


def dataset_blocks(path: Path | str, rows: int = _GROUP_ROWS) -> Iterator[LabelTable]:
    """The data set at ``path`` as consecutive tables of at most ``rows`` images.

    For what can be counted block by block: memory does not grow with the number of images. Only
    within a block is a key looked at for being unique.

    Raises:
        NlcliError: as :func:`read_dataset`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    header = _read_header(path)
    try:
        with pq.ParquetFile(header.where) as file:
            for batch in file.iter_batches(rows):
                block = pa.Table.from_batches([batch])
                yield _assembled(header, len(block), block.column)
    except (OSError, pa.ArrowException) as error:
        raise NlcliError(f"cannot read {header.where}: {error}; build the data set again") from error


@dataclass(frozen=True)
class _Header:
    """What ``dataset.json`` and the schema of ``images.parquet`` say."""

    where: Path  # of images.parquet
    images: int
    task: Task
    classes: tuple[str, ...]
    groups: tuple[str | None, ...] | None
    image_root: Path
    info: dict[str, Any]
    fingerprint: str


def _read_header(path: Path | str) -> _Header:
    import pyarrow as pa
    import pyarrow.parquet as pq

    record = read_stage(path, "dataset")
    where = record.path / "images.parquet"
    info = read_json(record.path / "dataset.json")
    try:
        if not pq.read_schema(where).equals(_schema()):
            raise NlcliError(f"{where} does not have the columns of a data set; build it again")
        count = pq.read_metadata(where).num_rows
    except (OSError, pa.ArrowException) as error:
        raise NlcliError(f"cannot read {where}: {error}; build the data set again") from error
    try:
        classes, groups = tuple(info.pop("classes")), info.pop("groups")
        task, root = info.pop("task"), Path(info.pop("image_root"))
    except (KeyError, AttributeError, TypeError) as error:
        raise NlcliError(f"{record.path / 'dataset.json'} lacks {error}; build the data set again") from error
    groups = None if groups is None else tuple(groups)
    return _Header(where, count, task, classes, groups, root, info, record.fingerprint)


def _assembled(header: _Header, images: int, read: Callable[[str], Any]) -> LabelTable:
    """The table of ``images`` rows whose columns ``read`` gives, as pyarrow's chunked arrays."""
    import pyarrow as pa
    from scipy.sparse import csr_array

    where, classes = header.where, header.classes
    shape = (images, len(classes))

    def column(name: str) -> Any:
        found = read(name)
        if found.null_count:
            raise NlcliError(f"{where}: column '{name}' has empty cells; build the data set again")
        return found

    def lists(name: str) -> tuple[np.ndarray, np.ndarray]:
        """Values and row starts."""
        chunks = column(name).chunks
        values = [chunk.flatten().to_numpy() for chunk in chunks]
        counts = [np.diff(chunk.offsets.to_numpy()) for chunk in chunks]
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

        found = pc.index_in(column(name), value_set=pa.array(names))
        if found.null_count:
            raise NlcliError(f"{where}: column '{name}' has a value other than {', '.join(names)}")
        return found.to_numpy()

    return LabelTable(
        task=header.task, classes=classes, groups=header.groups,
        keys=np.asarray(column("key").to_numpy(), object),
        paths=np.asarray(column("path").to_numpy(), object), image_root=header.image_root,
        split=codes("split", SPLITS).astype(np.int8),
        noisy=matrix("noisy", "noisy_confidence"), present=matrix("present"), absent=matrix("absent"),
        verification=codes("verification", VERIFICATION).astype(np.uint8),
        info=header.info, fingerprint=header.fingerprint,
    )
