"""Tables that people have: CSV as programs and spreadsheets save it, and Parquet. One reader for every stage.

Both kinds give the same text for the same table: cells are stripped, a missing cell is an empty one, a number
without a fraction is written as an integer in a column of numbers (pandas keeps integers with gaps as floats). The
apostrophe that ``csv_cell`` puts before text that a spreadsheet would run is taken away again.
"""

from __future__ import annotations

import codecs
import csv
import io
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlcli.console import Bar, progress
from nlcli.data.lists import shown
from nlcli.errors import NlcliError, unknown_name
from nlcli.stages.files import csv_text

if TYPE_CHECKING:
    import pyarrow as pa

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
LONGEST_CELL = 1 << 16
_LARGE = 16  # MiB; a table of so many takes seconds, and a bar shows how far it is
_ROWS_A_LOOK = 10_000
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_INDEX_COLUMNS = ("", "index", "level_0", "Unnamed: 0", "__index_level_0__")
"""What pandas calls the numbers of rows that it writes beside the columns."""


def is_parquet(path: Path) -> bool:
    """Whether ``path`` is read as Parquet, by its ending."""
    return path.suffix.lower() in (".parquet", ".pq")


def row_unit(path: Path) -> str:
    """What the numbers of ``read_rows`` count in ``path``: ``line`` of a text file, ``row`` of Parquet."""
    return "row" if is_parquet(path) else "line"


def read_rows(
    path: Path, known: Sequence[str], required: Sequence[str], *, pass_over: bool = False
) -> Iterator[tuple[int, dict[str, str]]]:
    """Number and cells by column of every row of a CSV or Parquet table, in its order.

    Args:
        path: A ``.parquet`` file; anything else is read as CSV with commas, semicolons, tabs or bars, in UTF-8 or,
            with a byte-order mark, UTF-16 or UTF-32.
        known: The columns that mean something; another one is refused, pandas' own index is passed over.
        required: Those that must be there.
        pass_over: Pass over other columns, too.

    Raises:
        NlcliError: naming the file and, where it lies in one, the line (CSV) or row from 1 (Parquet).
    """
    read = _parquet_rows if is_parquet(path) else _csv_rows
    return read(path, known, required, pass_over)


def _bar(path: Path, size: int) -> AbstractContextManager[Bar | None]:
    """A bar for a large table, which counts mebibytes."""
    large = size >= _LARGE << 20
    return progress(size >> 20, f"reading {path.name}", unit="MiB") if large else nullcontext(None)


def known_columns(
    path: Path, names: Sequence[str], known: Sequence[str], required: Sequence[str], pass_over: bool = False
) -> list[str | None]:
    """The known columns in the order of the file, None for one to pass over.

    Args:
        pass_over: Whether that are all others, or pandas' index alone.

    Raises:
        NlcliError: one is missing, unknown, or there twice.
    """
    for name in required:
        if name not in names:
            raise NlcliError(
                f"{path}: there is no column '{name}' among {shown(', '.join(names))}; expected "
                f"{', '.join(known)}, of which {' and '.join(required)} must be there"
            )
    for name in names:
        if name not in known and name not in _INDEX_COLUMNS and not pass_over:
            raise NlcliError(f"{path}: {unknown_name(shown(name), known, 'column')}")
    used = [name if name in known else None for name in names]
    repeated = next((name for name in known if used.count(name) > 1), None)
    if repeated is not None:
        raise NlcliError(f"{path}: the column '{repeated}' stands twice in the header; rename one of them")
    return used


# --- CSV -------------------------------------------------------------------------------------


