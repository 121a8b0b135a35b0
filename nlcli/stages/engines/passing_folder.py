"""A folder among the temporary files that is there as long as this process is; what killed ones left is removed."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = "nlcli-ray-"


@contextmanager
def passing_folder() -> Iterator[Path]:
    """A new folder, removed behind the block; before, those of commands that were killed are removed.

    The lock is on the folder itself: the kernel drops it with the process, so whatever can be locked is nobody's.
    """
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        _remove_if_left(left)
    place, lock = _locked_folder()
    while not place.is_dir():  # taken for one that was left before it was locked
        os.close(lock)
        place, lock = _locked_folder()
    try:
        yield place
    finally:
        os.close(lock)
        shutil.rmtree(place, ignore_errors=True)


def _locked_folder() -> tuple[Path, int]:
    place = Path(tempfile.mkdtemp(prefix=_PREFIX))
    lock = os.open(place, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return place, lock


def _remove_if_left(folder: Path) -> None:
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
    except OSError:  # gone, somebody else's, or no folder
        return
    try:
        if os.fstat(lock).st_uid == os.geteuid():
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
    except OSError:  # a command has it, or there are no locks here
        return
    finally:
        os.close(lock)
