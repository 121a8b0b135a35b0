"""Shards handed out to workers that may die.

Every decision is made here, in one process: which shard is next, what to do with one whose worker died, what an answer
means. What workers are, and how they are spoken to, is a ``Crew``'s business.
"""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from nlcli.console import say
from nlcli.errors import NlcliError
from nlcli.stages.engines.shard_work import (
    Advance,
    Advanced,
    Answer,
    Died,
    Done,
    Failed,
    Missing,
    Order,
    Refused,
    Shard,
    Shards,
)

MOST_DEATHS = 3
"""Workers that may die over one shard."""
SEEN_WITHIN = 60.0
"""Seconds after which a network drive shows what another machine wrote."""


class Crew(ABC):
    """Workers, each of which makes one shard at a time.

    Attributes:
        elsewhere: Whether they may run on machines that see other files.
    """

    elsewhere = False

    @abstractmethod
    def idle(self) -> list[Hashable]:
        """The workers that wait for an order; those that died are replaced first."""

    @abstractmethod
    def give(self, worker: Hashable, order: Order) -> None:
        """Have an idle worker make a shard."""

    @abstractmethod
    def wait(self) -> list[tuple[Hashable, Answer]]:
        """What workers answer; waits until one does."""

    @abstractmethod
    def place(self, worker: Hashable) -> str:
        """The machine of a worker, as sentences name it; empty where it is this one."""

    @abstractmethod
    def close(self) -> None:
        """End all workers."""


@dataclass
class _Held:
    shard: Shard
    told: int = 0


def hand_out(shards: Shards, numbers: Sequence[int], crew: Crew, advance: Advance) -> None:
    """Have ``crew`` make the shards ``numbers``; it is closed in the end, however that comes.

    Raises:
        NlcliError: what a worker refuses, a machine without the pictures, a shard over which workers die.
    """
    try:
        _Handing(shards, numbers, crew, advance).run()
    finally:
        crew.close()


class _Handing:
    def __init__(self, shards: Shards, numbers: Sequence[int], crew: Crew, advance: Advance) -> None:
        self._shards, self._crew, self._advance = shards, crew, advance
        self._waiting = deque(numbers)
        self._held: dict[Hashable, _Held] = {}
        self._deaths: Counter[int] = Counter()
        self._settled: set[int] = set()  # shards of which the missing files are known to be missing here, too

    def run(self) -> None:
        while self._waiting or self._held:
            for worker in self._crew.idle() if self._waiting else ():
                if self._waiting:
                    self._give(worker, self._waiting.popleft())
            for worker, answer in self._crew.wait():
                self._take(worker, answer)

    def _give(self, worker: Hashable, number: int) -> None:
        shard = self._shards[number]
        self._held[worker] = _Held(shard)
        self._crew.give(worker, Order(shard, look=self._crew.elsewhere and number not in self._settled))

    def _take(self, worker: Hashable, answer: Answer) -> None:
        if isinstance(answer, Advanced):
            self._held[worker].told += answer.images
            self._advance(answer.images)
            return
        held = self._held.pop(worker, None)
        if held is None:  # it died without work
            return
        shard = held.shard
        match answer:
            case Done():
                self._require_written(worker, shard)
                self._advance(len(shard.files) - held.told)
            case Missing():
                self._require_missing_here(worker, answer)
                self._settled.add(shard.number)
                self._waiting.appendleft(shard.number)
            case Refused():
                raise NlcliError(self._on(worker) + answer.sentence)
            case Failed():
                raise answer.error
            case Died():
                self._advance(-held.told)
                self._bury(worker, shard, answer)

    def _bury(self, worker: Hashable, shard: Shard, answer: Died) -> None:
        self._deaths[shard.number] += answer.blamed
        where = self._crew.place(worker)
        if self._deaths[shard.number] >= MOST_DEATHS:
            raise NlcliError(
                f"{MOST_DEATHS} workers died over the images '{shard.names[0]}' to '{shard.names[-1]}', probably for "
                "memory; run the same command with fewer --devices or a smaller --batch-size, finished work is kept"
            )
        say(f"a worker{f' on {where}' * bool(where)} died; its images are given to another one")
        self._waiting.appendleft(shard.number)

    def _require_missing_here(self, worker: Hashable, answer: Missing) -> None:
        """A picture that is not there is a row with an error; one that is there, but not for a worker, is not."""
        here = next((file for file in answer.files if os.path.isfile(file)), None)
        if here is not None:
            raise NlcliError(
                f"{self._on(worker)}there is no {here}, which the machine of the command has; mount the pictures there "
                "under the same path, or take that machine out of the cluster, and run the same command again"
            )

    def _require_written(self, worker: Hashable, shard: Shard) -> None:
        deadline = time.monotonic() + (SEEN_WITHIN if self._crew.elsewhere else 0)
        while not self._shards.whole(shard.number):
            if time.monotonic() >= deadline:
                raise NlcliError(
                    f"{self._on(worker)}the images '{shard.names[0]}' to '{shard.names[-1]}' were written where the "
                    "machine of the command does not see them; choose an --output on a drive that all nodes share"
                )
            time.sleep(1)

    def _on(self, worker: Hashable) -> str:
        where = self._crew.place(worker)
        return f"on {where}: " if where else ""
