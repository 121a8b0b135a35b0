"""What a reader of vectors is, and what all of them refuse."""

from __future__ import annotations

from abc import ABC, abstractmethod
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nlcli.data.lists import read_lines, shown
from nlcli.data.table_columns import read_columns
from nlcli.errors import NlcliError, printable, shortened

if TYPE_CHECKING:
    import pyarrow as pa

KEYS = ("key", "path", "file_name")
"""Columns that name images."""
KEY_ARRAYS = (*KEYS, "keys", "paths", "file_names")
"""Arrays that do: files of arrays speak of many."""
MOST_NUMBERS = 1 << 20  # of a vector
_TABLES = (".csv", ".tsv", ".parquet", ".pq", ".jsonl")
BLOCK_BYTES = 8 << 20
"""Of a block: enough that the disk is read at its pace."""
KEYS_AT_A_TIME = 1 << 16
_LONGEST = 1 << 16  # bytes of a line


@dataclass(frozen=True)
class Block:
    """Some consecutive rows.

    Attributes:
        values: (n, D) of a floating type.
        there: (n,) bool, which of them have a vector; None where all do.
    """

    values: np.ndarray
    there: np.ndarray | None = None


class VectorReader(ABC):
    """The vectors of one source. Memory does not grow with them; what is read is read from front to back.

    Attributes:
        path: The file or directory.
        rows: How many rows it has.
        width: D.
        names_rows: Whether the source itself says which images its rows are of.
        no_text: Of an array that would name them, if it held text, what it is called.
    """

    path: Path
    rows: int
    width: int
    names_rows: bool = False
    no_text: str | None = None

    @abstractmethod
    def blocks(self, first: int = 0) -> Iterator[Block]:
        """The rows from ``first`` on, in their order, some megabytes at a time.

        Raises:
            NlcliError: the source is damaged, or a vector has another length.
        """

    def keys(self) -> pa.Array:
        """(rows,) Arrow strings that name the images, as they are written; only where ``names_rows``."""
        raise NotImplementedError


def block_rows(width: int, item_bytes: int) -> int:
    """Rows of a block of vectors of ``width`` numbers."""
    return max(1, BLOCK_BYTES // (width * item_bytes))


def require_matrix(path: Path, name: str | None, kind: str, dtype: np.dtype | None, shape: Sequence[int]) -> None:
    """Refuse what is not a table of numbers with a fraction.

    Args:
        name: Of the array in the file, where it has one.
        kind: Its type as the file calls it.
        dtype: Its type; None where NumPy has none.
        shape: Of the array.
    """
    what = f"{path}" if name is None else f"{path}: '{printable(name)}'"
    if len(shape) != 2 or dtype is None or dtype.kind != "f" or dtype.itemsize > 8 or not all(shape):
        raise NlcliError(
            f"{what} holds {shown(kind)} of shape {tuple(shape)}; expected numbers with a fraction (float16, float32 "
            "or float64) in two dimensions, a row an image"
        )
    require_width(what, shape[1])


def require_width(what: str, width: int) -> None:
    """Refuse vectors that are too long to be any."""
    if width > MOST_NUMBERS:
        raise NlcliError(f"{what} has vectors of {width:,} numbers; more than {MOST_NUMBERS:,} are not features")


def choose_array(path: Path, names: Sequence[str], column: str | None, tables: Sequence[str]) -> str:
    """Which array of a file holds the vectors.

    Args:
        names: All of its arrays.
        column: The one that is asked for.
        tables: Those of two dimensions with numbers that have a fraction.
    """
    if column is not None:
        if column not in names:
            listed = ", ".join(printable(name) for name in list(names)[:8]) or "none"
            raise NlcliError(f"{path} has no array '{printable(column)}'; it has: {listed}")
        return column
    if not tables:
        raise NlcliError(
            f"{path} has no array of numbers with a fraction in two dimensions; save the vectors so, a row an image"
        )
    if len(tables) > 1:
        raise NlcliError(
            f"{path} has vectors in '{printable(tables[0])}' and in '{printable(tables[1])}'; choose by --column"
        )
    return tables[0]


def mapped_array(path: Path) -> np.ndarray | np.lib.npyio.NpzFile:
    """What ``numpy.save`` wrote, mapped; an archive of arrays if it is one.

    Raises:
        NlcliError: it is damaged, or holds objects of Python, which would have to be unpickled.
    """
    try:
        values: np.ndarray | np.lib.npyio.NpzFile = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a damaged header raises nearly anything
        if "object" in str(error).lower():
            raise NlcliError(
                f"{path} holds objects of Python, which are not read, as they may run programs; save numbers "
                "(X.astype('float32')) or text (keys.astype(str))"
            ) from error
        raise NlcliError(f"cannot read {path} ({shortened(error)}); save it again by numpy.save") from error
    return values


def read_keys_of_rows(path: Path) -> pa.Array:
    """Keys of rows in their order: a line each, an array of texts, or a table with the column ``key`` or ``path``."""
    import pyarrow as pa

    kind = path.suffix.lower()
    if kind in _TABLES:
        columns = read_columns(path, KEYS, (), pass_over=True)
        named = [name for name in KEYS if name in columns.texts]
        if not named:
            raise NlcliError(f"{path} has none of the columns {', '.join(KEYS)}; rename the one with the keys or paths")
        texts = columns.texts[named[0]]
        return texts.values.take(pa.array(texts.codes))
    if kind == ".npy":
        names = mapped_array(path)
        if not isinstance(names, np.ndarray) or names.ndim != 1 or names.dtype.kind != "U":
            raise NlcliError(f"{path} is not an array of texts in one dimension; save the keys as text, one a line")
        return texts_in_parts(names)
    fast = _plain_lines(path)
    if fast is not None:
        return fast
    lines = (line.strip() for _, line in read_lines(path))
    parts = []
    while some := list(islice(lines, KEYS_AT_A_TIME)):
        parts.append(pa.array(some, pa.string()))
    return pa.chunked_array(parts, pa.string()).combine_chunks()


def _plain_lines(path: Path) -> pa.Array | None:
    """The lines of a text, without a step of Python for each; None where ``read_lines`` is to say what is wrong."""
    import pyarrow as pa
    import pyarrow.compute as pc

    parts = []
    try:
        with open(path, "rb") as file:
            rest = file.read(len(BOM_UTF8)).removeprefix(BOM_UTF8)
            while rest or file.peek(1):
                block = file.read(BLOCK_BYTES)
                whole = rest + block
                cut = whole.rfind(b"\n") + 1 if block else len(whole)
                whole, rest = whole[:cut], whole[cut:]
                lines = pc.split_pattern(pa.array([whole.decode()], pa.string()), "\n").flatten()
                if max(len(rest), pc.max(pc.binary_length(lines)).as_py()) >= _LONGEST:
                    return None
                lines = pc.utf8_trim_whitespace(lines)
                parts.append(lines.filter(pc.not_equal(lines, "")))
    except (OSError, UnicodeError):
        return None
    return pa.chunked_array(parts, pa.string()).combine_chunks()


def texts_in_parts(names: np.ndarray) -> pa.Array:
    """An array of texts as Arrow has them: NumPy gives every text the room of the longest."""
    import pyarrow as pa

    parts = [
        pa.array(names[first : first + KEYS_AT_A_TIME].tolist(), pa.string())
        for first in range(0, len(names), KEYS_AT_A_TIME)
    ]
    return pa.chunked_array(parts, pa.string()).combine_chunks()
