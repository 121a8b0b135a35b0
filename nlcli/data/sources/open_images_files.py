"""The CSV files of Open Images, read block by block."""

from __future__ import annotations

import csv
import hashlib
import math
import os
import re
from array import array
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlcli.console import progress, say
from nlcli.data.config import BuildOpenImages
from nlcli.data.lists import read_lines, shown
from nlcli.data.sources.base import advice_on_missing, enumerate_some
from nlcli.data.sources.missing_cause import MOST_TRIED
from nlcli.errors import NlcliError
from nlcli.networks.image_files import MAKE_READABLE, near_folder
from nlcli.stages.text_lines import bounded_lines

if TYPE_CHECKING:
    from scipy.sparse import csr_array
_HEADER = "ImageID,Source,LabelName,Confidence"
_BLOCK_BYTES = 16 << 20
_ID = re.compile(r"[0-9a-f]{16}")


# --- images ----------------------------------------------------------------------------------


def parse_ids(column: Any) -> np.ndarray | None:
    """Image ids (16 hexadecimal digits) of an Arrow string array as uint64; None where one is malformed."""
    column = column.cast("string") if str(column.type) != "string" else column
    if column.null_count:
        return None
    count, first = len(column), column.offset
    _, offsets, data = column.buffers()
    where = np.frombuffer(offsets, np.int32)[first : first + count + 1]
    if count and not np.all(np.diff(where) == 16):
        return None
    if not count:
        return np.zeros(0, np.uint64)
    text = np.frombuffer(data, np.uint8)[where[0] : where[-1]].reshape(count, 16)
    digits = _NIBBLE[text]
    if digits.max() > 15:
        return None
    packed = (digits[:, 0::2] << 4) | digits[:, 1::2]
    return np.ascontiguousarray(packed).view(">u8")[:, 0].astype(np.uint64)


_NIBBLE = np.full(256, 255, np.uint8)
_NIBBLE[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)
_DIGITS = np.frombuffer(b"0123456789abcdef", np.uint8)


def hex_keys(ids: np.ndarray, before: str = "", after: str = "") -> np.ndarray:
    """(n,) object array of strings: ids as 16 hexadecimal digits between ``before`` and ``after``."""
    import pyarrow as pa

    head, tail = (np.frombuffer(text.encode("ascii"), np.uint8) for text in (before, after))
    width = len(head) + 16 + len(tail)
    keys = np.empty(len(ids), object)
    block = 1 << 20
    for start in range(0, len(ids), block):
        part = ids[start : start + block]
        text = np.empty((len(part), width), np.uint8)
        text[:, : len(head)] = head
        text[:, width - len(tail) :] = tail
        packed = part.astype(">u8").view(np.uint8).reshape(-1, 8)
        text[:, len(head) : len(head) + 16 : 2] = _DIGITS[packed >> 4]
        text[:, len(head) + 1 : len(head) + 17 : 2] = _DIGITS[packed & 15]
        offsets = np.arange(len(part) + 1, dtype=np.int32) * width
        strings = pa.StringArray.from_buffers(len(part), pa.py_buffer(offsets), pa.py_buffer(text.tobytes()))
        keys[start : start + block] = strings.to_numpy(zero_copy_only=False)
    return keys


def listed_ids(listing: Path | None, *labels: Path | None) -> np.ndarray:
    """Sorted ids of the images of a subset, from its images.csv, or from all its labels where there is none."""
    parts = []
    sources = [path for path in (labels if listing is None else (listing,)) if path is not None]
    source = sources[0]
    if listing is None:
        say(f"note: there is no images.csv beside {source}; images without any label are not known")
    for path in sources:
        for batch in _blocks(path, ["ImageID"], newlines=listing is not None):
            ids = parse_ids(batch.column(0))
            if ids is None:
                raise NlcliError(_malformed_id(batch.column(0), path))
            parts.append(ids if listing is not None else np.unique(ids))
    ids = np.concatenate(parts) if parts else np.zeros(0, np.uint64)
    del parts
    ids.sort()
    repeated = np.flatnonzero(ids[1:] == ids[:-1])
    if listing is not None and len(repeated):
        raise NlcliError(f"{listing}: image {ids[repeated[0]]:016x} is listed twice; remove one of the two")
    if listing is None and len(repeated):
        ids = np.unique(ids)
    if not len(ids):
        raise NlcliError(f"{source} lists no images")
    return ids


