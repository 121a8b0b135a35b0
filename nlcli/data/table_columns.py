"""Whole tables column by column, without a step of Python for each row: for millions of rows.

The cells are those that ``tables.read_rows`` gives, which also reads what is not plain enough for the fast way, and
says what is wrong with a file. Besides CSV and Parquet there is JSONL, an object a line; in Parquet and JSONL a
column may hold real lists.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nlcli.data.json_lines import is_json_lines, json_lines, json_text
from nlcli.data.tables import (
    as_known,
    cell_texts,
    is_parquet,
    known_columns,
    read_header,
    read_rows,
    require_file,
    row_unit,
    text_encoding,
)
from nlcli.errors import NlcliError, shortened
from nlcli.stages.foreign_files import FIRST_BYTES

if TYPE_CHECKING:
    import pyarrow as pa

_BLOCK_BYTES = 16 << 20
_NOT_AS_IT_STANDS = r"[\"\r\n\0]|^\s*'[=+\-@\t]"
"""What may be quoted, and text with the apostrophe before it that ``csv_cell`` writes."""
_NOT_PLAIN_ENDS = r"^[^!-~]|[^!-~]$"


@dataclass(frozen=True)
class Texts:
    """Texts by number: equal ones have the same.

    Attributes:
        codes: (n,) int32, index into ``values``.
        values: The distinct texts, stripped; an empty one where a cell is empty.
    """

    codes: np.ndarray
    values: pa.Array

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def names(self) -> list[str]:
        """``values`` in Python."""
        names: list[str] = self.values.to_pylist()
        return names

    @property
    def empty(self) -> np.ndarray:
        """bool (n,), where a cell is empty."""
        import pyarrow.compute as pc

        none: np.ndarray = pc.equal(self.values, "").to_numpy(zero_copy_only=False)
        return none[self.codes] if len(none) else np.zeros(len(self.codes), bool)

    def at(self, rows: np.ndarray) -> Texts:
        """Some of the cells, with no other values than theirs."""
        used, codes = np.unique(self.codes[rows], return_inverse=True)
        return Texts(codes.astype(np.int32), self.values.take(used))


@dataclass(frozen=True)
class TextLists:
    """Lists of texts; list ``i`` is ``items`` from ``starts[i]`` to ``starts[i + 1]``, (n + 1,) int64."""

    starts: np.ndarray
    items: Texts


@dataclass(frozen=True)
class Columns:
    """The known columns of a table that are there.

    Attributes:
        path: The file.
        rows: How many rows it has.
        texts: Columns of text.
        lists: Columns of real lists.
        known, required: As they were asked for.
        kept: Which rows of the file these are; None for all.
    """

    path: Path
    rows: int
    texts: dict[str, Texts]
    lists: dict[str, TextLists]
    known: tuple[str, ...]
    required: tuple[str, ...]
    pass_over: bool = False
    kept: np.ndarray | None = None

    def at(self, rows: np.ndarray) -> Columns:
        """Some of the rows, without columns of real lists."""
        return replace(
            self,
            rows=len(rows),
            texts={name: texts.at(rows) for name, texts in self.texts.items()},
            lists={},
            kept=rows if self.kept is None else self.kept[rows],
        )

    def where(self, row: int) -> str:
        """The file, and the line or row of ``row``, for a sentence."""
        row = row if self.kept is None else int(self.kept[row])
        if is_json_lines(self.path):
            number = next(islice(json_lines(self.path), row, None))[0]
            return f"{self.path}, line {number}"
        if is_parquet(self.path):
            return f"{self.path}, row {row + 1}"
        number = next(islice(read_rows(self.path, self.known, self.required, pass_over=self.pass_over), row, None))[0]
        return f"{self.path}, {row_unit(self.path)} {number}"


def read_columns(
    path: Path,
    known: Sequence[str],
    required: Sequence[str],
    lists: Sequence[str] = (),
    *,
    pass_over: bool = False,
) -> Columns:
    """The columns of a table.

    Args:
        path: Parquet, JSONL, or else CSV in any of the dialects of ``read_rows``.
        known, required, pass_over: As for ``read_rows``.
        lists: Columns that may hold real lists.

    Raises:
        NlcliError: as ``read_rows``; or a column holds lists that may not.
    """
    require_file(path)
    if is_json_lines(path):
        texts, found_lists, rows = _json_columns(path, known, required, lists, pass_over)
    elif is_parquet(path):
        texts, found_lists, rows = _parquet_columns(path, known, required, lists, pass_over)
    else:
        fast = _csv_columns(path, known, required, pass_over)
        texts, rows = fast if fast is not None else _row_by_row(path, known, required, pass_over)
        found_lists = {}
    return Columns(path, rows, texts, found_lists, tuple(known), tuple(required), pass_over)


def texts_of(values: Sequence[str]) -> Texts:
    """Texts of Python strings."""
    import pyarrow as pa

    encoded = pa.array(values, pa.string()).dictionary_encode()
    return Texts(encoded.indices.to_numpy().astype(np.int32, copy=False), encoded.dictionary)


# --- CSV -------------------------------------------------------------------------------------


def _csv_columns(
    path: Path, known: Sequence[str], required: Sequence[str], pass_over: bool
) -> tuple[dict[str, Texts], int] | None:
    """The columns; None where the file is not plain enough for this, or something is wrong with it."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.csv as csv

    try:
        with open(path, "rb") as raw:
            encoding = text_encoding(path, raw.read(FIRST_BYTES))
            raw.seek(0)
            with io.TextIOWrapper(raw, encoding=encoding, newline="") as file:
                header = read_header(path, file, known)
        if header.line > 1:
            return None
        if _quotation_marks(path) % 2:  # one is missing, and pyarrow would not say so
            return None
        delimiter = header.delimiter
        columns = known_columns(path, header.names, known, required, pass_over)
        numbered = [str(number) for number in range(len(columns))]
        used = {number: name for number, name in zip(numbered, columns, strict=True) if name is not None}
        if not used:  # pyarrow would take all of them
            return None
        table = csv.read_csv(
            path,
            csv.ReadOptions(
                column_names=numbered, skip_rows=1, block_size=_BLOCK_BYTES, encoding=encoding.removesuffix("-sig")
            ),
            csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            csv.ConvertOptions(
                column_types=dict.fromkeys(used, pa.dictionary(pa.int32(), pa.string())),
                include_columns=list(used),
                strings_can_be_null=False,
            ),
        )
        for column in table.columns:
            for chunk in column.chunks:
                if pa.types.is_null(chunk.type):  # no row at all has this column
                    return None
                if pc.any(pc.match_substring_regex(chunk.dictionary, _NOT_AS_IT_STANDS)).as_py():
                    return None
        texts = {name: _numbered_texts(path, name, table.column(number)) for number, name in used.items()}
    except (OSError, pa.ArrowException, UnicodeError):
        return None
    if len(used) == len(columns):  # a row of empty cells is none
        blank = np.logical_and.reduce([column.empty for column in texts.values()])
        if blank.any():
            texts = {name: Texts(column.codes[~blank], column.values) for name, column in texts.items()}
            return texts, int(np.count_nonzero(~blank))
    return texts, len(table)


