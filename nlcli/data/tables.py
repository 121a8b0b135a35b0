"""Tables that people have: CSV as programs and spreadsheets save it, and Parquet. One reader for every stage.

Both kinds give the same text for the same table: cells are stripped, a missing cell is an empty one, a number
without a fraction is written as an integer in a column of numbers (pandas keeps integers with gaps as floats). The
apostrophe that ``csv_cell`` puts before text that a spreadsheet would run is taken away again.
"""

from __future__ import annotations

import csv
import io
import math
import os
import re
import shlex
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from nlcli.console import Bar, progress
from nlcli.data.json_lines import is_json_lines, json_lines, json_text
from nlcli.data.lists import shown
from nlcli.errors import NlcliError, unknown_name
from nlcli.stages.files import csv_text
from nlcli.stages.foreign_files import FIRST_BYTES, encoding_of, foreign_kind
from nlcli.stages.text_lines import bounded_lines

if TYPE_CHECKING:
    import pyarrow as pa

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_LARGE = 16  # MiB; a table of so many takes seconds, and a bar shows how far it is
_ROWS_A_LOOK = 10_000
_INDEX_COLUMNS = ("", "index", "level_0", "Unnamed: 0", "__index_level_0__")
"""What pandas calls the numbers of rows that it writes beside the columns."""
_OTHER_NAMES = {
    "path": (
        "file",
        "filename",
        "file_name",
        "filepath",
        "file_path",
        "image",
        "image_path",
        "img",
        "img_path",
        "images",
    ),
    "file_name": ("file", "filename", "path", "image"),
    "label": ("class", "category", "target", "tag", "class_name", "name"),
}
"""What people call the columns that must be there."""
_MOST_LINES_BEFORE = 20  # empty ones before the header
_SEPARATOR_LINE = re.compile(r"\"?sep=(.)\"?[,;\t|]*", re.IGNORECASE)  # which Excel writes and takes away again


def is_parquet(path: Path) -> bool:
    """Whether ``path`` is read as Parquet, by its ending."""
    return path.suffix.lower() in (".parquet", ".pq")


def row_unit(path: Path) -> str:
    """What the numbers of ``read_rows`` count in ``path``: ``line`` of a text file, ``row`` of Parquet."""
    return "row" if is_parquet(path) else "line"


def read_rows(
    path: Path, known: Sequence[str], required: Sequence[str], *, pass_over: bool = False
) -> Iterator[tuple[int, dict[str, str]]]:
    """Number and cells by column of every row of a CSV, Parquet or JSONL table, in its order.

    Args:
        path: A ``.parquet`` or a ``.jsonl`` file; anything else is read as CSV with commas, semicolons, tabs or bars,
            in UTF-8, UTF-16 or, with a byte-order mark, UTF-32.
        known: The columns that mean something; another one is refused, pandas' own index is passed over.
        required: Those that must be there.
        pass_over: Pass over other columns, too.

    Raises:
        NlcliError: naming the file and, where it lies in one, the line (CSV) or row from 1 (Parquet).
    """
    require_file(path)
    read = _json_rows if is_json_lines(path) else _parquet_rows if is_parquet(path) else _csv_rows
    return read(path, known, required, pass_over)


def require_file(path: Path) -> None:
    """Refuse what is no file on a disk, such as a pipe: a table is read more than once.

    Raises:
        NlcliError: with what to do.
    """
    if path.is_dir():
        raise NlcliError(f"{path} is a folder; give the file with the table")
    if path.exists() and not path.is_file():
        raise NlcliError(f"{path} is a pipe or a device; write the table into a file first, and give that")


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
                f"{', '.join(known)}, of which {' and '.join(required)} must be there{advice_on_column(name, names)}"
            )
    strange = [name for name in names if name not in known and name not in _INDEX_COLUMNS and not pass_over]
    if strange:
        raise NlcliError(
            f"{path}: {unknown_name(shown(strange[0]), known, 'column')}{_advice_on_strange(strange, known)}"
        )
    used = [name if name in known else None for name in names]
    repeated = next((name for name in known if used.count(name) > 1), None)
    if repeated is not None:
        raise NlcliError(f"{path}: the column '{repeated}' stands twice in the header; rename one of them")
    return used


