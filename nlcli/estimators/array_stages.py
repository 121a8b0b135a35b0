"""Arrays written as the stages that ``train-head`` and ``detect-noise`` read, in a folder that is given or passing."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import numpy as np

from nlcli.data.features.description import DESCRIPTION, FeaturesRecord
from nlcli.data.features.index import INDEX, write_index
from nlcli.data.features.shards import Written, shard_path, write_shard
from nlcli.data.label_files import write_dataset
from nlcli.estimators.feature_rows import Features, dense_parts
from nlcli.estimators.label_arrays import NOWHERE
from nlcli.stages.config import StageConfig
from nlcli.stages.files import fingerprint_json
from nlcli.stages.options import Option, Output
from nlcli.stages.publishing import OutputTaken
from nlcli.stages.stage import open_stage, read_stage

if TYPE_CHECKING:
    from nlcli.data.labels import LabelTable

_Made = TypeVar("_Made")
_LOOK_AGAIN = 0.2  # seconds


class ArrayLabels(StageConfig):
    """Labels that came in arrays."""

    output: Output


class ArrayFeatures(StageConfig):
    """Features that came in an array."""

    dataset: Annotated[Path, Option("Data set directory.", role="input")]
    output: Output


@contextmanager
def workplace(work: str | os.PathLike[str] | None) -> Iterator[Path]:
    """The folder ``work``, made if need be; a passing one where none is given."""
    if work is not None:
        folder = Path(work)
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="nlcli-") as passing:
        yield Path(passing)


def in_turn(make: Callable[[], _Made]) -> _Made:
    """What ``make`` returns, begun again when another fit, of another process or thread, has made what both need.

    Searches fit side by side, and for equal rows there is one directory in their common folder.
    """
    while True:
        try:
            return make()
        except OutputTaken:
            time.sleep(_LOOK_AGAIN)


def place(folder: Path, kind: str, *facts: object) -> Path:
    """Where in ``folder`` the directory lies that ``facts`` (JSON values) decide."""
    return folder / f"{kind}-{fingerprint_json(list(facts)).removeprefix('sha256:')[:16]}"


def backbone_of_arrays(num_features: int) -> str:
    """Fingerprint of whatever made vectors of this length; nobody says what that is."""
    return fingerprint_json(["arrays", num_features])


def fingerprint_of_labels(table: LabelTable) -> str:
    """Of everything that a data set of ``table`` says but keys and paths, which are numbers of rows."""
    arrays = [table.split, table.verification]
    for matrix in (table.noisy, table.present, table.absent):
        arrays += [matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64), matrix.data.astype(np.float32)]
    return fingerprint_json([table.task, table.classes, len(table), _digest(*arrays)])


def write_labels(table: LabelTable, folder: Path) -> Path:
    """A data set directory of ``table``."""
    facts = fingerprint_of_labels(table)
    with open_stage("dataset", ArrayLabels(output=place(folder, "labels", facts)), {"arrays": facts}) as stage:
        if not stage.up_to_date:
            write_dataset(stage.work, table, {"name": "arrays", "source": "arrays"})
            stage.finish({"task": table.task, "images": len(table), "classes": table.num_classes})
    return stage.output


def write_row_weights(weights: np.ndarray, keys: np.ndarray, folder: Path) -> Path:
    """A table of what each row counts, ``weights`` (n,) float64, for ``train-head``."""
    from nlcli.training.image_weights import write_image_weights

    path = place(folder, "weights", _digest(weights)).with_suffix(".parquet")
    if not path.exists():
        write_image_weights(path, keys, weights)
    return path


def write_vectors(features: Features, keys: list[str], dataset: Path, folder: Path) -> Path:
    """A features directory of ``features`` (n, D) float32, whose rows are the images ``keys`` of ``dataset``."""
    facts, of = digest_of_rows(features), read_stage(dataset, "dataset")
    config = ArrayFeatures(dataset=dataset, output=place(folder, "features", facts, of.fingerprint))
    with open_stage("features", config, {"dataset": of, "arrays": facts}) as stage:
        if stage.up_to_date:
            return stage.output
        (stage.work / "shards").mkdir(exist_ok=True)
        records = []
        for number, (_, rows) in enumerate(dense_parts(features)):
            records.append(write_shard(shard_path(stage.work, number), rows, []))
        write_index(stage.work / INDEX, lambda first, end: (keys[first:end], keys[first:end]), records)
        described = FeaturesRecord(
            images=len(keys),
            broken=0,
            num_features=features.shape[1],
            dtype="float32",
            shards=len(records),
            precision="imported",
            preprocessing=None,
            backbone="arrays",
            backbone_fingerprint=backbone_of_arrays(features.shape[1]),
            dataset_fingerprint=of.fingerprint,
            image_root=str(NOWHERE),
        )
        described.write(stage.work / DESCRIPTION)
        summary = {"images": len(keys), "num_features": features.shape[1]}
        stage.finish(summary, content=Written.of(records).hashes)
    return stage.output


def digest_of_rows(features: Features) -> str:
    """Of float32 rows, the same of an array and of a sparse matrix of equal numbers."""
    digest = hashlib.sha256(f"{np.dtype(np.float32).str}{tuple(features.shape)}".encode())
    for _, rows in dense_parts(features):
        digest.update(rows.reshape(-1).view(np.uint8).data)
    return "sha256:" + digest.hexdigest()


def _digest(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        whole = np.ascontiguousarray(array)
        digest.update(f"{whole.dtype.str}{whole.shape}".encode())
        digest.update(whole.reshape(-1).view(np.uint8).data)
    return "sha256:" + digest.hexdigest()
