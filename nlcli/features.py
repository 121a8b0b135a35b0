"""Features of every image of a data set, computed once: extraction to shards, and reading them.

A features directory holds

================================ ==============================================================
``features.json``                backbone, fingerprints, precision, decoding, shape, dtype
``index.parquet``                one row an image: key, shard, row (-1 if broken), status, error, path
``shards/features-00000.h5``     contiguous features, see ``nlcli.shards``
``last_layer.npz``               kernel, bias and classes of the backbone's classifier, if any
================================ ==============================================================

The images are decoded as the backbone's preprocessing says, which is what it was trained with
here; ``nlcli.images`` tells where that differs from the pipelines of its ImageNet weights.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nlcli.errors import NlcliError
from nlcli.progress import progress, say
from nlcli.runtime import quiet_tensorflow
from nlcli.shards import Shard, ShardRecord, read_shard_record, shard_path, write_shard
from nlcli.stage import (
    RECORD,
    StageRecord,
    atomic_path,
    fingerprint_json,
    open_stage,
    read_json,
    read_stage,
    write_json,
)

if TYPE_CHECKING:
    from nlcli.backbones import Backbone
    from nlcli.config import ExtractFeatures
    from nlcli.labels import LabelTable

SCHEMA = 1
_DESCRIPTION, _INDEX, _LAST_LAYER = "features.json", "index.parquet", "last_layer.npz"


class StoredLastLayer(NamedTuple):
    """The backbone's own classifier on these features: ``logits = features @ kernel + bias``."""

    kernel: np.ndarray  # (D, C) float32
    bias: np.ndarray  # (C,) float32
    classes: tuple[str, ...]


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
        keys: (N,) keys of the images, row by row.
        errors: Reason by key of the images that could not be read.
        backbone_fingerprint: ``Backbone.fingerprint`` of what computed the features.
        dataset_fingerprint: ``LabelTable.fingerprint`` of the data set.
        image_root: Where the images lay.
        last_layer: The backbone's classifier, or None.
        info: All of ``features.json``.

    Raises:
        NlcliError: not a features directory, or a file of it is missing, cut short or damaged.
    """

    def __init__(self, path: Path | str) -> None:
        record = read_stage(path, "features")
        self.path = record.path
        self.info = read_json(self.path / _DESCRIPTION)
        try:
            if self.info["schema"] > SCHEMA:
                raise NlcliError(f"{self.path} was written by a newer nlcli; update nlcli")
            self.dtype = np.dtype(self.info["dtype"])
            self.backbone_fingerprint = str(self.info["backbone_fingerprint"])
            self.dataset_fingerprint = str(self.info["dataset_fingerprint"])
            self.image_root = Path(str(self.info["image_root"]))
            width, count = int(self.info["num_features"]), int(self.info["shards"])
        except (KeyError, TypeError, ValueError) as error:
            raise NlcliError(
                f"{self.path / _DESCRIPTION} does not describe features ({error}); extract them again") from error
        if self.dtype not in (np.float32, np.float16):
            raise NlcliError(f"{self.path / _DESCRIPTION} names dtype {self.dtype}; features are float32 or float16")
        paths = [shard_path(self.path, number) for number in range(count)]
        self._shards = [Shard(where, read_shard_record(where), width, self.dtype) for where in paths]
        self._ends = np.cumsum([shard.rows for shard in self._shards], dtype=np.int64)
        self._starts = self._ends - [shard.rows for shard in self._shards]
        self.shape = (int(self._ends[-1]) if count else 0, width)
        self.keys, self.errors = self._read_index()
        self.last_layer = self._read_last_layer()
        self._row_of: Any = None
        self._gather: _Gather | None = None
        self._checked = False

    def __len__(self) -> int:
        return self.shape[0]

    def _read_index(self) -> tuple[np.ndarray, dict[str, str]]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        where = self.path / _INDEX
        try:
            table = pq.read_table(where)
            if not table.schema.equals(_index_schema()):
                raise NlcliError(f"{where} does not have the columns of a features index; extract the features again")
        except (OSError, pa.ArrowException) as error:
            raise NlcliError(f"cannot read {where} ({error}); extract the features again") from error
        keys = table.column("key").to_numpy(zero_copy_only=False)
        shard, row = table.column("shard").to_numpy(), table.column("row").to_numpy()
        good = row >= 0
        within = (shard >= 0) & (shard < len(self._shards))
        places = self._starts[shard[good & within]] + row[good & within]
        if not within.all() or not np.array_equal(np.sort(places), np.arange(self.shape[0])):
            raise NlcliError(f"{where} does not fit its shards; extract the features again")
        ordered = np.empty(self.shape[0], object)
        ordered[places] = keys[good]
        broken = np.flatnonzero(~good)
        reasons = table.column("error").take(broken).to_pylist()
        return ordered, dict(zip(keys[broken].tolist(), reasons, strict=True))

    def _read_last_layer(self) -> StoredLastLayer | None:
        where = self.path / _LAST_LAYER
        if not where.exists():
            return None
        try:
            with np.load(where, allow_pickle=False) as arrays:
                found = StoredLastLayer(arrays["kernel"], arrays["bias"], tuple(arrays["classes"].tolist()))
        except Exception as error:  # a damaged archive raises nearly anything
            raise NlcliError(f"cannot read {where} ({error}); extract the features again") from error
        if found.kernel.shape != (self.shape[1], len(found.classes)) or found.bias.shape != (len(found.classes),):
            raise NlcliError(f"{where} does not fit these features; extract them again")
        return found

    def rows_of(self, keys: Sequence[str] | np.ndarray, strict: bool = True) -> np.ndarray:
        """(n,) int64 rows of images by key.

        Args:
            keys: Keys of the data set.
            strict: Whether a missing or broken image is an error; otherwise its row is -1.

        Raises:
            NlcliError: an image has no features (the first is named), or a key occurs twice.
        """
        import pandas as pd

        if self._row_of is None:
            self._row_of = pd.Index(self.keys)
            if not self._row_of.is_unique:
                repeated = self._row_of[self._row_of.duplicated()][0]
                self._row_of = None
                raise NlcliError(f"{self.path / _INDEX} lists image '{repeated}' twice; extract the features again")
        wanted = np.asarray(keys, object)
        rows = self._row_of.get_indexer(wanted).astype(np.int64)
        if strict and (rows < 0).any():
            missing = str(wanted[rows < 0][0])
            if missing in self.errors:
                raise NlcliError(f"image '{missing}' could not be read for {self.path}: {self.errors[missing]}")
            raise NlcliError(
                f"{self.path} has no features of image '{missing}'; extract the features of this data set again")
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
        import pandas as pd
        import pyarrow.parquet as pq

        index = pq.read_table(self.path / _INDEX, columns=["key", "path"])
        row = pd.Index(index.column("key").to_numpy(zero_copy_only=False)).get_indexer(table.keys)
        known = index.column("path").to_numpy(zero_copy_only=False)[row]
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
            self._arrays[int(addresses.argmin())], ((end - lowest - row_bytes) // unit + 1, width),
            (unit, arrays[0].itemsize), writeable=False,
        )
        self._step = row_bytes // unit
        self._origin = np.zeros(len(arrays), np.int64)
        filled = [number for number, array in enumerate(arrays) if len(array)]
        self._origin[filled] = (addresses - lowest) // unit - starts[filled] * self._step

    def __call__(self, rows: np.ndarray, number: np.ndarray) -> np.ndarray:
        """Copy of ``rows`` (n,), counted over all arrays; ``number`` tells the array of each."""
        return self._view[self._origin[number] + rows * self._step]


def require_finite(features: np.ndarray, key: Callable[[int], str]) -> None:
    """Refuse ``features`` (n, D) with a NaN or an infinite value; ``key`` names the image of a position.

    Raises:
        NlcliError: naming the first such image.
    """
    for first in range(0, len(features), 1024):
        part = features[first : first + 1024]
        # A sum is finite only if its terms are: one pass, without a temporary of the table's size.
        for row in np.flatnonzero(~np.isfinite(part.sum(axis=1, dtype=np.float32))):
            if not np.isfinite(part[row]).all():
                raise NlcliError(f"features of image '{key(first + int(row))}' are not finite; extract them again")


# --- extraction ------------------------------------------------------------------------------


def extract_features(config: ExtractFeatures, *, force: bool = False) -> Path:
    """Compute the pooled features of every image of a data set; returns the directory written.

    Images that cannot be read become rows of the index with an error and are counted at the end.
    A shard that is finished is not computed again when a killed extraction is resumed.

    Raises:
        NlcliError: no such data set or backbone, no image that can be read, features that are not
            finite.
    """
    quiet_tensorflow()
    dataset = read_stage(config.dataset, "dataset")
    if config.precision == "auto":  # what is computed depends on the machine, so the recipe says it
        from nlcli.backbones import resolve_precision

        config = config.model_copy(update={"precision": resolve_precision("auto")})
    inputs = {"dataset": dataset, **backbone_inputs(config.backbone, config.weights)}
    with open_stage("features", config, inputs, force=force) as stage:
        if stage.up_to_date:
            return stage.output
        from nlcli.backbones import describe, open_backbone
        from nlcli.labels import read_dataset

        table = read_dataset(config.dataset)
        opened = open_backbone(config.backbone, config.weights)
        backbone = opened.with_decode(config.decode)
        say(f"backbone: {describe(backbone)}; {config.precision} arithmetic")
        keys = [str(key) for key in table.keys]
        images = [table.image_path(row) for row in range(len(table))]
        records = _extract_shards(config, backbone, stage.work, keys, images)
        broken = sum(len(record.errors) for record in records)
        if broken == len(keys):
            reason = records[0].errors[0][1] if records and records[0].errors else "the data set is empty"
            raise NlcliError(f"none of the {len(keys)} images of {config.dataset} could be read; the first: {reason}")
        _write_index(stage.work / _INDEX, keys, [str(path) for path in table.paths], records, config.shard_rows)
        if backbone.last_layer is not None:
            kernel, bias, classes = backbone.last_layer
            with atomic_path(stage.work / _LAST_LAYER) as path, open(path, "wb") as file:
                np.savez(file, kernel=kernel, bias=bias, classes=np.array(classes))
        described = {
            "schema": SCHEMA, "images": len(keys), "broken": broken, "num_features": backbone.num_features,
            "dtype": config.dtype, "shards": len(records), "precision": config.precision,
            "preprocessing": backbone.preprocessing.model_dump(), "backbone": backbone.name,
            "backbone_fingerprint": backbone.fingerprint, "dataset_fingerprint": table.fingerprint,
            "image_root": os.path.abspath(table.image_root),
        }
        write_json(stage.work / _DESCRIPTION, described)
        hashes = {
            shard_path(stage.work, number).relative_to(stage.work).as_posix(): record.sha256
            for number, record in enumerate(records)
        }
        stage.finish(
            {name: described[name] for name in ("images", "broken", "num_features", "dtype", "precision", "backbone")},
            content=hashes,
        )
    if broken:
        say(f"{broken} of {len(keys)} images could not be read; column 'error' of {config.output / _INDEX} says why")
    return stage.output


def backbone_inputs(backbone: str, weights: str) -> dict[str, StageRecord | Path | str]:
    """What a stage depends on that opens ``backbone`` with ``weights``, without loading the network.

    Raises:
        NlcliError: the backbone or its weights are not there.
    """
    path = Path(backbone)
    if (path / "backbone.json").is_file():
        if weights != "imagenet":
            raise NlcliError(f"{path} is a saved backbone and has its weights; leave out --weights")
        return {"backbone": _saved(path)}
    found: dict[str, StageRecord | Path | str] = {"backbone": fingerprint_json(backbone)}
    file = Path(weights)
    if weights in ("imagenet", "none"):
        found["weights"] = fingerprint_json(weights)
    elif (file / "backbone.json").is_file():
        found["weights"] = _saved(file)
    elif file.is_file():
        found["weights"] = file
    return found  # anything else is not there, which opening it will say


def _saved(path: Path) -> StageRecord | str:
    if (path / RECORD).exists():
        return read_stage(path)
    return fingerprint_json(read_json(path / "backbone.json"))  # it tells of the weights' fingerprint


def _extract_shards(
    config: ExtractFeatures, backbone: Backbone, work: Path, keys: list[str], images: list[Path]
) -> list[ShardRecord]:
    (work / "shards").mkdir(exist_ok=True)
    parts = [slice(first, first + config.shard_rows) for first in range(0, len(keys), config.shard_rows)]
    paths = [shard_path(work, number) for number in range(len(parts))]
    records = {
        number: read_shard_record(path) for number, path in enumerate(paths)
        if path.exists() and path.with_suffix(".json").exists()
    }
    done = sum(record.images for record in records.values())
    compute = backbone.inference(config.precision, "features") if len(records) < len(parts) else None
    with progress(len(keys), f"features of {backbone.name}", unit="images", done=done) as bar:
        for number, part in enumerate(parts):
            if number not in records:
                assert compute is not None
                features, errors = _features_of(config, backbone, compute, keys[part], images[part], bar.advance)
                records[number] = write_shard(paths[number], features, errors)
    return [records[number] for number in range(len(parts))]


def _features_of(
    config: ExtractFeatures, backbone: Backbone, compute: Callable[[np.ndarray], Any], keys: list[str],
    images: list[Path], advance: Callable[[int], None],
) -> tuple[np.ndarray, list[tuple[int, str]]]:
    """Features (n, D) of the images that can be read, in order, and the errors of the others."""
    from nlcli.images import iterate_images

    features = np.empty((len(images), backbone.num_features), config.dtype)
    errors: list[tuple[int, str]] = []
    filled = 0

    def store(rows: np.ndarray, result: Any) -> None:
        nonlocal filled
        target = features[filled : filled + len(rows)]
        with np.errstate(over="ignore"):  # told below, with the image's name
            target[:] = np.asarray(result)
        finite = np.isfinite(target).all(axis=1)
        if not finite.all():
            raise NlcliError(
                f"the features of image '{keys[int(rows[~finite][0])]}' contain NaN or infinity in {config.precision}, "
                f"stored as {config.dtype}; try --precision float32 --dtype float32, or other weights"
            )
        filled += len(rows)

    # On a GPU the call returns before the result is there: the next batch is sent first, then the
    # result of this one fetched.
    under_way: tuple[np.ndarray, Any] | None = None
    for batch in iterate_images(images, backbone.preprocessing, config.batch_size, config.workers):
        errors += batch.errors
        result = compute(batch.images) if len(batch.rows) else None
        if under_way is not None:
            store(*under_way)
        under_way = (batch.rows, result) if result is not None else None
        advance(len(batch.rows) + len(batch.errors))
    if under_way is not None:
        store(*under_way)
    return features[:filled], errors


def _index_schema() -> Any:
    import pyarrow as pa

    return pa.schema([
        ("key", pa.string()), ("shard", pa.int32()), ("row", pa.int32()), ("status", pa.string()),
        ("error", pa.string()), ("path", pa.string()),
    ])


def _write_index(
    path: Path, keys: list[str], paths: list[str], records: list[ShardRecord], shard_rows: int
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    row = np.empty(len(keys), np.int32)
    reasons: list[str | None] = [None] * len(keys)
    for number, record in enumerate(records):
        good = np.ones(record.images, bool)
        for position, reason in record.errors:
            good[position] = False
            reasons[number * shard_rows + position] = reason
        first = number * shard_rows
        row[first : first + record.images] = np.where(good, np.cumsum(good) - 1, -1)
    table = pa.table(
        {
            "key": keys, "shard": np.arange(len(keys), dtype=np.int32) // shard_rows, "row": row,
            "status": np.where(row >= 0, "ok", "error").tolist(), "error": reasons, "path": paths,
        },
        schema=_index_schema(),
    )
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary)
