"""The record of a stage whose result is one page: it stands in the page itself, as JSON that no browser shows."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from nlcli.errors import NlcliError
from nlcli.stages.files import parse_json

_OPENS, _CLOSES = '<script type="application/json" id="nlcli-record">', "</script>"
_FIRST = 1 << 16  # bytes within which the record begins
_MOST = 1 << 24


def embedded(record: dict[str, Any]) -> str:
    """``record`` as an element of a page's head; nothing in it can end the element."""
    text = json.dumps(record, sort_keys=True, ensure_ascii=True)
    return _OPENS + text.replace("<", "\\u003c") + _CLOSES


def read_embedded(path: Path) -> Any:
    """The record that the page at ``path`` holds; None where it holds none.

    Raises:
        NlcliError: the file cannot be read, or what stands there is not JSON.
    """
    try:
        with open(path, "rb") as file:
            begins = file.read(_FIRST)
            place = begins.find(_OPENS.encode())
            if place < 0:
                return None
            file.seek(place + len(_OPENS))
            text = file.read(_MOST)
    except OSError as error:
        raise NlcliError(f"cannot read {path}: {error.strerror}") from error
    end = re.search(re.escape(_CLOSES.encode()), text)
    if end is None:
        raise NlcliError(f"{path} is cut short; make it again with --force")
    return parse_json(text[: end.start()], path)