def _malformed_id(column: Any, path: Path) -> str:
    value = next(value for value in column.to_pylist() if value is None or not _ID.fullmatch(value))
    return f"{path}: ImageID '{shown(str(value))}' is not 16 hexadecimal digits{_line_of(path, value)}"


def _line_of(path: Path, value: str | None) -> str:
    start = ("" if value is None else value) + ","
    with open(path, encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(bounded_lines(lines, path), start=1):
            if line.startswith((start, f'"{value}"')):
                return f" (line {number})"
    return ""


def refuse_shared(images: dict[str, np.ndarray]) -> None:
    """Refuse sorted ids by subset where train and validation have one in common."""
    train, validation = images["train"], images["validation"]
    where = np.minimum(np.searchsorted(train, validation), len(train) - 1)
    shared = validation[train[where] == validation]
    if len(shared):
        raise NlcliError(
            f"{len(shared):,} images are listed for train and for validation ({shared[0]:016x}); an image may be in "
            "one of them only"
        )


def ids_on_disk(folder: Path) -> np.ndarray:
    """Sorted ids of the files ``ID.jpg`` in ``folder``."""
    ids = array("Q")
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                stem, suffix = os.path.splitext(entry.name)
                if suffix == ".jpg" and _ID.fullmatch(stem):
                    ids.append(int(stem, 16))
    except OSError as error:
        do = near_folder(folder) or "--images names the folder with train/ and validation/"
        if isinstance(error, PermissionError):
            do = MAKE_READABLE
        raise NlcliError(f"cannot list {folder}: {error.strerror}; {do}") from error
    return np.sort(np.frombuffer(ids, np.uint64)) if ids else np.zeros(0, np.uint64)


def ids_digest(ids: np.ndarray) -> str:
    """SHA-256 of ids (uint64) in their order."""
    return hashlib.sha256(ids.tobytes()).hexdigest()


def images_present(
    config: BuildOpenImages, subset: str, ids: np.ndarray, there: np.ndarray, left_out: Counter[str]
) -> np.ndarray:
    """Those of the listed ``ids`` that are ``there``, both sorted; the others are counted in ``left_out``.

    Raises:
        NlcliError: more are missing than ``config`` allows.
    """
    assert config.images is not None
    known = np.isin(ids, there, assume_unique=True)
    lost = ids[~known]
    if not len(lost):
        return ids
    sentence = (
        f"{len(lost):,} of {len(ids):,} listed images are not in {config.images / subset} "
        f"({enumerate_some([f'{i:016x}.jpg' for i in lost[:3]], len(lost))})"
    )
    if len(lost) > config.allow_missing * len(ids):
        some = [f"{subset}/{i:016x}.jpg" for i in lost[:MOST_TRIED]]
        raise NlcliError(f"{sentence}; {advice_on_missing(config.images, some, len(lost) / len(ids), fixed=True)}")
    say(f"warning: {sentence}; they are left out")
    left_out["missing images"] += len(lost)
    return ids[known]


# --- labels ----------------------------------------------------------------------------------


def _blocks(path: Path, columns: list[str], *, newlines: bool = False) -> Iterator[Any]:
    """Record batches of ``columns`` of a CSV file with a header; a bar counts its bytes."""
    import pyarrow as pa
    import pyarrow.csv as pacsv

    types = {"ImageID": pa.string(), "LabelName": pa.string(), "Confidence": pa.float32()}
    size = path.stat().st_size
    try:
        with progress(max(size >> 20, 1), f"reading {path.name}", unit="MiB") as bar, pa.OSFile(str(path)) as file:
            reader = pacsv.open_csv(
                file,
                pacsv.ReadOptions(block_size=_BLOCK_BYTES, use_threads=True),
                pacsv.ParseOptions(newlines_in_values=newlines),
                pacsv.ConvertOptions(
                    include_columns=columns,
                    column_types={name: types[name] for name in columns},
                    strings_can_be_null=False,
                    null_values=[],
                ),
            )
            done = 0
            for batch in reader:
                now = min(file.tell(), size) >> 20
                bar.advance(now - done)
                done = now
                if batch.num_rows:
                    yield batch
            bar.advance(max(size >> 20, 1) - done)
    except (pa.ArrowInvalid, KeyError) as error:
        if not newlines:
            _name_malformed_line(path)
        text = " ".join(str(error).split())[:200]
        raise NlcliError(f"{path}: not the expected CSV file ({text}); download it again") from error
    except OSError as error:
        raise NlcliError(f"cannot read {path}: {error}") from error


def _name_malformed_line(path: Path, human: bool = False) -> None:
    """Raise for the first line of a label file that is not as it should be; only called for a broken file."""
    for number, line in read_lines(path):
        if number == 1:
            if line != _HEADER:
                raise NlcliError(f"{path}, line 1: expected the header {_HEADER}, found '{shown(line)}'")
            continue
        cells = line.split(",")
        where = f"{path}, line {number}"
        if len(cells) != 4:
            raise NlcliError(f"{where}: {len(cells)} cells, expected 4 ({_HEADER})")
        if not _ID.fullmatch(cells[0]):
            raise NlcliError(f"{where}: ImageID '{shown(cells[0])}' is not 16 hexadecimal digits")
        try:
            confidence = float(cells[3])
        except ValueError:
            confidence = math.nan
        if not 0 <= confidence <= 1 or (human and confidence not in (0, 1)):
            wanted = "0.0 or 1.0" if human else "a number from 0 to 1"
            raise NlcliError(f"{where}: Confidence '{shown(cells[3])}' is not {wanted}")


class LabelReader:
    """Reads label files into sparse matrices of the known images and classes."""

    def __init__(self, ids: tuple[str, ...], images: dict[str, np.ndarray], left_out: Counter[str]) -> None:
        import pyarrow as pa

        self.ids = ids
        self.images = images
        self.left_out = left_out
        self.strangers = Counter[str]()
        self.labels_read = 0
        self._values = pa.array(ids, pa.string())

    def labels(self, path: Path | None, subset: str, *, human: bool = False) -> csr_array:
        """(n, C) float32 CSR of the highest confidences; for ``human``, 1 present, 2 absent, 3 both."""
        import pyarrow as pa
        import pyarrow.compute as pc

        images = self.images[subset]
        read_before, strange_before = self.labels_read, self.strangers.total()
        rows: list[np.ndarray] = []
        columns: list[np.ndarray] = []
        values: list[np.ndarray] = []
        for batch in () if path is None else _blocks(path, ["ImageID", "LabelName", "Confidence"]):
            assert path is not None
            ids = parse_ids(batch.column(0))
            confidence = batch.column(2).to_numpy(zero_copy_only=False)
            valid = (confidence >= 0) & (confidence <= 1)
            if human:
                valid &= (confidence == 0) | (confidence == 1)
            if ids is None or not valid.all():
                _name_malformed_line(path, human)
                raise NlcliError(f"{path}: a line is malformed; download the file again")
            code = pc.index_in(batch.column(1), value_set=self._values)
            if code.null_count:
                for entry in pc.value_counts(batch.column(1).filter(pc.is_null(code))):
                    self.strangers[entry["values"].as_py()] += entry["counts"].as_py()
            self.labels_read += len(ids)
            row = np.searchsorted(images, ids)
            row[row == len(images)] = 0
            listed = images[row] == ids
            known = np.asarray(pc.is_valid(code))
            self.left_out[f"{'human' if human else 'machine'} labels"] += int(np.sum(~(listed & known)))
            if not listed.all():
                self.left_out["of unlisted images"] += int(np.sum(~listed))
            keep = listed & known
            if human:
                confidence = np.where(confidence == 1, np.float32(1), np.float32(2))
            else:
                keep &= confidence > 0
            rows.append(row[keep].astype(np.int32))
            columns.append(np.asarray(pc.fill_null(code, pa.scalar(0, pa.int32())))[keep].astype(np.int32))
            values.append(confidence[keep])
        if path is not None:
            self._refuse_strange(path, self.strangers.total() - strange_before, self.labels_read - read_before)
        shape = (len(images), len(self.ids))
        entries = _joined(rows, np.int32), _joined(columns, np.int32), _joined(values, np.float32)
        return compress(*entries, shape, either=human)

    def _refuse_strange(self, path: Path, strange: int, read: int) -> None:
        """Refuse a file of ``read`` labels of which most name no known class."""
        if 2 * strange > read:
            raise NlcliError(
                f"{strange:,} of {read:,} labels of {path} name classes that the class list lacks "
                f"({self._commonest()}); the class list is for other files"
            )

    def _commonest(self) -> str:
        """The unknown classes that are named most often."""
        most = [f"{name} {count:,}x" for name, count in self.strangers.most_common(3)]
        return enumerate_some(most, len(self.strangers))

    def tell_left_out(self) -> None:
        """Say how many labels are left out: those of images that are not listed, and those of no known class."""
        unlisted = self.left_out["of unlisted images"]
        if unlisted:
            say(
                f"note: {unlisted:,} of {self.labels_read:,} labels are of images that images.csv does not list, or "
                "that are not in the folder; they are left out"
            )
        total = self.strangers.total()
        if not total:
            return
        say(
            f"note: {total:,} of {self.labels_read:,} labels name {len(self.strangers):,} classes that the class list "
            f"lacks ({self._commonest()}); they are left out"
        )


def _joined(parts: list[np.ndarray], dtype: Any) -> np.ndarray:
    """The parts in one array; each part is let go as soon as it is copied."""
    whole = np.empty(sum(map(len, parts)), dtype)
    position = 0
    for i, part in enumerate(parts):
        whole[position : position + len(part)] = part
        position += len(part)
        parts[i] = whole[:0]
    return whole


def compress(
    rows: np.ndarray, columns: np.ndarray, values: np.ndarray, shape: tuple[int, int], *, either: bool = False
) -> csr_array:
    """CSR of entries that may repeat: the highest value of each counts, or, with ``either``, their bitwise or."""
    from scipy.sparse import csr_array

    if np.any(rows[1:] < rows[:-1]):  # files are sorted by image as a rule
        order = np.argsort(rows, kind="stable")
        rows, columns, values = rows[order], columns[order], values[order]
    counts = np.bincount(rows, minlength=shape[0])
    indptr = np.concatenate(([0], np.cumsum(counts)))
    matrix = csr_array((values, columns, indptr), shape=shape)
    matrix.sort_indices()
    first = np.ones(matrix.nnz, bool)
    first[1:] = matrix.indices[1:] != matrix.indices[:-1]
    starts = matrix.indptr[:-1]
    first[starts[starts < matrix.nnz]] = True
    if not first.all():
        where = np.flatnonzero(first)
        if either:
            data = np.bitwise_or.reduceat(matrix.data.astype(np.uint8), where).astype(np.float32)
        else:
            data = np.maximum.reduceat(matrix.data, where)
        indptr = running_count(first)[matrix.indptr]
        matrix = csr_array((data, matrix.indices[where], indptr), shape=shape)
    return matrix


def running_count(chosen: np.ndarray) -> np.ndarray:
    """How many of ``chosen`` stand before each position: (n + 1,) int32."""
    total = np.zeros(len(chosen) + 1, np.int32)
    np.cumsum(chosen, out=total[1:])
    return total


# --- classes and groups ----------------------------------------------------------------------

_CLASS_ID = re.compile(r"/[a-z]/[0-9a-z_]+")


def read_dictionary(path: Path) -> dict[str, str]:
    """Class id -> name of ``dict.csv`` (quoted, no header), in file order."""
    name_of: dict[str, str] = {}
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(bounded_lines(file, path), strict=True)
            for cells in reader:
                if not cells:
                    continue
                where = f"{path}, line {reader.line_num}"
                if len(cells) != 2 or not _CLASS_ID.fullmatch(cells[0]) or not cells[1].strip():
                    raise NlcliError(f"{where}: expected an id and a name in quotes, found '{shown(','.join(cells))}'")
                if cells[0] in name_of:
                    raise NlcliError(f"{where}: class {cells[0]} stands in the file twice")
                name_of[cells[0]] = cells[1].strip()
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise NlcliError(f"cannot read {path}: {error}") from error
    if not name_of:
        raise NlcliError(f"{path} is empty")
    return name_of


def read_class_list(path: Path) -> tuple[str, ...]:
    """Class ids, one a line."""
    line_of: dict[str, int] = {}
    for number, line in read_lines(path):
        name = line.strip().strip('"')
        if not _CLASS_ID.fullmatch(name):
            raise NlcliError(f"{path}, line {number}: '{shown(line)}' is not a class id such as /m/06ht1")
        if name in line_of:
            raise NlcliError(f"{path}, line {number}: class {name} already stands in line {line_of[name]}")
        line_of[name] = number
    if not line_of:
        raise NlcliError(f"{path} is empty")
    return tuple(line_of)


def unique_names(ids: tuple[str, ...], names: dict[str, str]) -> tuple[str, ...]:
    """A name for every class: that of the dictionary, with the id where several share it (two are 'organ')."""
    plain = [names.get(i, i) for i in ids]
    shared = {name for name, count in Counter(plain).items() if count > 1}
    return tuple(f"{name} ({i})" if name in shared else name for i, name in zip(ids, plain, strict=True))
