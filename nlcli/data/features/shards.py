"""One shard of a feature cache: an HDF5 file with one contiguous dataset, and a record beside it.

``features-00000.h5`` holds ``features`` (rows, D), uncompressed and contiguous at a multiple of 4
KiB, so that anything that reads HDF5 can read it and this program can map it into memory, which
is five times as fast as h5py's own gather. ``features-00000.json`` is written after it: number of
rows, hash of the file, a checksum of every block of rows, and the images that could not be read.
A shard with both files is whole.

Reading checks what it reads: each block against its checksum the first time that one of its rows
is asked for. A flipped bit is therefore noticed wherever it matters, at the price of one pass.
"""

from __future__ import annotations

import hashlib
import math
import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nlcli.errors import NlcliError
from nlcli.stages.files import atomic_path, read_json, write_json

DATASET = "features"
_BLOCK_BYTES = 1 << 17  # of a checksum: small, so that scattered rows do not draw in whole shards


@dataclass(frozen=True)
class ShardRecord:
    """What stands beside a shard.

    Attributes:
        rows: Rows of features.
        images: Images it stands for, broken ones included.
        bytes: Length of the file.
        sha256: Hash of the file.
        block_rows: Rows in a block of a checksum.
        crc32: CRC-32 of each block's bytes.
        errors: Position among its images, and reason, of those that could not be read.
    """

    rows: int
    images: int
    bytes: int
    sha256: str
    block_rows: int
    crc32: tuple[int, ...]
    errors: tuple[tuple[int, str], ...]


def shard_path(directory: Path, number: int) -> Path:
    """Where shard ``number`` of a features directory lies."""
    return directory / "shards" / f"features-{number:05d}.h5"


