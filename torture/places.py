"""Places where output cannot or should not be written: the user gets a sentence, and nothing of theirs is lost."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from torture._command import Ended, forked
from torture._report import Count
from torture._world import leftovers, write_photographs
from torture.events import BUILD, preload, writes

ERRORS = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EIO,
    errno.EFBIG,
    errno.ESTALE,
    errno.ENAMETOOLONG,
)


@contextmanager
def _place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as root:
        work = Path(root) / "work"
        work.mkdir()
        write_photographs(work / "photographs")
        yield work


def _is_sentence(count: Count, ended: Ended, where: str, code: int = 1) -> None:
    last = ended.errors.strip().rsplit("\n", 1)[-1]
    count.expect(ended.code == code, f"{where}: ended with {ended.code}, expected {code}: {last[-200:]}")
    count.expect(not ended.is_traceback, f"{where}: a traceback: {last[-200:]}")
    if code == 1:
        count.expect(last.startswith("nlcli: "), f"{where}: no sentence: {last[-200:]}")
        count.expect(len(last) < 1100, f"{where}: {len(last)} characters")


# --- errors of the system --------------------------------------------------------------------


def _failing(deadly: int, number: int) -> Callable[[], None]:
    """From its operation ``deadly`` on, every operation that writes below the output fails with ``number``."""

    def install() -> None:
        seen = 0

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal seen
            path = writes(event, arguments)
            if path is None or "out" not in path:
                return
            seen += 1
            # Removing goes on working on a full disk, and what cleans up behind a failure does so, too.
            if seen >= deadly and event not in ("os.remove", "os.rmdir"):
                raise OSError(number, os.strerror(number), path)

        sys.addaudithook(hook)

    return install


def _errors(quick: bool) -> Count:
    count = Count(
        "places", "an error of the system at every kind of operation: one sentence, and the same command goes on"
    )
    with _place() as work:
        for number in ERRORS[:2] if quick else ERRORS:
            for deadly in (1, 4) if quick else (1, 2, 3, 4, 6, 9, 13, 18):
                where = f"{errno.errorcode[number]} at operation {deadly}"
                _is_sentence(count, forked(BUILD, work, _failing(deadly, number)), where)
                again = forked(BUILD, work)
                count.times += 1
                count.expect(again.code == 0, f"{where}: afterwards: {again.errors.strip()[-200:]}")
                shutil.rmtree(work / "out", ignore_errors=True)
                count.expect(not leftovers(work), f"{where}: left behind: {leftovers(work)}")
    return count


# --- odd surroundings ------------------------------------------------------------------------


def _no_locks() -> None:
    def refuse(descriptor: object, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    fcntl.flock = refuse


def _no_home() -> None:
    os.environ.pop("HOME", None)
    os.environ["XDG_CONFIG_HOME"] = os.environ["XDG_CACHE_HOME"] = "/nonexistent"


def _deleted_directory() -> None:
    gone = tempfile.mkdtemp()
    os.chdir(gone)
    os.rmdir(gone)


def _full_standard_output() -> None:
    os.dup2(os.open("/dev/full", os.O_WRONLY), 1)


def _small_files() -> None:
    import resource
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))


def _surroundings() -> Iterator[Count]:
    for what, before, code in (
        ("a file system without locks", _no_locks, 0),
        ("no home directory", _no_home, 0),
        ("a deleted working directory", _deleted_directory, 1),
        ("a full standard output", _full_standard_output, 1),
        ("a limit on the size of files", _small_files, 1),
    ):
        count = Count("places", what)
        with _place() as work:
            arguments = list(BUILD)
            if before is not _deleted_directory:
                ended = forked(arguments, work, before)
            else:
                ended = forked([*BUILD[:2], str(work / "photographs"), "--output", "out"], work, before)
            count.times += 1
            _is_sentence(count, ended, what, code)
            count.expect(not leftovers(work) or code, f"left behind: {leftovers(work)}")
        yield count


# --- what is not ours ------------------------------------------------------------------------


def _kept(work: Path, what: str, arguments: tuple[str, ...], count: Count) -> None:
    """Whatever the command does, the file ``mine.txt`` of the user is still there."""
    mine = list(work.parent.rglob("mine.txt"))
    ended = forked(arguments, work)
    count.times += 1
    count.expect(not ended.is_traceback, f"{what}: a traceback")
    count.expect(all(path.exists() for path in mine), f"{what}: removed {[p.name for p in mine if not p.exists()]}")


def _not_ours() -> Count:
    count = Count("places", "what stands at or beside the output and was not made by nlcli stays")

    def folder(path: Path) -> Path:
        path.mkdir(parents=True)
        (path / "mine.txt").write_text("mine")
        return path

    for force in ((), ("--force",)):
        for name in ("out", "out.partial", "out.replaced"):
            with _place() as work:
                folder(work / name)
                _kept(work, f"a folder {name} {force}", (*BUILD, *force), count)
            with _place() as work:
                (work / name).symlink_to(folder(work / "elsewhere"))
                _kept(work, f"a link {name} to a folder {force}", (*BUILD, *force), count)
            with _place() as work:
                (work / name).write_text("mine")
                ended = forked((*BUILD, *force), work)
                count.times += 1
                count.expect(
                    (work / name).read_text() == "mine" if (work / name).is_file() else False,
                    f"a file {name} is gone {force}",
                )
                count.expect(not ended.is_traceback, f"a file {name}: a traceback")
    return count


def _linked_output() -> Count:
    count = Count("places", "an output that is a link: the data go where it leads, or nothing is done")
    with _place() as work:
        (work / "disk").mkdir()
        (work / "out").symlink_to(work / "disk" / "data")  # leads nowhere yet
        ended = forked(BUILD, work)
        count.times += 1
        if ended.code == 0:
            count.expect((work / "out").is_symlink(), "the link was replaced")
            count.expect((work / "disk" / "data" / "stage.json").is_file(), "the data did not go where the link leads")
        else:
            _is_sentence(count, ended, "a link to nowhere")
            count.expect(not leftovers(work), "refused after work was done")
    with _place() as work:
        (work / "disk" / "data").mkdir(parents=True)
        (work / "out").symlink_to(work / "disk" / "data")
        ended = forked(BUILD, work)
        count.times += 1
        if ended.code == 0:
            count.expect((work / "out").is_symlink(), "the link was replaced")
            count.expect((work / "disk" / "data" / "stage.json").is_file(), "the data did not go where the link leads")
    return count


def run(quick: bool, seed: int) -> list[Count]:
    """All of them; ``quick``: fewer repetitions."""
    del seed
    preload()
    return [_errors(quick), *_surroundings(), _not_ours(), _linked_output()]
