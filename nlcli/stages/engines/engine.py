"""The engines: what makes the shards of a stage, told by ``--engine``, ``--address`` and ``--devices``.

The result is the same by all of them, so none of these options belongs to a recipe: what one engine began, another one
goes on with.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from nlcli.console import progress
from nlcli.errors import NlcliError
from nlcli.runtime import gpu_names, share_gpu_memory
from nlcli.stages.engines.handing_out import Crew, hand_out
from nlcli.stages.engines.shard_work import Advance, Shards, ShardWork


class EngineOptions(Protocol):
    """The options of a stage that decide who does it."""

    @property
    def engine(self) -> Literal["local", "ray"]:
        """This machine, or a Ray cluster."""

    @property
    def address(self) -> str | None:
        """Of the cluster."""

    @property
    def devices(self) -> int:
        """How many workers; 0: as the engine has it."""


class Engine(ABC):
    """What makes shards."""

    @abstractmethod
    def make(self, work: ShardWork, shards: Shards, numbers: Sequence[int], advance: Advance) -> None:
        """Make the shards ``numbers``, in any order."""

    def finish(self, work: ShardWork, shards: Shards, title: str) -> None:
        """Make the shards that are not done yet, and show how far that is."""
        left = shards.left()
        done = shards.images - sum(shards.images_of(number) for number in left)
        with progress(shards.images, title, unit="images", done=done) as bar:
            if left:
                self.make(work, shards, left, bar.advance)


class InThisProcess(Engine):
    """One shard after the other, here."""

    def make(self, work: ShardWork, shards: Shards, numbers: Sequence[int], advance: Advance) -> None:
        make = work.begin()
        for number in numbers:
            make(shards[number], advance)


@dataclass(frozen=True)
class ByCrew(Engine):
    """By workers, which may die.

    Attributes:
        crew: Makes them for some work and so many shards.
    """

    crew: Callable[[ShardWork, int], Crew]

    def make(self, work: ShardWork, shards: Shards, numbers: Sequence[int], advance: Advance) -> None:
        hand_out(shards, numbers, self.crew(work, len(numbers)), advance)


def engine_of(options: EngineOptions) -> Engine:
    """The engine that ``options`` name; to be asked for before TensorFlow is imported.

    Raises:
        NlcliError: options that do not go together, or Ray is not installed.
    """
    address, devices = options.address, options.devices
    if options.engine == "ray":
        from nlcli.stages.engines.ray_crew import RayCrew, ray_library

        ray_library(address)
        _leave_gpus_to_workers()
        return ByCrew(lambda work, shards: RayCrew(work, address, min(devices, shards)))
    if address is not None:
        raise NlcliError("--address is the address of a Ray cluster; pass --engine ray, too, or leave it out")
    if not devices:
        return InThisProcess()
    from nlcli.stages.engines.process_crew import ProcessCrew

    _leave_gpus_to_workers()
    return ByCrew(lambda work, shards: ProcessCrew(work, min(devices, shards)))


def _leave_gpus_to_workers() -> None:
    """This process opens the network to describe it; TensorFlow would take all memory of a GPU for that."""
    if gpu_names() and "TF_FORCE_GPU_ALLOW_GROWTH" not in os.environ:
        share_gpu_memory()
