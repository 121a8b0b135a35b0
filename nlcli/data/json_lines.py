"""JSONL: a JSON object a line, checked."""

from __future__ import annotations

import codecs
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from nlcli.data.lists import shown
from nlcli.errors import NlcliError, shortened
from nlcli.stages.files import RepeatedKeyError, once_each
from nlcli.stages.foreign_files import FIRST_BYTES, encoding_of, foreign_kind
from nlcli.stages.text_lines import bounded_lines


def is_json_lines(path: Path) -> bool:
    """Whether ``path`` is read as JSONL, by its ending."""
    return path.suffix.lower() in (".jsonl", ".ndjson")


def json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number (from 1) and object of every line that is not empty.

    Raises:
        NlcliError: with the line, for what is no JSON object.
    """
    number = 0
    try:
        with open(path, "rb") as file:
            start = file.read(FIRST_BYTES)
            kind, encoding = foreign_kind(start), encoding_of(start)
            if kind is not None:
                raise NlcliError(f"{path} {kind}")
            file.seek(0)
            utf8 = encoding.startswith("utf-8")
            text: IO[Any] = file if utf8 else io.TextIOWrapper(file, encoding=encoding)
            for number, raw in enumerate(bounded_lines(text, path), start=1):
                line = raw.removeprefix(codecs.BOM_UTF8) if isinstance(raw, bytes) and number == 1 else raw
                if not line.strip():
                    continue
                if number == 1 and line.strip() in (b"[", "["):
                    raise NlcliError(f"{path} is one list; write one object a line, without brackets and commas around")
                value = json.loads(line, object_pairs_hook=once_each)
                if not isinstance(value, dict):
                    raise NlcliError(f"{path}, line {number}: not a JSON object; expected one object a line")
                yield number, value
    except RepeatedKeyError as error:
        raise NlcliError(f"{path}, line {number}: {error}") from None
    except OSError as error:
        raise NlcliError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:  # also bytes that are no text, and numbers of thousands of digits
        raise NlcliError(f"{path}, line {number}: not valid JSON ({shortened(error)}); correct the line") from error


def json_text(value: Any, path: Path, number: int, name: str) -> str:
    """``value`` as Parquet's reader writes it, stripped.

    Raises:
        NlcliError: it is neither text nor a number; ``number`` is that of the line, ``name`` the column's.
    """
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise NlcliError(
                f"{path}, line {number}: '{name}' holds half a character ({shown(value)}); correct the line"
            ) from None
        return value.strip()
    if isinstance(value, bool | int):
        return str(value)
    if isinstance(value, float):
        return "" if value != value else str(int(value)) if value.is_integer() else str(value)
    raise NlcliError(f"{path}, line {number}: '{name}' holds neither text nor a number; correct the line")
