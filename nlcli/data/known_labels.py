"""What became known of images, written into a label table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from nlcli.data.labels import FULL, NONE, PARTIAL, LabelTable


def with_known(table: LabelTable, known: Mapping[int, Mapping[int, int]], full: set[int]) -> LabelTable:
    """``table`` with what is ``known`` (by row, by class: 1 there, 0 not there) of the images.

    Args:
        full: Rows of which every class is known.
    """
    single = table.task == "single-label"
    present: dict[int, list[int]] = {}
    absent: dict[int, list[int]] = {}
    verification = table.verification.copy()
    for row, words in known.items():
        before = {} if single else _before(table, row)
        told = before | dict(words)
        verification[row] = FULL if row in full else PARTIAL
        present[row] = sorted(c for c, there in told.items() if there)
        absent[row] = [] if row in full else sorted(c for c, there in told.items() if not there)
    return _with(table, present, absent, verification)


def without_known(table: LabelTable, rows: np.ndarray) -> LabelTable:
    """``table`` as if nobody had checked the images ``rows`` (N,) bool."""
    none: dict[int, list[int]] = {int(row): [] for row in np.flatnonzero(rows)}
    verification = np.where(rows, NONE, table.verification).astype(np.uint8)
    return _with(table, none, none, verification)


def _with(
    table: LabelTable,
    present: Mapping[int, list[int]],
    absent: Mapping[int, list[int]],
    verification: np.ndarray,
) -> LabelTable:
    """``table`` with other classes that are there, and not there, in some rows."""
    return replace(
        table,
        present=_rewritten(table.present, present),
        absent=_rewritten(table.absent, absent),
        verification=verification,
        info={},
        fingerprint="",
    )


def _before(table: LabelTable, row: int) -> dict[int, int]:
    told = dict.fromkeys(table.absent[[row]].indices.tolist(), 0)
    return told | dict.fromkeys(table.present[[row]].indices.tolist(), 1)


def _rewritten(matrix: Any, lists: Mapping[int, list[int]]) -> Any:
    """The matrix (N, C) with other entries in some rows."""
    from scipy.sparse import csr_array

    count, width = matrix.shape
    row = np.repeat(np.arange(count, dtype=np.int64), np.diff(matrix.indptr))
    stays = ~np.isin(row, np.fromiter(lists, np.int64, len(lists)))
    new_row = np.repeat(
        np.fromiter(lists, np.int64, len(lists)), np.array([len(one) for one in lists.values()], np.int64)
    )
    new_column = np.array([c for one in lists.values() for c in one], np.int64)
    row = np.concatenate([row[stays], new_row])
    column = np.concatenate([matrix.indices[stays].astype(np.int64), new_column])
    order = np.argsort(row * width + column, kind="stable")
    indptr = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(row, minlength=count), out=indptr[1:])
    return csr_array((np.ones(len(row), np.uint8), column[order].astype(np.int32), indptr), shape=matrix.shape)
