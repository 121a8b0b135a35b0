"""Files written whole or not at all, JSON, YAML, CSV, arrays, and fingerprints."""

from __future__ import annotations

import contextlib
import csv
import errno
import glob
import hashlib
import io
import json
import math
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from nlcli.errors import NlcliError, printable, shortened
from nlcli.stages.arrow_arrays import arrow_texts
from nlcli.stages.foreign_files import FIRST_BYTES, encoding_of, foreign_kind

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


def number(value: Any) -> float | None:
    """A JSON number; None for NaN, which JSON does not have."""
    value = float(value)
    return None if math.isnan(value) else value


TEMPORARY = ".tmp~"
_MOST_FILES_OF_A_FOLDER = 10_000


# --- files -----------------------------------------------------------------------------------


def fingerprint_file(path: Path) -> str:
    """``sha256:...`` of the file's content."""
    try:
        with open(path, "rb") as file:
            return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise NlcliError(f"cannot read {path}: {error.strerror}") from error


def fingerprint_folder(path: Path) -> str:
    """``sha256:...`` of the names and contents of the files in a folder and its folders; hidden ones do not count."""
    found: dict[str, str] = {}
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(name for name in names if not name.startswith(".")):
            if len(found) >= _MOST_FILES_OF_A_FOLDER:
                raise NlcliError(
                    f"{path} holds more than {_MOST_FILES_OF_A_FOLDER:,} files; name the folder that is meant"
                )
            whole = Path(folder, name)
            if not whole.is_file():
                raise NlcliError(f"{whole} is not a file, or a link that leads nowhere; remove it")
            found[whole.relative_to(path).as_posix()] = fingerprint_file(whole)
    return fingerprint_json(found)


def fingerprint_json(value: Any) -> str:
    """``sha256:...`` of ``value`` as canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def fingerprint_json_parts(parts: Iterable[Sequence[Any]]) -> str:
    """What ``fingerprint_json`` gives for one list of all that is in ``parts``, of which one is in memory."""
    digest, between = hashlib.sha256(b"["), ""
    for part in parts:
        if part:
            text = json.dumps(list(part), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
            digest.update(f"{between}{text[1:-1]}".encode())
            between = ","
    digest.update(b"]")
    return "sha256:" + digest.hexdigest()


def temporary_path(path: Path) -> Path:
    """Where this process writes what is to stand at ``path`` when it is whole."""
    return path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")


@contextmanager
def atomic_path(path: Path, *, new: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` on success, remove it on failure.

    What stands at ``path`` is therefore always whole: the old content, the new one, or nothing.

    Raises:
        FileExistsError: it was to be ``new``, and somebody else wrote it meanwhile.
    """
    temporary = temporary_path(path)
    try:
        yield temporary
        if not (new and _linked(temporary, path)):
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _linked(temporary: Path, path: Path) -> bool:
    """Whether the file is now called ``path``, too; not on a file system where no file has two names."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:
        return False
    return True


def remove_left_behind(path: Path) -> None:
    """Remove what was being written for ``path``, a file or a folder, by processes that live no longer."""
    before, after = f".{path.name}.", TEMPORARY
    for left in path.parent.glob(f"{glob.escape(before)}*{after}"):
        process = left.name.removeprefix(before).removesuffix(after)
        if process.isdecimal() and not _lives(int(process)):
            with contextlib.suppress(OSError):
                shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON with sorted keys, whole or not at all."""
    with atomic_path(path) as temporary:
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(value, file, indent=2, sort_keys=True, ensure_ascii=False, default=_jsonable)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())