def write_shard(path: Path, features: np.ndarray, errors: list[tuple[int, str]]) -> ShardRecord:
    """Write ``features`` (rows, D) and the record beside them; both whole or not at all."""
    features = np.ascontiguousarray(features)
    block_rows = max(1, _BLOCK_BYTES // (features.shape[1] * features.itemsize))
    checksums = tuple(
        zlib.crc32(features[first : first + block_rows].data) for first in range(0, len(features), block_rows)
    )
    with atomic_path(path) as temporary:
        with h5py.File(temporary, "w", alignment_threshold=4096, alignment_interval=4096) as file:
            file.create_dataset(DATASET, data=features, track_times=False)
        with open(temporary, "rb") as written:
            digest = hashlib.file_digest(written, "sha256").hexdigest()
        size = temporary.stat().st_size
    record = ShardRecord(
        len(features), len(features) + len(errors), size, f"sha256:{digest}", block_rows, checksums, tuple(errors)
    )
    write_json(path.with_suffix(".json"), asdict(record))
    return record


def read_shard_record(path: Path) -> ShardRecord:
    """The record beside the shard at ``path``."""
    beside = path.with_suffix(".json")
    stored = read_json(beside)
    try:
        record = ShardRecord(
            rows=int(stored["rows"]),
            images=int(stored["images"]),
            bytes=int(stored["bytes"]),
            sha256=str(stored["sha256"]),
            block_rows=int(stored["block_rows"]),
            crc32=tuple(int(value) for value in stored["crc32"]),
            errors=tuple((int(position), str(reason)) for position, reason in stored["errors"]),
        )
        whole = record.rows >= 0 and record.block_rows > 0 and record.images == record.rows + len(record.errors)
        if not whole or len(record.crc32) != math.ceil(record.rows / record.block_rows):
            raise ValueError("its numbers contradict each other")
    except (KeyError, TypeError, ValueError) as error:
        raise NlcliError(f"{beside} is not the record of a shard ({error}); extract the features again") from error
    return record


def shard_records(directory: Path, count: int) -> Iterator[ShardRecord]:
    """The records of all shards of a features directory, one at a time: together they are large."""
    for number in range(count):
        yield read_shard_record(shard_path(directory, number))


@dataclass(frozen=True)
class Written:
    """What all shards of a features directory are together.

    Attributes:
        broken: Images that could not be read.
        reason: Why the first of them could not.
        hashes: Of every file, by its path in the directory.
    """

    broken: int
    reason: str | None
    hashes: dict[str, str]

    @classmethod
    def of(cls, records: Iterable[ShardRecord]) -> Written:
        """Of all its shards, in their order."""
        broken, reason, hashes = 0, None, {}
        for number, record in enumerate(records):
            if record.errors and reason is None:
                reason = record.errors[0][1]
            broken += len(record.errors)
            hashes[shard_path(Path(), number).as_posix()] = record.sha256
        return cls(broken, reason, hashes)


class Shard:
    """Reading one shard.

    Args:
        path: The HDF5 file.
        record: What stands beside it.
        width: D, length of a row.
        dtype: float32 or float16.

    Attributes:
        rows: Rows it holds.
        all_checked: Whether every block has been found to match its checksum.

    Raises:
        NlcliError: the file is missing, cut short or longer than it was.
    """

    def __init__(self, path: Path, record: ShardRecord, width: int, dtype: np.dtype) -> None:
        self.path = path
        self.rows = record.rows
        self.all_checked = record.rows == 0
        self._record = record
        self._width = width
        self._dtype = dtype
        self._row_bytes = width * dtype.itemsize
        self._offset: int | None = None
        self._mapped: np.ndarray | None = None
        self._checked = np.zeros(len(record.crc32), bool)
        try:
            size = os.stat(path).st_size
        except OSError as error:
            raise NlcliError(f"shard {path} is not there ({error.strerror}); {self._remedy}") from error
        if size != record.bytes:
            how = "cut short" if size < record.bytes else "longer than it was"
            raise NlcliError(f"shard {path} is {how} ({size:,} bytes instead of {record.bytes:,}); {self._remedy}")

    @property
    def _remedy(self) -> str:
        return f"remove {self.path.parent.parent} and extract the features again"

    def offset(self) -> int:
        """Where the features begin in the file; its header is checked the first time.

        Raises:
            NlcliError: not HDF5, another shape or type, data kept elsewhere (links), or compressed.
        """
        if self._offset is None:
            try:
                with h5py.File(self.path, "r") as file:
                    self._offset = self._described(file)
            except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
                raise NlcliError(f"shard {self.path} cannot be read as HDF5 ({error}); {self._remedy}") from error
        return self._offset

    def _described(self, file: h5py.File) -> int:
        if not isinstance(file.get(DATASET, getlink=True), h5py.HardLink):
            raise NlcliError(f"shard {self.path} keeps its features behind a link, which is refused; {self._remedy}")
        data = file[DATASET]
        if not isinstance(data, h5py.Dataset) or data.external or data.is_virtual:
            raise NlcliError(f"shard {self.path} keeps its features in another file, which is refused; {self._remedy}")
        if data.shape != (self.rows, self._width) or data.dtype != self._dtype:
            raise NlcliError(
                f"shard {self.path} holds {data.shape} {data.dtype}, not ({self.rows}, {self._width}) {self._dtype}; "
                f"{self._remedy}"
            )
        offset = data.id.get_offset() if self.rows else 0
        if data.chunks is not None or offset is None or offset + self.rows * self._row_bytes > self._record.bytes:
            raise NlcliError(f"shard {self.path} does not hold its features in one piece; {self._remedy}")
        return int(offset)

    def mapped(self) -> np.ndarray:
        """All rows, mapped into memory and read only; nothing is checked but the header."""
        if self._mapped is None:
            if self.rows == 0:
                self._mapped = np.empty((0, self._width), self._dtype)
            else:
                shape = (self.rows, self._width)
                # A plain view: NumPy's memmap class makes every small operation slower.
                self._mapped = np.memmap(self.path, self._dtype, "r", self.offset(), shape).view(np.ndarray)
        return self._mapped

    def check(self, rows: np.ndarray) -> None:
        """Check the blocks of ``rows`` (n,) against their checksums, those that were not checked before."""
        if not self.all_checked:
            mapped = self.mapped()
            for block in self._unchecked(rows):
                self._check(block, mapped[block * self._record.block_rows :][: self._record.block_rows].data)

    def read_into(self, rows: np.ndarray, out: np.ndarray) -> None:
        """Read increasing ``rows`` (n,) into ``out`` (n, D) through the page cache, mapping nothing."""
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            start = self.offset()
            if not self.all_checked:
                size = self._record.block_rows * self._row_bytes
                for block in self._unchecked(rows):
                    wanted = min(size, self.rows * self._row_bytes - block * size)
                    self._check(block, os.pread(descriptor, wanted, start + block * size))
            breaks = np.flatnonzero(np.diff(rows) != 1) + 1
            flat = out.reshape(-1).view(np.uint8).data
            firsts = np.concatenate([[0], breaks]).tolist()
            for first, stop in zip(firsts, [*breaks.tolist(), len(rows)], strict=True):
                where = start + int(rows[first]) * self._row_bytes
                part = flat[first * self._row_bytes : stop * self._row_bytes]
                while len(part):
                    count = os.preadv(descriptor, [part], where)
                    if count == 0:
                        raise NlcliError(f"shard {self.path} is cut short; {self._remedy}")
                    part, where = part[count:], where + count
        except OSError as error:
            raise NlcliError(f"shard {self.path} cannot be read ({error.strerror}); {self._remedy}") from error
        finally:
            os.close(descriptor)

    def _unchecked(self, rows: np.ndarray) -> list[int]:
        wanted = np.zeros(len(self._checked), bool)
        wanted[rows // self._record.block_rows] = True
        return np.flatnonzero(wanted & ~self._checked).tolist()

    def _check(self, block: int, content: Any) -> None:
        if zlib.crc32(content) != self._record.crc32[block]:
            first = block * self._record.block_rows
            last = min(first + self._record.block_rows, self.rows) - 1
            raise NlcliError(
                f"shard {self.path} was altered: rows {first} to {last} do not match their checksum; {self._remedy}"
            )
        self._checked[block] = True
        self.all_checked = bool(self._checked.all())

    def verify(self) -> None:
        """Check the header and the hash of the whole file."""
        self.offset()
        with open(self.path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if f"sha256:{digest}" != self._record.sha256:
            raise NlcliError(f"shard {self.path} was altered: it does not match its hash; {self._remedy}")
