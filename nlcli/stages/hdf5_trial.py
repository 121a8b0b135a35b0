"""HDF5 from outside, tried in a process of its own before it is read.

The HDF5 library takes a file's structure at its word: over some damaged files it never ends, of others it dies, and
nothing in Python can stop it (such as a free object of size 0 in a heap of texts, which is "skipped" for ever). So a
process that may die looks first at all that is not plain numbers: names, attributes, indices of chunks, texts. It may
use a number of seconds of the processor for each part of it; waiting for a disk does not count.

This file is also that process's program.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

from nlcli.stages.own_limits import allow_seconds, leave_no_core

SECONDS = 20
"""Of the processor, for a part of a file."""
ANSWER_SECONDS = 3600.0
"""Of waiting in all: somebody stopped the process, or a disk does not answer."""
_TEXTS = 1 << 16
"""Texts in a part."""
_MOST_ARRAYS = 10_000
_withstood: set[tuple[int, ...]] = set()
"""What was tried in this process, or written by it, as the file system knows it."""


def require_readable(path: Path, *, archive: bool = False) -> None:
    """Refuse a file over which the HDF5 library does not end, or of which it dies.

    What else is wrong with the file its reader says.

    Args:
        path: HDF5, or anything else.
        archive: Whether it is a ZIP archive (``.keras``); its members that end in ``.h5`` are tried.

    Raises:
        NlcliError: it is such a file.
    """
    from nlcli.errors import NlcliError

    tried = _state(path)
    if tried in _withstood:
        return
    code = trial(path, archive)
    if code >= 0:
        known_readable(path, tried)
        return
    if code == -signal.SIGXCPU:
        what = "the HDF5 library would never come to an end over it"
    elif code == -signal.SIGKILL:
        what = "a process that tried to read it was killed, probably for memory"
    else:
        what = f"the HDF5 library dies of it ({signal.Signals(-code).name})"
    raise NlcliError(f"{path} is damaged: {what}; save it again, or get it again")


def known_readable(path: Path, tried: tuple[int, ...] | None = None) -> None:
    """Take ``path`` as it is now, or as it was when it was ``tried``, for readable: this process wrote it itself."""
    state = _state(path) if tried is None else tried
    if state is not None:
        _withstood.add(state)


def _state(path: Path) -> tuple[int, ...] | None:
    """Of a file, which no write leaves alike; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def trial(path: Path, archive: bool) -> int:
    """Try the file in another process; its exit code, minus the signal's number when one ended it.

    Raises:
        NlcliError: it does not end.
    """
    from nlcli.errors import NlcliError
    from nlcli.stages.other_python import other_python

    program = (__file__, "archive" if archive else "file", os.fspath(path.absolute()), str(SECONDS))
    try:
        command, environment = other_python(*program, HDF5_PLUGIN_PRELOAD="::")  # no filter that is a plugin
    except OSError:
        return 0
    silent = subprocess.DEVNULL
    try:
        return subprocess.run(
            command, env=environment, stdin=silent, stdout=silent, stderr=silent, check=False, timeout=ANSWER_SECONDS
        ).returncode
    except subprocess.TimeoutExpired:
        raise NlcliError(
            f"{path}: the process that tried to read it gave no answer for {ANSWER_SECONDS:,.0f} seconds; see whether "
            "its disk answers and whether somebody stopped that process, and run the same command again"
        ) from None


# --- in the other process --------------------------------------------------------------------


def look(path: Path, archive: bool, seconds: int) -> None:
    """Read what is not plain numbers, and die of SIGXCPU where that does not end."""
    leave_no_core()
    allow_seconds(seconds)
    import h5py

    if not archive:
        with contextlib.suppress(Exception), h5py.File(path, "r") as file:  # damaged files raise nearly anything
            _walk(file, seconds)
        return
    with contextlib.suppress(Exception), zipfile.ZipFile(path) as members:
        for name in members.namelist():
            if name.endswith(".h5"):
                with contextlib.suppress(Exception), h5py.File(io.BytesIO(members.read(name)), "r") as file:
                    _walk(file, seconds)


def _walk(group: Any, seconds: int, seen: set[int] | None = None) -> None:
    """Every group and array below ``group``; links, and what lies in other files, are left alone."""
    import h5py

    seen = set() if seen is None else seen
    _attributes(group)
    for name in group:
        with contextlib.suppress(Exception):  # the next one may be what never ends
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                continue
            item = group[name]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen or len(seen) > _MOST_ARRAYS:
                continue
            seen.add(address)
            if isinstance(item, h5py.Group):
                _walk(item, seconds, seen)
            elif isinstance(item, h5py.Dataset):
                _attributes(item)
                _array(item, seconds)


def _attributes(item: Any) -> None:
    for name in item.attrs:
        with contextlib.suppress(Exception):
            item.attrs[name]


def _array(array: Any, seconds: int) -> None:
    if array.external or array.is_virtual:
        return
    if array.chunks is not None:
        array.id.get_num_chunks()  # goes through their index
    if not array.dtype.hasobject or not array.ndim:
        return
    for first in range(0, array.shape[0], _TEXTS):
        allow_seconds(seconds)
        array[first : first + _TEXTS]


if __name__ == "__main__":
    look(Path(sys.argv[2]), sys.argv[1] == "archive", int(sys.argv[3]))