def _jsonable(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # NumPy scalars and arrays
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def read_json(path: Path) -> Any:
    """Parsed JSON file; a missing or malformed one becomes a sentence with its place."""
    try:
        with open(path, "rb") as file:
            start = file.read(FIRST_BYTES)
            kind = foreign_kind(start)
            if kind is not None:
                raise NlcliError(f"{path} {kind}")
            if not start:
                raise NlcliError(f"{path} is empty; download or write the file again")
            file.seek(0)
            with io.TextIOWrapper(file, encoding=encoding_of(start)) as text:  # some programs write other than UTF-8
                return parse_json(text.read(), path)
    except UnicodeDecodeError as error:
        raise NlcliError(f"{path}: not valid JSON, byte {error.start} is not UTF-8") from error
    except OSError as error:
        raise NlcliError(f"cannot read {path}: {error.strerror}") from error


class RepeatedKeyError(Exception):
    """A key stands twice in one JSON object, of which Python's reader, as others, takes the last without a word."""


def once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object of its pairs, for ``json.loads(object_pairs_hook=...)``.

    Raises:
        RepeatedKeyError: with a clause that says which and what to do.
    """
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for number, name in enumerate(names) if name in names[:number])
        raise RepeatedKeyError(f"'{printable(twice)}' stands twice in one object; keep one of the two")
    return value


def parse_json(text: str | bytes, path: Path) -> Any:
    """The value of ``text``, which stands in ``path``; what is malformed becomes a sentence."""
    try:
        return json.loads(text, object_pairs_hook=once_each)
    except RepeatedKeyError as error:
        raise NlcliError(f"{path}: {error}") from None
    except json.JSONDecodeError as error:
        raise NlcliError(
            f"{path}: not valid JSON at line {error.lineno}, column {error.colno} ({error.msg}); "
            "download or write the file again"
        ) from error
    except UnicodeDecodeError as error:
        raise NlcliError(f"{path}: not valid JSON, byte {error.start} is not UTF-8") from error
    except RecursionError as error:
        raise NlcliError(f"{path}: not valid JSON, it is nested too deeply") from error
    except ValueError as error:  # a whole number of more digits than Python reads
        raise NlcliError(f"{path}: a number has thousands of digits, which no file of this kind holds") from error


# --- arrays ----------------------------------------------------------------------------------


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write an ``.npz`` file of arrays by name, whole or not at all."""
    import numpy as np

    named: dict[str, Any] = dict(arrays)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **named)


def read_arrays(path: Path, remedy: str = "pass --force to begin anew") -> dict[str, np.ndarray]:
    """Every array of an ``.npz`` file by name; pickled objects are refused.

    Raises:
        NlcliError: it is missing or damaged; ``remedy`` says what to do.
    """
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except Exception as error:  # a damaged archive raises nearly anything
        raise NlcliError(f"cannot read {path} ({shortened(error)}); {remedy}") from error


# --- YAML ------------------------------------------------------------------------------------

_OCTAL = re.compile(r"[-+]?0_*[0-7][0-7_]*")
_MOST_VALUES, _DEEPEST = 200_000, 60  # of what a YAML file says when its aliases are written out


def parse_yaml(text: str, where: str) -> Any:
    """The plain values of ``text``: no objects, no more than a person writes, whatever its aliases multiply.

    Raises:
        NlcliError: it is malformed, or too large or too deep; ``where`` names the file or the option.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        """Refuses a key that is there twice, of which YAML's takes the last."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
            keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            twice = next((key for at, key in enumerate(keys) if key in keys[:at] and key != "<<"), None)
            if twice is not None:
                line = next(key for key, _ in node.value[::-1] if key.value == twice).start_mark.line + 1
                raise NlcliError(f"{where}, line {line}: '{twice}' stands there twice; keep one of the two")
            return super().construct_mapping(node, deep)

        def number(self, node: yaml.ScalarNode) -> Any:
            """Refuses what a person does not read as YAML 1.1 does: 010 is eight, 1:30 is ninety."""
            text = str(node.value)
            if ":" in text or _OCTAL.fullmatch(text):
                line = node.start_mark.line + 1
                raise NlcliError(
                    f"{where}, line {line}: YAML reads {text} as another number; write it without the zero "
                    "in front or the colon, or in quotation marks where it is a name"
                )
            return self.construct_yaml_float(node) if node.tag.endswith("float") else self.construct_yaml_int(node)

        def day(self, node: yaml.ScalarNode) -> str:
            """The text of what looks like a date, which may be a name: no option is a date."""
            self.construct_yaml_timestamp(node)  # refuses one that cannot be
            return str(node.value)

    for kind in ("int", "float"):
        Loader.add_constructor(f"tag:yaml.org,2002:{kind}", Loader.number)
    Loader.add_constructor("tag:yaml.org,2002:timestamp", Loader.day)
    try:
        value = yaml.load(text, Loader)  # the safe one
    except yaml.YAMLError as error:
        raise NlcliError(f"{where}: not valid YAML: {error}") from error
    except (ValueError, RecursionError) as error:  # ValueError: 2001-13-13 is no date
        raise NlcliError(f"{where}: not valid YAML: a date, a number or a nesting that cannot be") from error
    left = [_MOST_VALUES]
    _count_values(value, where, left, 0)
    return value


