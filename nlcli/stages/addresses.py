"""Addresses of object stores and of the web where a path is wanted: nlcli reads and writes files."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from nlcli.errors import NlcliError, printable

_OF_TEXT = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://(.*)", re.DOTALL)
_OF_PATH = re.compile(r"(?!(?:onnx|hub|timm):)([A-Za-z][A-Za-z0-9+.-]+):/(.*)", re.DOTALL)
"""A path has one '/' where two stood; ``onnx:/home/a.onnx`` and the like are networks of other libraries."""
_FROM_THE_WEB = ("http", "https", "ftp")
_MOST_SHOWN = 200


def refuse_address(value: Any, given: str, *, path: bool, written: bool = False) -> None:
    """Refuse ``value`` where it is an address such as ``s3://bucket/photos``.

    Args:
        value: Of an option: one, several, or by name.
        given: The option, such as ``--images``.
        path: Whether it is a path, and not text that may be something else.
        written: Whether it is made.

    Raises:
        NlcliError: with what to do in its place.
    """
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, list | tuple):
        for one in value:
            refuse_address(one, given, path=path, written=written)
        return
    found = None if value is None else (_OF_PATH if path else _OF_TEXT).fullmatch(str(value))
    if found is not None and (written or not os.path.lexists(value)):  # a folder here may be called so
        raise NlcliError(_sentence(found[1].lower(), found[2].lstrip("/"), given, written))


def _sentence(scheme: str, rest: str, given: str, written: bool) -> str:
    address = printable(f"{scheme}://{'/' if scheme == 'file' else ''}{rest}", _MOST_SHOWN)
    if scheme == "file":
        return f"{given} {address} is an address; give the path /{printable(unquote(rest), _MOST_SHOWN)}"
    if scheme in _FROM_THE_WEB and not written:
        return f"{given} {address} is an address, and nlcli reads files; download it first, and give where it lies"
    said, copy = f"{given} {address} is an address, and nlcli", _copy(scheme, address, written)
    if written:
        return f"{said} writes on disks; write to one, then copy what it made{copy}"
    return f"{said} reads files; mount the store (rclone mount), or copy it first{copy}"


def _copy(scheme: str, address: str, written: bool) -> str:
    """The command that copies to or from there, behind a colon; nothing where none is known."""
    outer, _, last = address.rstrip("/").rpartition("/")
    here, there = shlex.quote(last), shlex.quote(address)
    one_file = "." in last
    if scheme == "s3":
        source, target = (here, there) if written else (there, here)
        return f": aws s3 {'cp' if one_file else 'sync'} {source} {target}"
    if scheme == "gs":
        folder = there if outer.endswith("/") else shlex.quote(f"{outer}/")
        source, target = (here, folder) if written else (there, ".")
        return f": gcloud storage cp {'' if one_file else '--recursive '}{source} {target}"
    return ""
