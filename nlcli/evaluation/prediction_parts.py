"""A file that takes long to write, in parts: what is finished survives a kill, and the same command goes on there.

``OUT.partial`` holds the parts, and a recipe that says what they belong to. A part whose counts are there is done. When
all are, they are put together as ``OUT``, which is the old file or the new one at any moment.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from nlcli.console import say
from nlcli.errors import NlcliError
from nlcli.stages.files import atomic_path, read_json, system_sentences, write_json
from nlcli.stages.publishing import RECIPE, claim, empty, place_of, remove_temporary_files, work_path


class Parts:
    """The parts of one file, in ``directory``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def _path(self, number: int) -> Path:
        return self.directory / f"part-{number:05d}.txt"

    def counts(self, number: int) -> dict[str, int] | None:
        """What is counted in a part; None of one that is not done."""
        path = self._path(number).with_suffix(".json")
        if not path.is_file() or not self._path(number).is_file():
            return None
        counts = read_json(path)
        whole = isinstance(counts, dict) and all(isinstance(count, int) for count in counts.values())
        return counts if whole else None

    @contextmanager
    def write(self, number: int, counts: Mapping[str, int]) -> Iterator[TextIO]:
        """The file of a part, which is done, with ``counts`` as they are then, when the block ends."""
        with (
            atomic_path(self._path(number)) as temporary,
            open(temporary, "w", newline="", encoding="utf-8") as file,
        ):
            yield file
        write_json(self._path(number).with_suffix(".json"), dict(counts))

    def join(self, output: Path, header: str, parts: int) -> None:
        """Put ``header`` and the first ``parts`` together."""
        with atomic_path(output) as temporary, open(temporary, "wb") as file:
            file.write(header.encode())
            for number in range(parts):
                with open(self._path(number), "rb") as part:
                    shutil.copyfileobj(part, file)


@contextmanager
def open_parts(output: Path, recipe: Mapping[str, Any]) -> Iterator[Parts]:
    """Claim the parts of ``output``; they are removed when the block ends, and kept where it fails.

    Args:
        recipe: All that decides what the file holds; parts of another recipe are thrown away.

    Raises:
        NlcliError: another process writes it, or it cannot be written.
    """
    output = place_of(output)
    if output.is_dir() or not output.parent.is_dir():
        what = "is a folder" if output.is_dir() else "would lie in a folder that does not exist"
        raise NlcliError(f"cannot write {output}: it {what}; choose another --output")
    if os.path.lexists(output) and not output.is_file():
        raise NlcliError(f"cannot write {output}: it is a pipe or a device; leave out --output, and scores are printed")
    work = work_path(output)
    with system_sentences(output):
        lock = None
        while lock is None:
            lock = claim(output)
        try:
            _prepare(work, dict(recipe))
            yield Parts(work)
            empty(work)
            work.rmdir()
        except BaseException:
            with contextlib.suppress(OSError):
                remove_temporary_files(work)
                if {path.name for path in work.iterdir()} <= {RECIPE}:
                    shutil.rmtree(work)
            raise
        finally:
            os.close(lock)


def begun_recipe(output: Path) -> dict[str, Any] | None:
    """What the parts of ``output`` that are finished belong to; None where there are none, or it cannot be read."""
    path = work_path(place_of(output)) / RECIPE
    try:
        recipe = read_json(path) if path.is_file() else None
    except NlcliError:
        return None
    return recipe if isinstance(recipe, dict) else None


def _prepare(work: Path, recipe: dict[str, Any]) -> None:
    remove_temporary_files(work)
    before = read_json(work / RECIPE) if (work / RECIPE).is_file() else None
    if before == recipe:
        say(f"going on with what is finished in {work}")
        return
    if before is not None:
        say(f"what is finished in {work} is of other images or options; it is begun again")
    empty(work)
    write_json(work / RECIPE, recipe)
