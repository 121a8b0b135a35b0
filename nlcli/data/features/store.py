"""Reading a features directory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nlcli.data.features.description import DESCRIPTION, FeaturesRecord
from nlcli.data.features.index import INDEX, read_index
from nlcli.data.features.shards import Shard, read_shard_record, shard_path
from nlcli.data.pictures import picture_root
from nlcli.errors import NlcliError
from nlcli.networks.linear_layer import LAST_LAYER, LinearLayer
from nlcli.stages.arrow_arrays import numpy_texts, rows_of
from nlcli.stages.own_tables import read_own_table
from nlcli.stages.stage import read_stage

if TYPE_CHECKING:
    from nlcli.data.labels import LabelTable


# --- reading ---------------------------------------------------------------------------------


class FeatureStore:
    """The features of a directory made by ``extract_features``; rows are the images that could be read.

    Opening reads the index and looks at the sizes of the shards. What is read is checked block by
    block the first time; ``verify`` checks everything.

    Args:
        path: Features directory.

    Attributes:
        path: The same.
        shape: (N, D).
        dtype: float32 or float16, as stored.
        errors: Reason by key of the images that could not be read.
        backbone_fingerprint: ``Backbone.fingerprint`` of what computed the features.
        dataset_fingerprint: ``LabelTable.fingerprint`` of the data set.
        image_root: Where the images lay.
        last_layer: The backbone's classifier, or None.
        record: What ``features.json`` says.

    Raises:
        NlcliError: not a features directory, or a file of it is missing, cut short or damaged.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = read_stage(path, "features").path
        self.record = FeaturesRecord.read(self.path / DESCRIPTION)
        self.dtype = np.dtype(self.record.dtype)
        self.backbone_fingerprint = self.record.backbone_fingerprint
        self.dataset_fingerprint = self.record.dataset_fingerprint
        self.image_root = picture_root(self.path, Path(self.record.image_root))
        width, count = self.record.num_features, self.record.shards
        # one at a time: the first that is not there ends a count that is not true
        paths = (shard_path(self.path, number) for number in range(count))
        self._shards = [Shard(where, read_shard_record(where), width, self.dtype) for where in paths]
        self._ends = np.cumsum([shard.rows for shard in self._shards], dtype=np.int64)
        self._starts = self._ends - [shard.rows for shard in self._shards]
        self.shape = (int(self._ends[-1]) if count else 0, width)
        self._keys, self.errors = read_index(self.path / INDEX, self._starts, self.shape[0])
        self.last_layer = self._read_last_layer()
        self._unique = False
        self._gather: _Gather | None = None
        self._checked = False

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def keys(self) -> np.ndarray:
        """(N,) keys of the images, row by row: made when asked for, and then some 100 bytes each."""
        return self._keys.all()

    def _read_last_layer(self) -> LinearLayer | None:
        where = self.path / LAST_LAYER
        return LinearLayer.load(where, self.shape[1], "extract the features again") if where.exists() else None

    def rows_of(self, keys: Sequence[str] | np.ndarray, strict: bool = True) -> np.ndarray:
        """(n,) int64 rows of images by key.

        Args:
            keys: Keys of the data set.
            strict: Whether a missing or broken image is an error; otherwise its row is -1.

        Raises:
            NlcliError: an image has no features (the first is named), or a key occurs twice.
        """
        if not self._unique:
            repeated = self._keys.repeated()
            if repeated is not None:
                raise NlcliError(f"{self.path / INDEX} lists image '{repeated}' twice; extract the features again")
            self._unique = True
        wanted = np.asarray(keys, object)
        rows = self._keys.find(wanted)
        if strict and (rows < 0).any():
            missing = str(wanted[rows < 0][0])
            if missing in self.errors:
                raise NlcliError(f"image '{missing}' could not be read for {self.path}: {self.errors[missing]}")
            raise NlcliError(
                f"{self.path} has no features of image '{missing}'; extract the features of this data set again"
            )
        return rows

    def require_images_of(self, table: LabelTable, dataset: Path | str) -> None:
        """Refuse a data set with other images than these features were computed from.

        The labels may be others: a data set made of the same image files, or of some of them (with
        noise planted, without duplicates, verified otherwise), needs no extraction of its own.

        Raises:
            NlcliError: an image of ``table``, read from ``dataset``, is not among them, or is another file.
        """
        if self.dataset_fingerprint == table.fingerprint:
            return
        index = read_own_table(self.path / INDEX, "extract the features again", columns=("key", "path"))
        row = rows_of(numpy_texts(index.column("key")), table.keys)
        known = numpy_texts(index.column("path"))[row]
        here = Path(os.path.abspath(table.image_root))
        other = np.flatnonzero((row < 0) | (known != table.paths) | (self.image_root != here))
        if len(other):
            i = other[0]
            why = f"image '{table.keys[i]}' was {self.image_root / known[i]}, not {here / str(table.paths[i])}"
            if row[i] < 0:
                why = f"it has no image '{table.keys[i]}'"
            raise NlcliError(
                f"{self.path} holds the features of another data set than {dataset} ({why}); extract features of "
                "this one"
            )

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Features (n, D) of ``rows`` (n,) in any order, in the stored dtype, through memory maps."""
        rows = np.ascontiguousarray(rows, np.int64)
        if not len(rows):
            return np.empty((0, self.shape[1]), self.dtype)
        if np.maximum.reduce(rows.view(np.uint64)) >= self.shape[0]:  # negative ones count as huge
            raise IndexError(f"rows {rows.min()} to {rows.max()} of {self.shape[0]}")
        number = self._ends.searchsorted(rows, side="right")
        if not self._checked:
            for touched in np.unique(number).tolist():
                self._shards[touched].check(rows[number == touched] - self._starts[touched])
            self._checked = all(shard.all_checked for shard in self._shards)
        if self._gather is None:
            self._gather = _Gather([shard.mapped() for shard in self._shards], self._starts)
        return self._gather(rows, number)

    def read_into(self, sorted_rows: np.ndarray, out: np.ndarray) -> None:
        """Read increasing ``sorted_rows`` (n,) into ``out`` (n, D), which has the stored dtype.

        Neighbouring rows are read at one go, and nothing is mapped: resident memory does not grow.
        """
        rows = np.asarray(sorted_rows, np.int64)
        if out.shape != (len(rows), self.shape[1]) or out.dtype != self.dtype or not out.flags.c_contiguous:
            raise ValueError(f"out must be a contiguous {(len(rows), self.shape[1])} array of {self.dtype}")
        if not len(rows):
            return
        if rows[0] < 0 or rows[-1] >= self.shape[0] or (np.diff(rows) < 0).any():
            raise IndexError(f"rows must increase, from 0 to {self.shape[0] - 1}")
        begin = 0
        for number, end in enumerate(rows.searchsorted(self._ends).tolist()):
            if end > begin:
                self._shards[number].read_into(rows[begin:end] - self._starts[number], out[begin:end])
            begin = end

    def verify(self, deep: bool = True) -> None:
        """Check every shard's header; with ``deep`` also the hash of every file and that all values are finite.

        Raises:
            NlcliError: names the shard, or the image whose features are not finite.
        """
        for number, shard in enumerate(self._shards):
            shard.offset()
            if not deep:
                continue
            shard.verify()
            mapped = shard.mapped()
            for first in range(0, shard.rows, 4096):
                finite = np.isfinite(mapped[first : first + 4096]).all(axis=1)
                if not finite.all():
                    key = self.keys[self._starts[number] + first + int(np.argmin(finite))]
                    raise NlcliError(f"features of image '{key}' in {shard.path} are not finite; extract them again")


class _Gather:
    """Rows of several arrays in one indexing operation, as if the arrays stood behind one another.

    A view with the stride of their addresses' common divisor spans all of them and what lies
    between in the address space, which no index ever names. Going from array to array instead
    takes twice as long as one array's gather; concatenating them would take their memory.
    """

    def __init__(self, arrays: list[np.ndarray], starts: np.ndarray) -> None:
        self._arrays = [array for array in arrays if len(array)]  # keeps the mappings alive
        width, row_bytes = arrays[0].shape[1], arrays[0].strides[0]
        addresses = np.array([array.ctypes.data for array in self._arrays], np.int64)
        lowest = int(addresses.min())
        unit = int(np.gcd.reduce([row_bytes, *(addresses - lowest).tolist()]))
        end = max(address + array.nbytes for address, array in zip(addresses.tolist(), self._arrays, strict=True))
        self._view = np.lib.stride_tricks.as_strided(
            self._arrays[int(addresses.argmin())],
            ((end - lowest - row_bytes) // unit + 1, width),
            (unit, arrays[0].itemsize),
            writeable=False,
        )
        self._step = row_bytes // unit
        self._origin = np.zeros(len(arrays), np.int64)
        filled = [number for number, array in enumerate(arrays) if len(array)]
        self._origin[filled] = (addresses - lowest) // unit - starts[filled] * self._step

    def __call__(self, rows: np.ndarray, number: np.ndarray) -> np.ndarray:
        """Copy of ``rows`` (n,), counted over all arrays; ``number`` tells the array of each."""
        copy: np.ndarray = self._view[self._origin[number] + rows * self._step]
        return copy