def advice_on_column(name: str, names: Sequence[str]) -> str:
    """What to do where the column ``name`` is not among ``names``, behind a sentence."""
    meant = next((given for given in names if plain_column(given) in _OTHER_NAMES.get(name, ())), None)
    if meant is not None:
        return f"; call '{shown(meant)}' so if it is that one"
    return "; the first line names the columns" if any("/" in given or "." in given for given in names) else ""


def _advice_on_strange(strange: Sequence[str], known: Sequence[str]) -> str:
    if len(strange) == 1:
        return "; rename it, or leave the column out"
    if "noisy" in known:
        return (
            f"; {len(strange) - 1:,} more are unknown: leave them out, or where a column is a tag, write the tags "
            "of an image into one column 'noisy' with | between, for nlcli build-tags"
        )
    return f"; {len(strange) - 1:,} more are unknown: rename them, or leave these columns out"


def plain_column(name: str) -> str:
    """``name`` as columns are called: in small letters, with ``_`` for a space."""
    return "_".join(name.strip().casefold().replace("-", "_").split())


def as_known(names: Sequence[str], known: Collection[str]) -> list[str]:
    """``names`` of columns, each as it is known where it differs in capitals or spaces alone."""
    return [name if name in known or plain_column(name) not in known else plain_column(name) for name in names]


# --- CSV -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Header:
    """The first line of a table that holds something.

    Attributes:
        names: Of its columns.
        delimiter: Between them.
        line: Its number.
    """

    names: list[str]
    delimiter: str
    line: int


def read_header(path: Path, file: TextIO, known: Collection[str]) -> Header:
    """The header of a CSV file, which is left behind it.

    Raises:
        NlcliError: it is no text, or there is none.
    """
    delimiter = None
    for number, line in enumerate(islice(bounded_lines(file, path), _MOST_LINES_BEFORE), start=1):
        if "\0" in line:
            raise NlcliError(f"{path} is not a text file; expected CSV, or Parquet with the ending .parquet")
        said = _SEPARATOR_LINE.fullmatch(line.strip())
        if said is not None and said[1] in DELIMITERS:
            delimiter = said[1]
        elif line.strip():
            delimiter = delimiter or likely_delimiter(line, known)
            names = as_known(header_cells(line, delimiter), known)
            while len(names) > 1 and not names[-1]:  # as spreadsheets leave them
                names.pop()
            return Header(names, delimiter, number)
    raise NlcliError(f"{path} is empty; expected a table whose first line names the columns")


def _csv_rows(
    path: Path, known: Sequence[str], required: Sequence[str], pass_over: bool
) -> Iterator[tuple[int, dict[str, str]]]:
    reader: Any = None
    header: Header | None = None
    try:
        with open(path, "rb") as raw:
            encoding = text_encoding(path, raw.read(FIRST_BYTES))
            raw.seek(0)
            with io.TextIOWrapper(raw, encoding=encoding, newline="") as file:
                header = read_header(path, file, known)
                delimiter = header.delimiter
                columns = known_columns(path, header.names, known, required, pass_over)
                lines = bounded_lines(file, path, number=header.line + 1)
                reader = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True)
                with _bar(path, os.fstat(raw.fileno()).st_size) as bar:
                    for cells in reader:
                        if not any(cells):
                            continue
                        line = reader.line_num + header.line  # which was read apart
                        while len(cells) > len(columns) and not cells[-1].strip():  # as spreadsheets leave them
                            cells.pop()
                        if len(cells) != len(columns):
                            do = f"quote values that hold {DELIMITERS[delimiter]}"
                            if len(cells) < len(columns):
                                do = "is the line cut off, or are there other lines than of the table?"
                            raise NlcliError(f"{path}, line {line}: {len(cells)} cells, expected {len(columns)}; {do}")
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
            f"iconv -f WINDOWS-1252 -t UTF-8 {shlex.quote(str(path))} > utf8.csv (WINDOWS-1252 is of western Europe)"
        ) from error
    except csv.Error as error:
        line = "" if reader is None or header is None else f", line {reader.line_num + header.line}"
        raise NlcliError(f"cannot read {path}{line}: {error}; is a quotation mark missing there?") from error
    except OSError as error:
        raise NlcliError(f"cannot read {path}: {error.strerror or error}") from error


