"""Columns of Parquet files that stages wrote, as far as they are there, and of the right type."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nlcli.errors import NlcliError
from nlcli.stages.own_tables import damaged_as_sentence

if TYPE_CHECKING:
    import pyarrow as pa

Type = Literal["text", "number", "truth"]
_REMEDY = "make its directory again with --force"


def column_names(path: Path) -> list[str]:
    """The columns of a Parquet file.

    Raises:
        NlcliError: it is damaged.
    """
    return list(_schema(path).names)


class Columns:
    """Some columns of a table; rows are in the file's order.

    Columns are read when they are asked for, text as indices into what occurs. Keys and paths are read only of the
    rows that are shown: of millions they would not fit.

    Attributes:
        path: Of the file.
    """

    def __init__(self, path: Path, required: Mapping[str, Type], optional: Mapping[str, Type] | None = None) -> None:
        """Look which columns there are.

        Raises:
            NlcliError: the file is damaged, one of ``required`` is not there, or one has another type.
        """
        schema = _schema(path)
        self.path = path
        self._types = {**required, **{n: kind for n, kind in (optional or {}).items() if n in schema.names}}
        self._read: dict[str, Any] = {}
        for name, kind in self._types.items():
            if name not in schema.names:
                raise NlcliError(f"{path} has no column '{name}'; {_REMEDY}")
            if not _fits(schema.field(name).type, kind):
                raise NlcliError(f"{path}: column '{name}' does not hold {_WORDS[kind]}; {_REMEDY}")
        self._rows = _opened(path, lambda file: file.metadata.num_rows)

    def __len__(self) -> int:
        return int(self._rows)

    def __contains__(self, name: str) -> bool:
        return name in self._types

    def is_word(self, name: str, word: str) -> np.ndarray:
        """(n,) bool: the cell of the column says ``word``."""
        import pyarrow.compute as pc

        equal: np.ndarray = pc.equal(self._strings(name), word).fill_null(False).to_numpy(zero_copy_only=False)
        return equal

    def known(self, name: str) -> np.ndarray:
        """(n,) bool: the cell is not empty."""
        there: np.ndarray = self._column(name).is_valid().to_numpy()
        return there

    def numbers(self, name: str) -> np.ndarray:
        """(n,) float64, NaN where empty."""
        import pyarrow as pa

        values: np.ndarray = self._column(name).cast(pa.float64()).to_numpy().astype(np.float64)
        return values

    def truths(self, name: str) -> np.ndarray:
        """(n,) int8: 1 true, 0 false, -1 empty."""
        import pyarrow as pa

        values: np.ndarray = self._column(name).cast(pa.int8()).fill_null(-1).to_numpy()
        return values

    def counts(self, name: str, rows: np.ndarray | None = None) -> dict[str, int]:
        """How often each text occurs in a column, among ``rows`` (n,) bool."""
        import pyarrow as pa
        import pyarrow.compute as pc

        column = self._strings(name)
        if rows is not None:
            column = column.filter(pa.array(rows))
        counted = pc.value_counts(column).to_pylist()
        return {entry["values"]: entry["counts"] for entry in counted if entry["values"] is not None}

    def pairs(self, one: str, other: str, rows: np.ndarray) -> list[tuple[str | None, str | None, int]]:
        """How often two texts occur together among ``rows`` (n,) bool, the commonest first."""
        import pyarrow as pa

        table = pa.table({one: self._strings(one), other: self._strings(other)}).filter(pa.array(rows))
        counted = table.group_by([one, other]).aggregate([([], "count_all")]).to_pylist()
        pairs = [(entry[one], entry[other], int(entry["count_all"])) for entry in counted]
        return sorted(pairs, key=lambda pair: (-pair[2], pair[0] or "", pair[1] or ""))

    def rows(self, positions: np.ndarray) -> list[dict[str, Any]]:
        """All columns of some rows, in their order, as Python has them; a number that is none is None."""
        import pyarrow as pa

        rows: list[dict[str, Any]] = [{} for _ in positions]

        def fill(file: Any) -> None:
            start = 0
            for group in range(file.num_row_groups):
                end = start + file.metadata.row_group(group).num_rows
                inside = np.flatnonzero((positions >= start) & (positions < end))
                if len(inside):
                    table: pa.Table = file.read_row_group(group, columns=list(self._types))
                    taken = table.take(pa.array(positions[inside] - start)).to_pylist()
                    for place, row in zip(inside.tolist(), taken, strict=True):
                        rows[place] = row
                start = end

        _opened(self.path, fill)
        for row in rows:
            for name, kind in self._types.items():
                if kind == "number" and row[name] is not None and not np.isfinite(row[name]):
                    row[name] = None
        return rows

    def _column(self, name: str) -> Any:
        if name not in self._read:
            text = [name] if self._types[name] == "text" else []
            self._read[name] = _opened(self.path, lambda file: file.read(columns=[name]), text).column(name)
        return self._read[name]

    def _strings(self, name: str) -> Any:
        import pyarrow as pa

        return self._column(name).cast(pa.string())


_WORDS: dict[Type, str] = {"text": "text", "number": "numbers", "truth": "true and false"}


def _fits(kind: Any, wanted: Type) -> bool:
    import pyarrow.types as types

    tests = {
        "text": (types.is_string, types.is_large_string),
        "number": (types.is_floating, types.is_integer),
        "truth": (types.is_boolean,),
    }
    return bool(types.is_null(kind)) or any(test(kind) for test in tests[wanted])


def _schema(path: Path) -> Any:
    return _opened(path, lambda file: file.schema_arrow)


def _opened(path: Path, use: Any, text: list[str] | None = None) -> Any:
    """What ``use`` makes of the file; one that is damaged becomes a sentence."""
    import pyarrow.parquet as pq

    with damaged_as_sentence(path, _REMEDY), pq.ParquetFile(path, read_dictionary=text or None) as file:
        return use(file)
