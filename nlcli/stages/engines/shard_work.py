"""Shards of a stage: images a few thousand at a time, each shard written as files of its own.

A shard that is whole is done, whoever wrote it: that is all there is to resuming, and why it does not matter where a
shard is made. What belongs to the stage's process and what travels to a worker are apart: ``Shards`` knows all images,
``ShardWork`` knows how a shard is made, and one ``Shard`` is what goes with it.
"""

from __future__ import annotations

import math
import os
import pickle
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nlcli.errors import NlcliError
from nlcli.runtime import versions
from nlcli.stages.files import system_sentences

Advance = Callable[[int], None]
"""Told how many more images are done."""


@dataclass(frozen=True)
class Shard:
    """Some consecutive images.

    Attributes:
        number: Of the shard, from 0.
        names: What the images are called.
        files: Where they lie; as text, which is made and pickled faster than paths.
    """

    number: int
    names: list[str]
    files: list[str]


@dataclass(frozen=True)
class Shards:
    """All shards of a stage, as the process sees them that hands them out.

    Attributes:
        images: How many in all.
        size: Images of a shard, but for the last one.
        take: Names and files of the images from one position to another.
        whole: Whether what was written of a shard is all there.
    """

    images: int
    size: int
    take: Callable[[int, int], tuple[list[str], list[str]]]
    whole: Callable[[int], bool]

    def __len__(self) -> int:
        return math.ceil(self.images / self.size)

    def __getitem__(self, number: int) -> Shard:
        first = number * self.size
        return Shard(number, *self.take(first, first + self.images_of(number)))

    def images_of(self, number: int) -> int:
        """Images of a shard."""
        return min(self.size, self.images - number * self.size)

    def left(self) -> list[int]:
        """Numbers of the shards that are not done yet."""
        return [number for number in range(len(self)) if not self.whole(number)]


class ShardWork(ABC):
    """How shards are made; it is pickled to go to a worker, so it holds options and no network.

    Attributes:
        directory: Where shards are written; every worker must see it.
    """

    directory: Path

    @abstractmethod
    def begin(self) -> Callable[[Shard, Advance], None]:
        """Open what is needed, once a worker; returns what makes and writes a shard."""


# --- what a worker is asked, and what it answers ---------------------------------------------


@dataclass(frozen=True)
class Order:
    """A shard to make.

    Attributes:
        look: Whether to ask back about files that are not there before anything is made.
    """

    shard: Shard
    look: bool = False


@dataclass(frozen=True)
class Advanced:
    """So many more images are done."""

    images: int


@dataclass(frozen=True)
class Done:
    """The shard is written."""


@dataclass(frozen=True)
class Missing:
    """These files are not there, and nothing was made."""

    files: list[str]


@dataclass(frozen=True)
class Refused:
    """It cannot be done, for a reason that a user can mend."""

    sentence: str


@dataclass(frozen=True)
class Failed:
    """A defect."""

    error: Exception

    @classmethod
    def of(cls, error: Exception) -> Failed:
        """``error`` as it can travel: as text where it cannot be pickled."""
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:
            return cls(RuntimeError("".join(traceback.format_exception(error))))
        return cls(error)


@dataclass(frozen=True)
class Died:
    """The worker is gone, with what it was making.

    Attributes:
        blamed: Whether its shard may be why.
    """

    blamed: bool = True


Answer = Advanced | Done | Missing | Refused | Failed | Died


@dataclass(frozen=True)
class Origin:
    """Where a command was given, for workers on other machines.

    Attributes:
        folder: Its working directory, from which relative paths are meant.
        versions: Of the libraries that can change a result.
    """

    folder: str
    versions: dict[str, str]

    @classmethod
    def here(cls) -> Origin:
        """This process."""
        return cls(os.getcwd(), _that_count())


def _that_count() -> dict[str, str]:
    return {name: version for name, version in versions().items() if name != "python"}  # Ray compares Python's


class Worker:
    """What answers orders, wherever it runs."""

    def __init__(self, work: ShardWork, origin: Origin | None = None) -> None:
        self._work = work
        self._origin = origin
        self._make: Callable[[Shard, Advance], None] | None = None

    def answer(self, order: Order, advance: Advance) -> Answer:
        """Do it, or say why not."""
        try:
            with system_sentences(self._work.directory):
                if self._make is None:
                    self._arrive()
                missing = [file for file in order.shard.files if not os.path.isfile(file)] if order.look else []
                if missing:
                    return Missing(missing)
                if self._make is None:
                    self._make = self._work.begin()
                self._make(order.shard, advance)
                return Done()
        except NlcliError as error:
            return Refused(str(error))
        except Exception as error:
            return Failed.of(error)

    def _arrive(self) -> None:
        """See that this machine has what the one has where the command was given."""
        if self._origin is None:
            return
        for name, version in _that_count().items():
            wanted = self._origin.versions.get(name)
            if wanted != version:
                raise NlcliError(
                    f"it has {name} {version}, and the machine of the command {wanted}; results would be mixed: "
                    "install the same on all nodes"
                )
        try:
            os.chdir(self._origin.folder)
        except OSError as error:
            raise NlcliError(
                f"it has no folder {self._origin.folder}; give the command in a folder that all nodes share"
            ) from error
        if not self._work.directory.is_dir():
            raise NlcliError(
                f"it has no folder {self._work.directory}; choose an --output on a drive that all nodes share"
            )
