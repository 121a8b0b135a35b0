"""Workers that are processes on this machine: one a GPU, or each with its share of the cores."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import time
from collections.abc import Hashable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from nlcli.runtime import network_threads
from nlcli.stages.engines.handing_out import Crew
from nlcli.stages.engines.shard_work import Advanced, Answer, Died, Order, ShardWork, Worker
from nlcli.stages.worker_process import Share, begin_worker

_TELL_EVERY = 0.5  # seconds
_PATIENCE = 5.0  # seconds that a worker has to end by itself


@dataclass
class _Member:
    process: BaseProcess
    connection: Connection
    busy: bool = False


class ProcessCrew(Crew):
    """``count`` processes that live until the work is done.

    Args:
        work: What they do.
        count: How many.
    """

    def __init__(self, work: ShardWork, count: int) -> None:
        self._work = pickle.dumps(work)
        self._count = count
        self._members: dict[int, _Member] = {}

    def idle(self) -> list[Hashable]:
        for place in range(self._count):
            if place not in self._members:
                self._members[place] = self._started(place)
        return [place for place, member in self._members.items() if not member.busy]

    def _started(self, place: int) -> _Member:
        context = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork
        ours, theirs = context.Pipe()
        share = replace(Share.of(place, self._count), networks=network_threads())  # the bits of this process
        process = context.Process(target=_serve, args=(theirs, self._work, os.getpid(), share), daemon=False)
        process.start()
        theirs.close()
        return _Member(process, ours)

    def give(self, worker: Hashable, order: Order) -> None:
        member = self._members[self._place(worker)]
        member.busy = True
        try:
            member.connection.send(order)
        except OSError:  # it died meanwhile, which waiting will tell
            return

    def wait(self) -> list[tuple[Hashable, Answer]]:
        by_connection = {member.connection: place for place, member in self._members.items()}
        answers: list[tuple[Hashable, Answer]] = []
        for ready in wait(list(by_connection)):
            assert isinstance(ready, Connection)
            place = by_connection[ready]
            try:
                answer = ready.recv()
            except (EOFError, OSError):
                self._end(self._members.pop(place))
                answer = Died()
            if not isinstance(answer, Advanced | Died):
                self._members[place].busy = False
            answers.append((place, answer))
        return answers

    def place(self, worker: Hashable) -> str:
        return ""

    def pids(self) -> list[int]:
        """Of the processes that run now."""
        return [member.process.pid for member in self._members.values() if member.process.pid is not None]

    def close(self) -> None:
        members, self._members = self._members, {}
        for member in members.values():
            if member.busy:
                member.process.terminate()
            member.connection.close()
        for member in members.values():
            self._end(member)

    @staticmethod
    def _end(member: _Member) -> None:
        member.connection.close()
        member.process.join(_PATIENCE)
        if member.process.is_alive():
            member.process.kill()
            member.process.join()

    @staticmethod
    def _place(worker: Hashable) -> int:
        assert isinstance(worker, int)
        return worker


def _serve(connection: Connection, pickled: bytes, parent: int, share: Share) -> None:
    begin_worker(parent, share)
    worker = Worker(pickle.loads(pickled))  # what this program pickled itself; unpickled late: it imports NumPy
    while True:
        try:
            order = connection.recv()
        except EOFError:
            return
        connection.send(worker.answer(order, _Teller(connection)))


class _Teller:
    """Tells how many images are done, but not one at a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._images = 0
        self._told = time.monotonic()

    def __call__(self, images: int) -> None:
        self._images += images
        if time.monotonic() - self._told >= _TELL_EVERY:
            self._connection.send(Advanced(self._images))
            self._images, self._told = 0, time.monotonic()
