"""How a stage directory comes to stand at its place: claimed by one process, swapped in an order any moment survives.

========================  =============================================================================
``OUT.partial``           where a stage writes; ``recipe.json`` in it says what the work belongs to
``OUT.replaced``          the result that a new one replaces, for a moment
``OUT``                   the result; ``stage.json`` in it says so
========================  =============================================================================

Publishing renames ``OUT`` to ``OUT.replaced``, then ``OUT.partial`` to ``OUT``, then removes what is left. Killed
in between, either ``OUT.partial`` is whole and is published by the next run of the same command, or ``OUT`` is, and
the next run removes the rest. Nothing is ever removed that does not carry one of the two marks, and no link is
followed to remove something.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
from pathlib import Path

from nlcli.console import say
from nlcli.errors import NlcliError
from nlcli.stages.files import TEMPORARY

RECORD = "stage.json"
RECIPE = "recipe.json"
WORK = ".partial"
OLD = ".replaced"
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})


def work_path(output: Path) -> Path:
    """Where a stage writes before ``output`` is there.

    Raises:
        NlcliError: it is the root of the disk, beside which there is no place.
    """
    if not output.name:  # '.', or the root
        output = Path(os.path.abspath(output))
    if not output.name:
        raise NlcliError(f"{output} is the root of the disk, and no place for a result; choose another --output")
    return output.with_name(output.name + WORK)


def old_path(output: Path) -> Path:
    """Where the result that ``output`` replaces lies for a moment."""
    return output.with_name(output.name + OLD)


def standing(output: Path) -> tuple[int, int] | None:
    """What is another one when something else stands at ``output``; None where nothing does."""
    try:
        found = os.lstat(output)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def place_of(output: Path | str) -> Path:
    """The absolute path where ``output`` is made: where it leads, if it is a link, even to what is not there yet.

    The directory is then made beside its place, on the same disk, and the link stays.
    """
    return Path(os.path.realpath(output) if os.path.islink(output) else os.path.abspath(output))


def is_ours(directory: Path) -> bool:
    """Whether ``directory`` is one, no link to one, and carries a mark of this program."""
    try:
        if not stat.S_ISDIR(os.lstat(directory).st_mode):
            return False
        return any(
            stat.S_ISREG(os.lstat(directory / mark).st_mode) for mark in (RECORD, RECIPE) if _is_there(directory / mark)
        )
    except (FileNotFoundError, NotADirectoryError):
        return False


def _is_there(path: Path) -> bool:
    return os.path.lexists(path)


# --- claiming --------------------------------------------------------------------------------


class OutputTaken(NlcliError):
    """Another process is making the output."""


def claim(output: Path) -> int | None:
    """Take ``OUT.partial`` for this process, making it if need be.

    Returns:
        A descriptor that holds the claim until it is closed, or the process ends; None when the directory was
        moved meanwhile: look again.

    Raises:
        OutputTaken: another process has it.
        NlcliError: what stands there is a file, a link, or somebody's folder.
        OSError: it cannot be made.
    """
    work = work_path(output)
    if os.path.islink(work):
        raise NlcliError(f"{work} is a link, and nlcli would write there; remove it, or choose another --output")
    if _is_there(work) and not work.is_dir():
        raise NlcliError(f"{work} is a file, and nlcli would write there; move it, or choose another --output")
    work.mkdir(parents=True, exist_ok=True)
    try:
        if not is_ours(work) and any(not _is_begun_recipe(path.name) for path in work.iterdir()):
            raise NlcliError(
                f"{work} holds files that nlcli did not make, and would write there; "
                "move it, or choose another --output"
            )
        descriptor = os.open(work, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:  # whoever had it is done with it
        return None
    try:
        _lock(descriptor, output)
        try:
            moved = os.stat(work).st_ino != os.fstat(descriptor).st_ino
        except FileNotFoundError:
            moved = True
    except BaseException:
        os.close(descriptor)
        raise
    if moved:
        os.close(descriptor)
        return None
    return descriptor


def _is_begun_recipe(name: str) -> bool:
    """Whether a file is the mark itself, half-written by a process that was killed just then."""
    return name.startswith(f".{RECIPE}.") and name.endswith(TEMPORARY)


def _lock(descriptor: int, output: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OutputTaken(
            f"{output} is being written by another process; wait for it, or choose another --output"
        ) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        say(f"note: the file system of {output} has no locks; do not run two commands with this --output at a time")


# --- what lies there -------------------------------------------------------------------------


def empty(work: Path) -> None:
    """Remove everything in the claimed directory ``work``, the mark last."""
    _remove_inside(work)


def remove_temporary_files(work: Path) -> None:
    """Remove what was being written when the process that wrote in ``work`` was killed."""
    for path in work.rglob(f".*{TEMPORARY}"):
        path.unlink(missing_ok=True)


def _remove_inside(directory: Path) -> None:
    marks = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name in (RECORD, RECIPE):
                marks.append(entry.path)
            elif entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)
    for path in marks:
        os.unlink(path)


# --- publishing ------------------------------------------------------------------------------


def refuse_what_is_not_ours(output: Path) -> None:
    """Refuse to begin where publishing could not replace ``output`` without touching somebody's files.

    Raises:
        NlcliError: something that nlcli did not make stands at ``OUT.replaced``.
    """
    old = old_path(output)
    empty_folder = old.is_dir() and not os.path.islink(old) and not any(old.iterdir())
    if _is_there(output) and _is_there(old) and not is_ours(old) and not empty_folder:
        raise NlcliError(f"{old} was not made by nlcli, and would be overwritten; move it, or choose another --output")


def publish(output: Path) -> None:
    """Put the finished ``OUT.partial`` at ``OUT``; see the module's docstring for the order."""
    refuse_what_is_not_ours(output)
    if _is_there(output):
        _remove_old(output)
        os.replace(output, old_path(output))
    os.replace(work_path(output), output)
    tidy(output)


def tidy(output: Path) -> None:
    """Remove what a process that was killed while publishing ``output`` left of it."""
    with contextlib.suppress(OSError):
        (output / RECIPE).unlink(missing_ok=True)
        _remove_old(output)


def _remove_old(output: Path) -> None:
    old = old_path(output)
    if is_ours(old):
        _remove_inside(old)
    if old.is_dir() and not os.path.islink(old) and not any(old.iterdir()):  # a kill may come behind the mark
        os.rmdir(old)