def text_encoding(path: Path, start: bytes) -> str:
    """The encoding of a text file, by its first bytes.

    Raises:
        NlcliError: it is a file of another kind.
    """
    kind = foreign_kind(start)
    if kind is not None:
        raise NlcliError(f"{path} {kind}")
    return encoding_of(start)


def header_cells(header: str, delimiter: str) -> list[str]:
    """The names in the first line of a table."""
    reader = csv.reader([header], delimiter=delimiter, skipinitialspace=True)
    return [cell.strip() for cell in next(reader, [])]


def likely_delimiter(header: str, known: Collection[str]) -> str:
    """The one that makes most known columns of the header; a comma where none makes any."""

    def cells_of(delimiter: str) -> list[str]:
        return as_known(header_cells(header, delimiter), known)

    return max(DELIMITERS, key=lambda delimiter: sum(cell in known for cell in cells_of(delimiter)))


# --- Parquet ---------------------------------------------------------------------------------


def _parquet_rows(
    path: Path, known: Sequence[str], required: Sequence[str], pass_over: bool
) -> Iterator[tuple[int, dict[str, str]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            given = file.schema_arrow.names
            names = known_columns(path, as_known(given, known), known, required, pass_over)
            columns = [column for column, name in zip(given, names, strict=True) if name is not None]
            called = dict(zip(given, names, strict=True))
            number, size = 0, path.stat().st_size
            with _bar(path, size) as bar:
                for batch in file.iter_batches(columns=columns):
                    cells = [cell_texts(path, name, batch.column(name)) for name in batch.schema.names]
                    own = [called[name] or "" for name in batch.schema.names]
                    for row in zip(*cells, strict=True):
                        number += 1
                        yield number, dict(zip(own, row, strict=True))
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
        return ["" if value is None else str(value) for value in values.to_pylist()]  # as pandas writes CSV
    if pa.types.is_floating(kind):
        return ["" if value is None or value != value else _number(value) for value in values.to_pylist()]
    if pa.types.is_decimal(kind):
        return ["" if value is None else _number(value) for value in values.to_pylist()]
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    if not (text or pa.types.is_integer(kind) or pa.types.is_null(kind)):
        raise NlcliError(f"{path}: column '{name}' has the type {kind}, expected text or numbers; convert it")
    return ["" if value is None else str(value).strip() for value in values.to_pylist()]


def _number(value: float | Decimal) -> str:
    return str(int(value)) if math.isfinite(value) and value == int(value) else str(value)


# --- JSONL -----------------------------------------------------------------------------------


def _json_rows(
    path: Path, known: Sequence[str], required: Sequence[str], pass_over: bool
) -> Iterator[tuple[int, dict[str, str]]]:
    names = list(dict.fromkeys(name for _, value in json_lines(path) for name in value))
    used = [name for name in known_columns(path, names, known, required, pass_over) if name is not None]
    for number, value in json_lines(path):
        row = {}
        for name in used:
            cell = value.get(name)
            if isinstance(cell, list):
                raise NlcliError(f"{path}, line {number}: '{name}' is a list, expected one value; correct the line")
            row[name] = "" if cell is None else json_text(cell, path, number, name)
        yield number, row