def _count_values(value: Any, where: str, left: list[int], depth: int) -> None:
    left[0] -= 1
    if left[0] < 0 or depth > _DEEPEST:
        raise NlcliError(f"{where}: more than {_MOST_VALUES:,} values, or nested more than {_DEEPEST} deep")
    parts = (*value, *value.values()) if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    for part in parts:
        _count_values(part, where, left, depth + 1)


# --- CSV -------------------------------------------------------------------------------------


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file, whole or not at all: UTF-8, lines that end in a newline, cells as ``csv_cell`` gives them."""
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        write_csv_rows(file, header, rows)


def write_csv_rows(file: TextIO, header: Sequence[str] | None, rows: Iterable[Sequence[Any]]) -> None:
    """The same into an open file, such as standard output; without a header where the file has one already."""
    writer = csv.writer(file, lineterminator="\n")
    if header is not None:
        writer.writerow([csv_cell(name) for name in header])
    writer.writerows([csv_cell(cell) for cell in row] for row in rows)


def write_csv_table(path: Path, table: pa.Table) -> None:
    """Write a table of pyarrow as CSV with the cells of ``csv_cell``, without a step of Python for each row.

    Texts are in quotation marks; floats have six digits behind the point.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.csv as arrow_csv

    columns = []
    for name in table.column_names:
        column = table.column(name)
        if pa.types.is_floating(column.type):
            column = pc.round(column.cast(pa.float64()), 6)
            column = pc.if_else(pc.is_nan(column), pa.nulls(len(column), pa.float64()), column)
        elif pa.types.is_string(column.type):
            run = pc.match_substring_regex(column, _RUN_PATTERN)  # empty where the cell is, which stays empty
            if pc.any(run).as_py():
                guarded = arrow_texts([csv_cell(text) for text in column.filter(run).to_pylist()])
                column = pc.replace_with_mask(column.combine_chunks(), run.combine_chunks(), guarded)
        columns.append(column)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        header = io.StringIO(newline="")
        write_csv_rows(header, table.column_names, ())
        file.write(header.getvalue().encode())
        options = arrow_csv.WriteOptions(include_header=False)
        arrow_csv.write_csv(pa.table(columns, names=table.column_names), file, options)


_RUN = ("=", "+", "-", "@", "\t", "\r")
_RUN_PATTERN = r"^[=+\-@\t\r]"


def csv_cell(cell: Any) -> Any:
    """``cell`` as a spreadsheet may have it: text that it would run as a formula gets an apostrophe before it.

    None and NaN are empty cells. Numbers stay what they are; text that is a number, as well.
    """
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, str) and cell.startswith(_RUN) and not _is_number(cell):
        return "'" + cell
    return cell


def csv_text(cell: str) -> str:
    """The text that ``csv_cell`` wrote as ``cell``."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_RUN) else cell


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


_DO = {
    errno.ENOSPC: "the disk is full; free some space and run the same command again, finished work is kept",
    errno.EDQUOT: "the disk quota is used up; free some space and run the same command again",
    errno.EROFS: "the file system is read-only; choose another --output",
    errno.EACCES: "permission denied; choose another --output",
    errno.EPERM: "permission denied; choose another --output",
    errno.ENOTDIR: "a part of the path is not a directory; choose another --output",
    errno.EEXIST: "a part of the path is a file; choose another --output",
    errno.ENAMETOOLONG: "the name is too long; choose another --output",
    errno.EFBIG: "the file is larger than 'ulimit -f' or this disk allows; lift the limit, or choose another --output",
    errno.EMFILE: "too many files are open; raise 'ulimit -n'",
    errno.EIO: "the disk or the network drive does not answer; see to it and run the same command again",
    errno.ESTALE: "the network drive was changed from elsewhere; run the same command again",
}


@contextmanager
def system_sentences(output: Path) -> Iterator[None]:
    """Turn what the system says about an output that cannot be written into one sentence."""
    try:
        yield
    except OSError as error:
        code = error.errno
        if code is None and "No space left" in str(error):  # HDF5 hides the number in its text
            code = errno.ENOSPC
        if code is None or isinstance(error, BrokenPipeError):
            raise
        what = _DO.get(code, f"{error.strerror}; run the same command again, or choose another --output")
        raise NlcliError(f"cannot write {error.filename or output}: {what}") from error
