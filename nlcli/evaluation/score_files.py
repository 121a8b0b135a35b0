"""The files of an evaluation."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlcli.data.labels import FULL, LabelTable
from nlcli.errors import NlcliError
from nlcli.evaluation.scored_images import Answers, Dense, Entries, ScoredImages, joined
from nlcli.metrics.arrays import Bools, Floats, Ints
from nlcli.stages.arrow_arrays import arrow_lists, arrow_texts, numpy_numbers
from nlcli.stages.files import atomic_path, read_arrays, write_arrays
from nlcli.stages.own_tables import damaged_as_sentence

FILE = "scores.parquet"
REPLICATES = "replicates.npz"
_REMEDY = "evaluate the model again"
BATCH = 1024
"""Images whose scores are read at a time; no result depends on it."""


def write_replicates(path: Path, replicates: dict[str, Floats], per_class: Floats) -> None:
    """Write replicates by metric ``(B,)`` and those of the classes ``(B, C)``, whole or not at all."""
    write_arrays(path, {"per_class": per_class, **replicates})


def read_replicates(path: Path, names: Collection[str]) -> tuple[dict[str, Floats], Floats]:
    """The replicates of the metrics ``names``, and those of the classes.

    Raises:
        NlcliError: missing or damaged.
    """
    arrays = read_arrays(path, _REMEDY)
    with damaged_as_sentence(path, _REMEDY):
        return {name: arrays[name] for name in names}, arrays["per_class"]


class ScoreWriter:
    """Collects scored blocks: every score goes to the file, what metrics need stays in memory."""

    def __init__(self, writer: Any, table: LabelTable, rows: Ints) -> None:
        self._writer = writer
        self._table = table
        self._dense = bool((table.verification[rows] == FULL).all())
        self._rows: list[Ints] = []
        self._blocks: list[Dense | Entries] = []
        self._answers: list[Answers] = []
        self._count = 0

    def add(self, rows: Ints, scores: NDArray[Any]) -> None:
        """Add the scores ``(n, C)`` of table rows ``rows``.

        Raises:
            NlcliError: a score is not a number; the image and the class are named.
        """
        import pyarrow as pa

        table = self._table
        scores = np.ascontiguousarray(scores, np.float32)
        bad = ~np.isfinite(scores)
        if bad.any():
            row, column = np.argwhere(bad)[0]
            raise NlcliError(
                f"the score of image '{table.keys[rows[row]]}' for class '{table.classes[column]}' is "
                f"{scores[row, column]}; look for NaN in its features, then train the model again"
            )
        offsets = np.arange(0, scores.size + 1, scores.shape[1], dtype=np.int32)
        present, absent = table.present[rows].sorted_indices(), table.absent[rows].sorted_indices()
        full = table.verification[rows] == FULL
        columns = [
            arrow_texts(table.keys[rows].tolist()),
            arrow_lists(offsets, scores.reshape(-1)),
            arrow_lists(present.indptr, present.indices.astype(np.int32)),
            arrow_lists(absent.indptr, absent.indices.astype(np.int32), full),
        ]
        self._writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=self._writer.schema))
        if self._dense:
            self._blocks.append(Dense(table.verified_targets(rows)[0], scores))
        else:
            position, column, label = table.verified_entries(rows)
            self._blocks.append(Entries(position + self._count, column, label, scores[position, column]))
        single = np.diff(present.indptr) == 1
        truth = np.full(len(rows), -1, np.int64)
        truth[single] = present.indices[present.indptr[:-1][single]]
        self._answers.append(Answers.of(truth, scores))
        self._rows.append(np.asarray(rows))
        self._count += len(rows)

    def rows(self) -> Ints:
        """Table rows of the images added so far, in order."""
        return np.concatenate(self._rows) if self._rows else np.empty(0, np.int64)

    def scored(self) -> ScoredImages:
        """The images added so far."""
        keys = self._table.keys[self.rows()]
        return ScoredImages(self._table.classes, keys, joined(self._blocks), joined(self._answers))


@contextmanager
def write_scores(path: Path, table: LabelTable, rows: Ints) -> Iterator[ScoreWriter]:
    """Write ``scores.parquet``, whole or not at all.

    Args:
        rows: Table rows that may be added; whether all are fully verified decides what is held.
    """
    import pyarrow.parquet as pq

    with atomic_path(path) as temporary:
        with pq.ParquetWriter(temporary, _schema(table.classes), compression="zstd") as writer:
            yield ScoreWriter(writer, table, rows)


def read_scores(path: Path) -> ScoredImages:
    """The scored images of an evaluation's ``scores.parquet``.

    As soon as one image is partly verified, memory is proportional to the verified entries.

    Raises:
        NlcliError: missing, damaged, or without the columns above.
    """
    import pyarrow.parquet as pq

    with damaged_as_sentence(path, _REMEDY), pq.ParquetFile(path) as file:
        classes = _classes_of(path, file)
        absent = (batch.column("absent") for batch in file.iter_batches(BATCH, columns=["absent"]))
        dense = all(column.null_count == len(column) for column in absent)
        keys: list[str] = []
        parts: list[Dense | Entries] = []
        answers: list[Answers] = []
        for batch in file.iter_batches(BATCH):
            scores, label, verified = _labelled(path, batch, len(classes))
            if dense:
                parts.append(Dense(label.astype(np.uint8), scores))
            else:
                image, column = np.nonzero(verified)
                parts.append(Entries(image + len(keys), column, label[verified], scores[verified]))
            truth = np.where(label.sum(axis=1) == 1, label.argmax(axis=1), -1)
            answers.append(Answers.of(truth, scores))
            keys += batch.column("key").to_pylist()
        if not parts:  # whatever its footer says
            raise ValueError("it has no rows")
    return ScoredImages(classes, np.array(keys, object), joined(parts), joined(answers))


@dataclass(frozen=True)
class StoredScores:
    """One image with all its scores; the arrays are ``(C,)``.

    Attributes:
        scores: float32.
        present: bool, verified present.
        verified: bool.
    """

    scores: NDArray[np.float32]
    present: Bools
    verified: Bools


def read_images(path: Path, keys: Collection[str]) -> dict[str, StoredScores]:
    """The images called ``keys`` by key; scores of other images are not decoded where that can be helped.

    Raises:
        NlcliError: as :func:`read_scores`.
    """
    import pyarrow.parquet as pq

    wanted = set(keys)
    images: dict[str, StoredScores] = {}
    with damaged_as_sentence(path, _REMEDY), pq.ParquetFile(path) as file:
        classes = _classes_of(path, file)
        for group in range(file.num_row_groups):
            if wanted.isdisjoint(file.read_row_group(group, columns=["key"]).column(0).to_pylist()):
                continue
            for batch in file.iter_batches(BATCH, row_groups=[group]):
                scores, label, verified = _labelled(path, batch, len(classes))
                for i, key in enumerate(batch.column("key").to_pylist()):
                    if key in wanted:
                        images[key] = StoredScores(scores[i].copy(), label[i].copy(), verified[i].copy())
    return images


def _classes_of(path: Path, file: Any) -> tuple[str, ...]:
    schema = file.schema_arrow
    classes = tuple(json.loads((schema.metadata or {}).get(b"classes", b"null")) or ())
    if not schema.equals(_schema(classes)) or not classes or not file.metadata.num_rows:
        raise NlcliError(f"{path} does not hold the scores of an evaluation; evaluate the model again")
    return classes


def _labelled(path: Path, batch: Any, classes: int) -> tuple[NDArray[np.float32], Bools, Bools]:
    """Scores float32, present bool and verified bool of a batch: (n, C) each."""
    flat = numpy_numbers(batch.column("scores").flatten())
    if len(flat) != len(batch) * classes:
        raise NlcliError(f"{path}: a row does not have {classes} scores; evaluate the model again")
    label = np.zeros((len(batch), classes), bool)
    label[_positions(batch.column("present"))] = True
    verified = label.copy()
    verified[_positions(batch.column("absent"))] = True
    verified[_absent(batch.column("absent"))] = True
    return flat.reshape(-1, classes), label, verified


def _absent(lists: Any) -> Bools:
    return np.array(lists.is_null().to_pylist(), bool)


def _positions(lists: Any) -> tuple[Ints, Ints]:
    lengths = np.where(_absent(lists), 0, np.diff(numpy_numbers(lists.offsets)))
    return np.repeat(np.arange(len(lists)), lengths), numpy_numbers(lists.flatten())


def _schema(classes: tuple[str, ...]) -> Any:
    import pyarrow as pa

    columns = [
        pa.field("key", pa.string()),
        pa.field("scores", pa.list_(pa.float32())),
        pa.field("present", pa.list_(pa.int32())),
        pa.field("absent", pa.list_(pa.int32())),
    ]
    return pa.schema(columns, metadata={"classes": json.dumps(classes)})
