"""Vectors in Parquet: a file, or the files of a directory one after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlcli.data.features.readers.arrow_columns import block_of, choose_columns, keys_of, width_of
from nlcli.data.features.readers.base import Block, VectorReader
from nlcli.errors import NlcliError, shortened

if TYPE_CHECKING:
    import pyarrow as pa

_BUFFER_BYTES = 4 << 20  # read of a column at a time, whatever its row groups hold
_ROWS = 4096
_KEY_ROWS = 1 << 16


class ParquetFiles(VectorReader):
    """Parquet with a column of lists, or a column for each number."""

    def __init__(self, path: Path, column: str | None, files: Sequence[Path] | None = None) -> None:
        self.path = path
        self._files = tuple(files) if files is not None else (path,)
        schema, self._counts = None, []
        for file in self._files:
            with _opened(file) as opened:
                if schema is None:
                    schema = opened.schema_arrow
                    self._chosen = choose_columns(file, schema, column)
                else:
                    missing = {*self._chosen.vectors, self._chosen.key} - {*opened.schema_arrow.names, None}
                    if missing:
                        raise NlcliError(f"{file} lacks the column '{sorted(map(str, missing))[0]}' of the others")
                self._counts.append(opened.metadata.num_rows)
        self.rows = sum(self._counts)
        self.names_rows = self._chosen.key is not None
        self.width = width_of(
            path, (batch for _, batch in self._batches(self._chosen.vectors, _ROWS, 0)), self._chosen.vectors
        )

    def blocks(self, first: int = 0) -> Iterator[Block]:
        """Row groups that lie before ``first`` are not read."""
        for row, batch in self._batches(self._chosen.vectors, _ROWS, first):
            if len(batch):
                yield block_of(self.path, batch, self._chosen.vectors, row, self.width)

    def keys(self) -> pa.Array:
        """The column of keys."""
        name = self._chosen.key
        assert name is not None
        return keys_of(self.path, name, (batch.column(0) for _, batch in self._batches((name,), _KEY_ROWS, 0)))

    def _batches(self, names: Sequence[str], rows: int, first: int) -> Iterator[tuple[int, Any]]:
        """First row and record batch, from row ``first`` on."""
        row = 0
        for path, count in zip(self._files, self._counts, strict=True):
            if row + count <= first:
                row += count
                continue
            with _opened(path) as file:
                groups: list[int] = []
                for number in range(file.num_row_groups):
                    size = file.metadata.row_group(number).num_rows
                    if groups or row + size > first:
                        groups.append(number)
                    else:
                        row += size
                for batch in file.iter_batches(rows, row_groups=groups, columns=list(names)):
                    skipped = min(max(first - row, 0), len(batch))
                    yield row + skipped, batch.slice(skipped)
                    row += len(batch)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER_BYTES) as file:
            yield file
    except (OSError, pa.ArrowException, UnicodeError, ValueError) as error:
        raise NlcliError(f"cannot read {path}: {shortened(error)}") from error