def _csv_rows(
    path: Path, known: Sequence[str], required: Sequence[str], pass_over: bool
) -> Iterator[tuple[int, dict[str, str]]]:
    reader: Any = None
    try:
        with open(path, "rb") as raw:
            encoding = text_encoding(path, raw.read(4))
            raw.seek(0)
            with io.TextIOWrapper(raw, encoding=encoding, newline="") as file:
                header = file.readline(LONGEST_CELL)
                if "\0" in header:
                    raise NlcliError(f"{path} is not a text file; expected CSV, or Parquet with the ending .parquet")
                delimiter = likely_delimiter(header, known)
                columns = known_columns(path, header_cells(header, delimiter), known, required, pass_over)
                reader = csv.reader(file, delimiter=delimiter, strict=True)
                with _bar(path, os.fstat(raw.fileno()).st_size) as bar:
                    for cells in reader:
                        if not any(cells):
                            continue
                        line = reader.line_num + 1  # the header was read apart
                        if len(cells) != len(columns):
                            raise NlcliError(
                                f"{path}, line {line}: {len(cells)} cells, expected {len(columns)}; quote values that "
                                f"hold {DELIMITERS[delimiter]}"
                            )
                        yield (
                            line,
                            {
                                name: csv_text(cell.strip())
                                for name, cell in zip(columns, cells, strict=True)
                                if name is not None
                            },
                        )
                        if bar is not None and line % _ROWS_A_LOOK == 0:
                            bar.advance((raw.tell() >> 20) - bar.done)
                    if bar is not None:
                        bar.advance(bar.total - bar.done)
    except UnicodeDecodeError as error:
        raise NlcliError(
            f"{path} is not in UTF-8 (byte {error.object[error.start]:#04x}); save it as 'CSV UTF-8', or convert it: "
            f"iconv -f WINDOWS-1252 -t UTF-8 {path.name} > utf8.csv"
        ) from error
    except csv.Error as error:
        line = f", line {reader.line_num + 1}" if reader is not None else ""
        raise NlcliError(f"cannot read {path}{line}: {error}; is a quotation mark missing there?") from error
    except OSError as error:
        raise NlcliError(f"cannot read {path}: {error.strerror or error}") from error


def text_encoding(path: Path, start: bytes) -> str:
    """The encoding of a text file, by its first bytes.

    Raises:
        NlcliError: it is Parquet.
    """
    if start.startswith(b"PAR1"):
        raise NlcliError(f"{path} is a Parquet file; give it the ending .parquet")
    return next((encoding for bom, encoding in _BOMS if start.startswith(bom)), "utf-8")


def header_cells(header: str, delimiter: str) -> list[str]:
    """The names in the first line of a table."""
    return [cell.strip() for cell in next(csv.reader([header], delimiter=delimiter), [])]


def likely_delimiter(header: str, known: Collection[str]) -> str:
    """The one that makes most known columns of the header; a comma where none makes any."""
    return max(DELIMITERS, key=lambda delimiter: sum(cell in known for cell in header_cells(header, delimiter)))


# --- Parquet ---------------------------------------------------------------------------------


def _parquet_rows(
    path: Path, known: Sequence[str], required: Sequence[str], pass_over: bool
) -> Iterator[tuple[int, dict[str, str]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = known_columns(path, file.schema_arrow.names, known, required, pass_over)
            columns = [name for name in names if name is not None]
            number, size = 0, path.stat().st_size
            with _bar(path, size) as bar:
                for batch in file.iter_batches(columns=columns):
                    cells = [cell_texts(path, name, batch.column(name)) for name in batch.schema.names]
                    for row in zip(*cells, strict=True):
                        number += 1
                        yield number, dict(zip(batch.schema.names, row, strict=True))
                    if bar is not None:
                        bar.advance((size * number // file.metadata.num_rows >> 20) - bar.done)
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise NlcliError(f"cannot read {path}: {' '.join(str(error).split())[:200]}") from error


def cell_texts(path: Path, name: str, values: pa.Array) -> list[str]:
    """The cells of one column as the CSV reader gives them.

    Raises:
        NlcliError: they are neither text nor numbers.
    """
    import pyarrow as pa

    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    if pa.types.is_boolean(kind):
        return ["" if value is None else str(int(value)) for value in values.to_pylist()]
    if pa.types.is_floating(kind):
        return ["" if value is None or value != value else _number(value) for value in values.to_pylist()]
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    if not (text or pa.types.is_integer(kind) or pa.types.is_null(kind)):
        raise NlcliError(f"{path}: column '{name}' has the type {kind}, expected text or numbers; convert it")
    return ["" if value is None else str(value).strip() for value in values.to_pylist()]


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else str(value)
