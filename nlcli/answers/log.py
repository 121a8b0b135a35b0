"""``verification.parquet``: who said what of which image, when, and what became of it; of this round and those before.

A row is a word: an image, a class, and whether it is there. Columns: round, key, path, split, class, said (``present``,
``absent``, null of an answer that says nothing), annotator, time and file (as they are written), state (``used``, or
why not), how (``random``, ``errors``, ``uncertain``), chance (of being drawn at random) and probability (of the class
to be there, as it was predicted), null where no queue told them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nlcli.answers.answer import Answer
from nlcli.answers.queue import Asked
from nlcli.answers.words import NOTHING, Word
from nlcli.data.labels import SPLITS, LabelTable
from nlcli.data.score_chosen import LOG
from nlcli.stages.files import atomic_path
from nlcli.stages.own_tables import own_table_blocks

_SAID = ("absent", "present")
_ROWS = 1 << 16
COLUMNS = (
    *("round", "key", "path", "split", "class", "said", "annotator", "time", "file", "state"),
    *("how", "chance", "probability"),
)


def write_log(
    directory: Path,
    parent: Path,
    number: int,
    table: LabelTable,
    answers: Sequence[Answer],
    words: Sequence[Word],
    asked: Mapping[int, Asked],
) -> None:
    """Write the words of round ``number`` behind those that ``parent`` has."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = np.array([word.row for word in words], np.int64)
    of = [asked.get(word.row) for word in words]
    said = [None if word.there == NOTHING else _SAID[word.there] for word in words]
    given = [answers[word.answer] for word in words]
    columns: list[Any] = [
        np.full(len(words), number, np.int32),
        table.keys[rows].tolist(),
        table.paths[rows].tolist(),
        [SPLITS[split] for split in table.split[rows].tolist()],
        [None if word.of_class == NOTHING else table.classes[word.of_class] for word in words],
        said,
        [answer.who or None for answer in given],
        [answer.when or None for answer in given],
        [answer.file for answer in given],
        [word.state for word in words],
        [None if one is None else one.how for one in of],
        [None if one is None else one.chance for one in of],
        [_probability(one, word) for one, word in zip(of, words, strict=True)],
    ]
    arrays = [pa.array(column, kind.type) for column, kind in zip(columns, _schema(), strict=True)]
    with atomic_path(directory / LOG) as temporary, pq.ParquetWriter(temporary, _schema()) as file:
        if (parent / LOG).is_file():
            for before in own_table_blocks(parent / LOG, _remedy(parent), _ROWS, schema=_schema()):
                file.write_table(before)
        file.write_table(pa.Table.from_arrays(arrays, schema=_schema()))


def _probability(asked: Asked | None, word: Word) -> float | None:
    if asked is None or word.of_class not in asked.classes:
        return None
    chance = asked.chances[asked.classes.index(word.of_class)]
    return None if np.isnan(chance) else chance


def _schema() -> Any:
    import pyarrow as pa

    kinds = {"round": pa.int32(), "chance": pa.float64(), "probability": pa.float64()}
    return pa.schema([(name, kinds.get(name, pa.string())) for name in COLUMNS])


def _remedy(directory: Path) -> str:
    return f"make {directory} again"
