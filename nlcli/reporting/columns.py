"""Columns of Parquet files that stages wrote, as far as they are there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlcli.errors import NlcliError, shortened

if TYPE_CHECKING:
    import pyarrow as pa


def column_names(path: Path) -> list[str]:
    """The columns of a Parquet file.

    Raises:
        NlcliError: it is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        names: list[str] = pq.read_schema(path).names
    except (OSError, ValueError, pa.ArrowException) as error:
        raise NlcliError(f"cannot read {path}: {shortened(error)}; make its directory again with --force") from error
    return names


class Columns:
    """Some columns of a table; rows are in the file's order.

    Text is held as indices into what occurs, so that millions of rows fit.
    """

    def __init__(self, path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> None:
        """Read them.

        Raises:
            NlcliError: the file is damaged, or one of ``required`` is not there.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._path = path
        try:
            schema = pq.read_schema(path)
            there = [name for name in (*required, *optional) if name in schema.names]
            text = [name for name in there if pa.types.is_string(schema.field(name).type)]
            self._table: pa.Table = pq.read_table(path, columns=there, read_dictionary=text)
        except (OSError, ValueError, pa.ArrowException) as error:
            raise NlcliError(
                f"cannot read {path}: {shortened(error)}; make its directory again with --force"
            ) from error
        missing = [name for name in required if name not in there]
        if missing:
            raise NlcliError(f"{path} has no column '{missing[0]}'; make its directory again with --force")

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __contains__(self, name: str) -> bool:
        return name in self._table.column_names

    def is_word(self, name: str, word: str) -> np.ndarray:
        """(n,) bool: the cell of the column says ``word``."""
        import pyarrow.compute as pc

        equal: np.ndarray = pc.equal(self._strings(name), word).fill_null(False).to_numpy(zero_copy_only=False)
        return equal

    def known(self, name: str) -> np.ndarray:
        """(n,) bool: the cell is not empty; nowhere where there is no such column."""
        if name not in self:
            return np.zeros(len(self), bool)
        there: np.ndarray = self._table.column(name).is_valid().to_numpy()
        return there

    def numbers(self, name: str) -> np.ndarray:
        """(n,) float64, NaN where empty.

        Raises:
            NlcliError: the column holds something else.
        """
        import pyarrow as pa

        try:
            values: np.ndarray = self._table.column(name).cast(pa.float64()).to_numpy().astype(np.float64)
        except (pa.ArrowException, ValueError) as error:
            raise NlcliError(
                f"{self._path}: column '{name}' does not hold numbers; make its directory again"
            ) from error
        return values

    def truths(self, name: str) -> np.ndarray:
        """(n,) int8: 1 true, 0 false, -1 empty."""
        import pyarrow as pa

        column = self._table.column(name)
        if not pa.types.is_boolean(column.type):
            raise NlcliError(f"{self._path}: column '{name}' does not hold true and false; make its directory again")
        values: np.ndarray = column.cast(pa.int8()).fill_null(-1).to_numpy()
        return values

    def counts(self, name: str, rows: np.ndarray | None = None) -> dict[str, int]:
        """How often each text occurs in a column, among ``rows`` (n,) bool."""
        import pyarrow as pa
        import pyarrow.compute as pc

        column = self._strings(name)
        if rows is not None:
            column = column.filter(pa.array(rows))
        return {entry["values"]: entry["counts"] for entry in pc.value_counts(column).to_pylist() if entry["values"]}

    def pairs(self, one: str, other: str, rows: np.ndarray) -> list[tuple[str | None, str | None, int]]:
        """How often two texts occur together among ``rows`` (n,) bool, the commonest first."""
        import pyarrow as pa

        table = pa.table({one: self._strings(one), other: self._strings(other)}).filter(pa.array(rows))
        counted = table.group_by([one, other]).aggregate([([], "count_all")]).to_pylist()
        pairs = [(entry[one], entry[other], int(entry["count_all"])) for entry in counted]
        return sorted(pairs, key=lambda pair: (-pair[2], pair[0] or "", pair[1] or ""))

    def rows(self, positions: np.ndarray) -> list[dict[str, Any]]:
        """All columns of some rows, as Python has them."""
        import pyarrow as pa

        taken: list[dict[str, Any]] = self._table.take(pa.array(positions.astype(np.int64))).to_pylist()
        return taken

    def _strings(self, name: str) -> Any:
        import pyarrow as pa

        try:
            return self._table.column(name).cast(pa.string())
        except (pa.ArrowException, ValueError) as error:
            raise NlcliError(f"{self._path}: column '{name}' does not hold text; make its directory again") from error
