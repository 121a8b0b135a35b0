"""Parquet files that this program wrote, read again: they may be damaged, or somebody else's.

What is read is what was written, or there is a sentence: the columns are those that were asked for, and every text is
UTF-8 (pyarrow itself looks at neither before a cell is used, far from where the file was opened).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from nlcli.errors import NlcliError, shortened

if TYPE_CHECKING:
    import pyarrow as pa


@contextmanager
def damaged_as_sentence(path: Path, remedy: str) -> Iterator[None]:
    """What goes wrong while ``path`` is read becomes one sentence that ends with ``remedy``.

    Raises:
        NlcliError: anything that a library says of the file; one raised inside goes through as it is.
    """
    import pyarrow as pa

    try:
        yield
    except (OSError, ValueError, LookupError, pa.ArrowException) as error:  # UnicodeError is a ValueError
        raise NlcliError(f"cannot read {path}: {shortened(error)}; {remedy}") from error


def read_own_table(
    path: Path, remedy: str, *, schema: pa.Schema | None = None, columns: Sequence[str] | None = None
) -> pa.Table:
    """A whole table, or some ``columns`` of it.

    Args:
        remedy: What to do if it is damaged: "run detect-noise again".
        schema: What the file's columns must be, names and types in order; None: ``columns`` must be there.

    Raises:
        NlcliError: missing, damaged, of other columns.
    """
    import pyarrow.parquet as pq

    with damaged_as_sentence(path, remedy):
        found = pq.read_schema(path)
        _require(path, remedy, found, schema)
        missing = sorted(set(columns or ()) - set(found.names))
        if missing:
            raise NlcliError(f"{path} has no column '{missing[0]}'; {remedy}")
        wanted = None if columns is None else list(columns)
        # Not by pyarrow's data sets, which bring in pandas and do not end over some damage.
        with pq.ParquetFile(path) as file:
            table = file.read(wanted)
            _require_rows(file.metadata.num_rows, len(table))
        table = table if wanted is None else table.select(wanted)
        table.validate(full=True)
    return table


def own_table_blocks(
    path: Path, remedy: str, rows: int, *, schema: pa.Schema | None = None, columns: Sequence[str] | None = None
) -> Iterator[pa.Table]:
    """The same as consecutive tables of at most ``rows`` rows, one in memory at a time.

    What goes wrong at whoever takes the blocks is not the file's: it goes through as it is.

    Raises:
        NlcliError: as :func:`read_own_table`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with damaged_as_sentence(path, remedy):
        file = pq.ParquetFile(path)
    with file:
        with damaged_as_sentence(path, remedy):
            _require(path, remedy, file.schema_arrow, schema)
            batches = file.iter_batches(rows, columns=None if columns is None else list(columns))
        seen = 0
        while True:
            with damaged_as_sentence(path, remedy):
                batch = next(batches, None)
                if batch is None:
                    _require_rows(file.metadata.num_rows, seen)
                    return
                batch.validate(full=True)
                seen += len(batch)
                block = pa.Table.from_batches([batch])
            yield block


def _require_rows(told: int, found: int) -> None:
    """What a damaged column holds may be fewer rows than the file says, without a word of the library."""
    if found != told:
        raise ValueError(f"it says that it has {told:,} rows, and has {found:,}")


def _require(path: Path, remedy: str, found: pa.Schema, schema: pa.Schema | None) -> None:
    if schema is not None and not found.equals(schema):
        raise NlcliError(f"{path} does not have the columns that nlcli writes there; {remedy}")