def _quotation_marks(path: Path) -> int:
    count = 0
    with open(path, "rb") as file:
        while block := file.read(_BLOCK_BYTES):
            count += block.count(b'"')
    return count


def _row_by_row(
    path: Path, known: Sequence[str], required: Sequence[str], pass_over: bool
) -> tuple[dict[str, Texts], int]:
    cells: dict[str, list[str]] = {}
    rows = 0
    for _, row in read_rows(path, known, required, pass_over=pass_over):
        rows += 1
        for name, cell in row.items():
            cells.setdefault(name, []).append(cell)
    return {name: texts_of(column) for name, column in cells.items()}, rows


# --- Parquet ---------------------------------------------------------------------------------


def _parquet_columns(
    path: Path, known: Sequence[str], required: Sequence[str], lists: Sequence[str], pass_over: bool
) -> tuple[dict[str, Texts], dict[str, TextLists], int]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(path)
        called = known_columns(path, as_known(schema.names, known), known, required, pass_over)
        names = {given: name for given, name in zip(schema.names, called, strict=True) if name is not None}
        plain = [given for given in names if pa.types.is_string(schema.field(given).type)]
        table = pq.read_table(path, columns=list(names), read_dictionary=plain, partitioning=None)
        texts: dict[str, Texts] = {}
        found_lists: dict[str, TextLists] = {}
        for given, name in names.items():
            column, kind = table.column(given), table.column(given).type
            if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
                if name not in lists:
                    raise NlcliError(f"{path}: column '{name}' holds lists, expected one value a cell; convert it")
                found_lists[name] = _lists(path, name, column)
            else:
                texts[name] = _numbered_texts(path, name, column)
    except (OSError, pa.ArrowException, UnicodeError, KeyError) as error:
        raise NlcliError(f"cannot read {path}: {shortened(error)}") from error
    return texts, found_lists, len(table)


