"""``changes.parquet`` and ``changes.csv``: what became of every label that was in question, and taking it back.

A row is an image and a class. Columns: key, path, split, class, old, proposed, new, probability, threshold, rule,
reason, runner_up, old_confidence, method, source and dataset (fingerprints), version (of nlcli).

- On single labels ``class`` and ``old`` are the noisy class as it was, ``proposed`` is what was proposed instead and
  ``new`` what the data set says now, null for no label; ``runner_up`` is the next likely class where it is told.
- On several labels ``old``, ``proposed`` and ``new`` are ``given`` or ``missing``.
- ``rule`` is by what ``new`` came: ``verified`` (a person's word), ``detector`` (what was proposed is made), ``kept``
  (it is not, for a ``reason``: ``policy``, ``split``, ``class``, ``threshold``, ``verified``).
- ``old_confidence`` is what the noisy label had, so that the rows that are made give the labels of before back.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nlcli.cleaning.plan import REASONS, RULES, Plan
from nlcli.cleaning.proposals import NONE
from nlcli.data.labels import SPLITS, LabelTable
from nlcli.errors import NlcliError
from nlcli.metrics.arrays import Ints
from nlcli.stages.arrow_arrays import arrow_names, arrow_numbers, arrow_texts
from nlcli.stages.files import atomic_path, write_csv_table
from nlcli.stages.own_tables import own_table_blocks
from nlcli.version import __version__

CHANGES, CHANGES_CSV = "changes.parquet", "changes.csv"
GIVEN, MISSING = "given", "missing"
_ROWS = 1 << 18
"""Changes in memory at a time."""
_NUMBERS = ("probability", "threshold", "old_confidence")
COLUMNS = (
    "key",
    "path",
    "split",
    "class",
    "old",
    "proposed",
    "new",
    "probability",
    "threshold",
    "rule",
    "reason",
    "runner_up",
    "old_confidence",
    "method",
    "source",
    "dataset",
    "version",
)


def write_changes(directory: Path, table: LabelTable, plan: Plan, method: str, source: str) -> None:
    """Write both files; ``table`` is the data set before, ``source`` the fingerprint of what proposed the changes."""
    import pyarrow.parquet as pq

    changes = _arrow_table(table, plan, method, source)
    with atomic_path(directory / CHANGES) as temporary:
        pq.write_table(changes, temporary)
    write_csv_table(directory / CHANGES_CSV, changes)


def _arrow_table(table: LabelTable, plan: Plan, method: str, source: str) -> Any:
    import pyarrow as pa

    changes, row = plan.changes, plan.changes.row

    def numbers(values: np.ndarray) -> Any:
        return arrow_numbers(values, np.isnan(values))

    single = table.task == "single-label"
    known = table.classes if single else (GIVEN, MISSING)
    of_class = np.where(changes.old == NONE, changes.new, changes.old)
    if single:
        old, proposed = changes.old, changes.new
    else:
        old = np.where(changes.old == NONE, 1, 0)
        proposed = 1 - old
    columns = {
        "key": arrow_texts(table.keys[row].tolist()),
        "path": arrow_texts(table.paths[row].tolist()),
        "split": arrow_names(SPLITS, table.split[row]),
        "class": arrow_names(table.classes, of_class),
        "old": arrow_names(known, old),
        "proposed": arrow_names(known, proposed),
        "new": arrow_names(known, np.where(plan.made, proposed, old)),
        "probability": numbers(changes.probability),
        "threshold": numbers(plan.threshold),
        "rule": arrow_names(RULES, plan.rule),
        "reason": arrow_names(REASONS, plan.reason),
        "runner_up": arrow_names(table.classes, changes.runner_up),
        "old_confidence": numbers(confidences(table, row, changes.old)),
        **{
            name: arrow_texts([value] * len(row))
            for name, value in (
                ("method", method),
                ("source", source),
                ("dataset", table.fingerprint),
                ("version", __version__),
            )
        },
    }
    return pa.table(columns, schema=_schema())


def _schema() -> Any:
    import pyarrow as pa

    kinds = dict.fromkeys(_NUMBERS, pa.float64()) | {"old_confidence": pa.float32()}
    return pa.schema([(name, kinds.get(name, pa.string())) for name in COLUMNS])


# --- labels rewritten ------------------------------------------------------------------------


def confidences(table: LabelTable, row: Ints, of_class: Ints) -> np.ndarray:
    """float32 confidence of the noisy label ``of_class`` of each ``row``, NaN where there is none such."""
    keys = _keys(table)
    wanted = row * table.num_classes + of_class
    order = np.argsort(wanted, kind="stable")  # sought in order, neighbours lie near in memory
    place = np.empty(len(row), np.int64)
    place[order] = np.minimum(np.searchsorted(keys, wanted[order]), max(len(keys) - 1, 0))
    there = (of_class >= 0) & (keys[place] == wanted if len(keys) else False)
    values: np.ndarray = np.full(len(row), np.nan, np.float32)
    values[there] = table.noisy.data[place[there]]
    return values


def rewritten(table: LabelTable, row: Ints, gone: Ints, come: Ints, confidence: np.ndarray) -> Any:
    """The noisy labels (N, C) of ``table`` after changes: class ``gone`` goes and ``come`` comes, ``NONE`` for none.

    Args:
        confidence: (n,) of what comes.
    """
    from scipy.sparse import csr_array

    count, keys = table.num_classes, _keys(table)
    stays = ~np.isin(keys, (row * count + gone)[gone >= 0])
    added = come >= 0
    new = np.concatenate([keys[stays], row[added] * count + come[added]])
    data = np.concatenate([table.noisy.data[stays], confidence[added].astype(np.float32)])
    order = np.argsort(new, kind="stable")
    new, data = new[order], data[order].astype(np.float32)
    indptr = np.zeros(len(table) + 1, np.int64)
    np.cumsum(np.bincount(new // count, minlength=len(table)), out=indptr[1:])
    return csr_array((data, (new % count).astype(np.int32), indptr), shape=(len(table), count))


def _keys(table: LabelTable) -> Ints:
    """``row * C + class`` of every noisy label; sorted, because a label table sorts its entries."""
    row = np.repeat(np.arange(len(table), dtype=np.int64), np.diff(table.noisy.indptr))
    keys: Ints = row * table.num_classes + table.noisy.indices.astype(np.int64)
    return keys


# --- and given back --------------------------------------------------------------------------


def read_made(directory: Path, table: LabelTable) -> tuple[Ints, Ints, Ints, np.ndarray]:
    """The changes that were made in ``table``: row, class that went, class that came, confidence of what went.

    Raises:
        NlcliError: the file is damaged, or does not belong to the data set.
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    where = directory / CHANGES
    damaged = f"{where} does not belong to the data set beside it; make {directory} again with nlcli clean-labels"
    blocks = own_table_blocks(where, f"make {directory} again with nlcli clean-labels", _ROWS, schema=_schema())
    made = (block.filter(pc.not_equal(block.column("rule"), RULES[-1])) for block in blocks)
    changes = pa.concat_tables([_schema().empty_table(), *made])
    row = pd.Index(table.keys).get_indexer(changes.column("key").to_numpy()).astype(np.int64)

    def codes(name: str, known: tuple[str, ...]) -> Ints:
        column = changes.column(name)
        place = pc.index_in(column, value_set=pa.array(known, pa.string()))
        if place.null_count > column.null_count:
            raise NlcliError(damaged)
        return np.asarray(place.fill_null(NONE).to_numpy(), np.int64)

    if (row < 0).any():
        raise NlcliError(damaged)
    if table.task == "single-label":
        gone, come = codes("old", table.classes), codes("new", table.classes)
    else:
        of_class, old, new = (
            codes("class", table.classes),
            codes("old", (GIVEN, MISSING)),
            codes("new", (GIVEN, MISSING)),
        )
        gone, come = np.where(old == 0, of_class, NONE), np.where(new == 0, of_class, NONE)
    return row, gone, come, changes.column("old_confidence").to_numpy().astype(np.float32)
