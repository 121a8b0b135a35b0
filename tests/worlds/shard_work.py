"""Work on shards without a network: what the files hold is written down, and workers die as a file says."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nlcli.errors import NlcliError
from nlcli.stages.engines.shard_work import Advance, Shard, Shards, ShardWork
from nlcli.stages.files import atomic_path


@dataclass(frozen=True)
class Copying(ShardWork):
    """Writes a line an image. A file that holds ``die`` kills the worker, once it was read so often as it has dots."""

    directory: Path
    seconds: float = 0.0  # that an image takes

    def begin(self) -> Callable[[Shard, Advance], None]:
        def make(shard: Shard, advance: Advance) -> None:
            lines = []
            for name, file in zip(shard.names, map(Path, shard.files), strict=True):
                content = file.read_text() if file.is_file() else "missing"
                if content.startswith("die") and not self._survived(file, content.count(".")):
                    os.kill(os.getpid(), signal.SIGKILL)
                if content == "refuse":
                    raise NlcliError(f"{name} is refused")
                if content == "fail":
                    raise ZeroDivisionError(name)
                time.sleep(self.seconds)
                lines.append(f"{name} {content}\n")
                advance(1)
            with atomic_path(self.path(shard.number)) as temporary:
                temporary.write_text("".join(lines))

        return make

    def _survived(self, file: Path, deaths: int) -> bool:
        marks = len(list(self.directory.glob(f"died-{file.name}-*")))
        if marks >= deaths:
            return True
        (self.directory / f"died-{file.name}-{marks}").touch()
        return False

    def path(self, number: int) -> Path:
        """What is written of a shard."""
        return self.directory / f"shard-{number}"


def written_files(folder: Path, contents: list[str]) -> tuple[Copying, Shards]:
    """Files ``0``, ``1``, ... in ``folder/in``, shards of two of them, and the work on these; ``-`` is no file."""
    (folder / "in").mkdir()
    (folder / "out").mkdir()
    for i, content in enumerate(contents):
        if content != "-":
            (folder / f"in/{i}").write_text(content)
    return files_again(folder, len(contents))


def files_again(folder: Path, count: int, seconds: float = 0.0) -> tuple[Copying, Shards]:
    """The same of files that are written already."""
    work = Copying(folder / "out", seconds)
    shards = Shards(
        count,
        2,
        take=lambda first, end: ([f"n{i}" for i in range(first, end)], [f"{folder}/in/{i}" for i in range(first, end)]),
        whole=lambda number: work.path(number).is_file(),
    )
    return work, shards