def _lists(path: Path, name: str, column: pa.ChunkedArray) -> TextLists:
    import pyarrow as pa
    import pyarrow.compute as pc

    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy().astype(np.int64)
    starts = np.concatenate(([0], np.cumsum(lengths)))
    parts = [chunk.flatten() for chunk in column.chunks]
    kind = column.type.value_type
    items = _numbered_texts(path, name, pa.chunked_array(parts, kind))
    if len(items) != starts[-1]:
        raise NlcliError(f"{path}: column '{name}' cannot be read as lists; write it again")
    return TextLists(starts, items)


def _numbered_texts(path: Path, name: str, column: pa.ChunkedArray) -> Texts:
    """A column as ``cell_texts`` gives it, each distinct value looked at once."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_nested(column.type):
        cell_texts(path, name, pa.nulls(0, column.type))  # says what is expected
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    elif column.num_chunks > 1:
        column = column.unify_dictionaries()
    chunks = column.chunks
    values = chunks[0].dictionary if chunks else pa.array([], column.type.value_type)
    codes = [pc.fill_null(chunk.indices, -1).to_numpy().astype(np.int32, copy=False) for chunk in chunks]
    number = np.concatenate(codes) if codes else np.zeros(0, np.int32)
    if pa.types.is_string(values.type) and not values.null_count:
        texts = _stripped(values)
    else:
        texts = pa.array(cell_texts(path, name, values), pa.string())
    if (number < 0).any():
        number = np.where(number < 0, len(texts), number)
        texts = pa.concat_arrays([texts, pa.array([""], pa.string())])
    encoded = texts.dictionary_encode()  # what was stripped may be equal now
    if len(encoded.dictionary) == len(texts):
        return Texts(number.astype(np.int32, copy=False), texts)
    return Texts(encoded.indices.to_numpy().astype(np.int32)[number], encoded.dictionary)


def _stripped(values: pa.Array) -> pa.Array:
    """Without white space at both ends, as Python sees it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    doubtful = pc.match_substring_regex(values, _NOT_PLAIN_ENDS)
    if not pc.any(doubtful).as_py():
        return values
    again = pa.array([value.strip() for value in values.filter(doubtful).to_pylist()], pa.string())
    return pc.replace_with_mask(values, doubtful, again)


# --- JSONL -----------------------------------------------------------------------------------


def _json_columns(
    path: Path, known: Sequence[str], required: Sequence[str], lists: Sequence[str], pass_over: bool
) -> tuple[dict[str, Texts], dict[str, TextLists], int]:
    cells: dict[str, list[str]] = {}
    items: dict[str, list[str]] = {}
    lengths: dict[str, list[int]] = {}
    names: dict[str, None] = {}
    rows = 0

    def fill(name: str) -> None:
        """Lines before, and since, that did not have it."""
        if name in lengths:
            lengths[name] += [0] * (rows - len(lengths[name]))
        if name in cells:
            cells[name] += [""] * (rows - len(cells[name]))

    for number, value in json_lines(path):
        for name, cell in value.items():
            if name not in names:
                known_columns(path, [*required, name] if name not in required else required, known, required, pass_over)
                names[name] = None
            if name not in known:
                continue
            if isinstance(cell, list):
                if name not in lists:
                    raise NlcliError(f"{path}, line {number}: '{name}' is a list, expected one value; correct the line")
                lengths.setdefault(name, [])
                fill(name)
                words = [json_text(item, path, number, name) for item in cell]
                items.setdefault(name, []).extend(words)
                lengths[name].append(len(words))
            elif cell is not None:
                cells.setdefault(name, [])
                fill(name)
                cells[name].append(json_text(cell, path, number, name))
        rows += 1
    known_columns(path, list(names), known, required, pass_over)
    for name in {**cells, **lengths}:
        fill(name)
    mixed = next((name for name in lengths if name in cells), None)
    if mixed is not None:
        raise NlcliError(f"{path}: '{mixed}' is a list in some lines and a single value in others; write lists in all")
    for name in names:
        if name in known and name not in cells and name not in lengths:  # null in every line
            if name in lists:
                lengths[name] = [0] * rows
            else:
                cells[name] = [""] * rows
    found_lists = {
        name: TextLists(np.concatenate(([0], np.cumsum(counts))).astype(np.int64), texts_of(items.get(name, [])))
        for name, counts in lengths.items()
    }
    return {name: texts_of(column) for name, column in cells.items()}, found_lists, rows
