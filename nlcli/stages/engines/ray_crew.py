"""Workers of a Ray cluster: actors that make shards where Ray has room, on this machine or on others.

Nothing but names of files travels; what is made is written by the worker, so every node must see the pictures and the
output under the same path as the machine of the command. An actor that dies, alone or with its node, is replaced, and
nodes that come later get workers, too.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import pickle
import secrets
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, TextIO, cast

from nlcli import runtime
from nlcli.console import say, set_quiet
from nlcli.errors import NlcliError, shortened
from nlcli.stages.engines.handing_out import Crew
from nlcli.stages.engines.passing_folder import passing_folder
from nlcli.stages.engines.shard_work import Answer, Died, Failed, Order, Origin, ShardWork, Worker
from nlcli.stages.worker_process import Share

_LOOK_ROUND = 10.0  # seconds between two looks for nodes that came or went
_TELL_AFTER, _PATIENCE = 60.0, 900.0  # seconds without a worker
_ANSWERS_WITHIN = 10.0  # seconds
_MOST_STILLBORN = 3  # workers in a row that die as they start
_STORE_BYTES = 128 << 20  # of the object store of a cluster of our own: nothing but names is in it
_MODE, _TOKEN = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"
_LONGEST_PLACE = 40  # characters of a folder that Ray can make its sockets in


def ray_library(address: str | None) -> Any:
    """The package.

    Args:
        address: Of the cluster; a cluster of its own talks to nobody who has not its token, since it listens on all
            addresses. Ray reads that as it is imported.

    Raises:
        NlcliError: it is not there.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
    if address is None and "ray" not in sys.modules and _MODE not in os.environ:
        os.environ |= {_MODE: "token", _TOKEN: secrets.token_hex(32)}
    try:
        import ray
    except ImportError as error:
        raise NlcliError("--engine ray needs the package ray; install it with: pip install 'nlcli[ray]'") from error
    return ray


@dataclass
class _Member:
    actor: Any
    node: str
    answer: Any  # reference to what it will answer; None where it waits for an order
    ready: bool = False  # before that Ray may not have room for it


class RayCrew(Crew):
    """One worker a GPU of the cluster, or one a node where there are none.

    Args:
        work: What they do.
        address: Of the cluster; ``auto`` for the one that this machine is in; None for one of its own here.
        count: Workers in all; 0: as many as there are GPUs, or nodes.

    Raises:
        NlcliError: there is no such cluster.
    """

    elsewhere = True

    def __init__(self, work: ShardWork, address: str | None, count: int) -> None:
        self._ray = ray_library(address)
        self._work, self._origin = pickle.dumps(work), Origin.here()
        self._count = count
        self._members: dict[int, _Member] = {}
        self._places: list[str] = []  # by number of the worker
        self._stillborn = 0
        self._looked = -_LOOK_ROUND
        self._worked = time.monotonic()
        self._told = False
        self._left = contextlib.ExitStack()  # what is undone in the end
        if not self._ray.is_initialized():
            self._join(address)

    def _join(self, address: str | None) -> None:
        if address is not None:
            _require_address(address)
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if address is None:
            place = str(self._left.enter_context(passing_folder()))
            quiet |= {} if len(place) > _LONGEST_PLACE else {"_temp_dir": place}
            quiet |= {
                "num_cpus": runtime.cpu_count(),
                "num_gpus": len(runtime.gpu_names()),
                "object_store_memory": _STORE_BYTES,
                "include_dashboard": False,
            }
        self._left.enter_context(contextlib.redirect_stdout(cast(TextIO, _WithoutRay(sys.stdout))))
        self._left.callback(self._ray.shutdown)
        try:
            with runtime.chatter_held_back():
                self._ray.init(address=address or "local", **quiet)
        except (ConnectionError, ValueError, RuntimeError, TimeoutError, self._ray.exceptions.RayError) as error:
            self.close()
            if address is None:
                raise NlcliError(f"Ray does not start on this machine ({shortened(error)})") from error
            raise _no_cluster(address, error) from error

    def idle(self) -> list[Hashable]:
        if time.monotonic() - self._looked >= _LOOK_ROUND:
            self._fill()
        return [number for number, member in self._members.items() if member.answer is None]

    def _fill(self) -> None:
        """Start the workers that are missing."""
        self._looked = time.monotonic()
        nodes = {
            node["NodeID"]: node for node in self._ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1
        }
        there = Counter(member.node for member in self._members.values())
        for node, wanted in wanted_workers({name: _gpus(node) for name, node in nodes.items()}, self._count).items():
            for _ in range(wanted - there[node]):
                self._start(nodes[node], wanted)

    def _start(self, node: dict[str, Any], workers: int) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        threads = max(1, int(node["Resources"]["CPU"]) // workers)
        share = Share(threads, workers, networks=runtime.network_threads())  # the bits of this process
        gpus = _gpus(node)
        gpu = 1 / math.ceil(workers / gpus) if gpus else 0.0  # Ray puts a part of one on one GPU
        actor = (
            self._ray.remote(_RemoteWorker)
            .options(
                num_cpus=share.threads,
                num_gpus=gpu,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
            )
            .remote(self._work, self._origin, share, 0 < gpu < 1)
        )
        self._members[len(self._places)] = _Member(actor, node["NodeID"], actor.ready.remote())
        self._places.append(f"node {node['NodeManagerHostname']} ({node['NodeManagerAddress']})")

    def give(self, worker: Hashable, order: Order) -> None:
        member = self._members[_number(worker)]
        member.answer = member.actor.answer.remote(order)

    def wait(self) -> list[tuple[Hashable, Answer]]:
        by_answer = {member.answer: number for number, member in self._members.items() if member.answer is not None}
        if any(member.ready for member in self._members.values()):
            self._worked, self._told = time.monotonic(), False
        else:
            self._be_patient()
        if not by_answer:
            time.sleep(1)
            return []
        ready, _ = self._ray.wait(list(by_answer), num_returns=1, timeout=_LOOK_ROUND)
        answers = ((by_answer[reference], self._answer(by_answer[reference])) for reference in ready)
        return [(number, answer) for number, answer in answers if answer is not None]

    def _answer(self, number: int) -> Answer | None:
        """What a worker answers; None from one that has started."""
        errors = self._ray.exceptions
        member, place = self._members[number], self._places[number]
        try:
            answer: Answer | None = self._ray.get(member.answer)
        except errors.RayTaskError as error:
            answer = Failed.of(error.cause if isinstance(error.cause, Exception) else error)
        except errors.RayError as error:
            del self._members[number]
            self._looked = -_LOOK_ROUND
            if "ModuleNotFoundError" in str(error):
                raise NlcliError(f"on {place}: nlcli is not there; install it on all nodes") from error
            self._stillborn += not member.ready
            if self._stillborn >= _MOST_STILLBORN:
                raise NlcliError(f"on {place}: workers of Ray die as they start ({shortened(error)})") from error
            return Died(blamed=not isinstance(error, errors.ActorUnschedulableError))
        self._stillborn, member.ready, member.answer = 0, True, None
        return answer

    def _be_patient(self) -> None:
        """Wait for a worker to start, but not for ever."""
        waited = time.monotonic() - self._worked
        if waited > _PATIENCE:
            raise NlcliError(
                f"no worker has started on the Ray cluster for {_PATIENCE / 60:.0f} minutes; see by 'ray status' "
                "whether it has processors to spare, and run the same command again"
            )
        if waited > _TELL_AFTER and not self._told:
            self._told = True
            say("no worker has started on the Ray cluster yet: it is slow, or has no processors to spare; waiting")

    def place(self, worker: Hashable) -> str:
        return self._places[_number(worker)]

    def close(self) -> None:
        for member in self._members.values():
            with contextlib.suppress(Exception):  # it, or all of the cluster, may be gone
                self._ray.kill(member.actor)
        self._members.clear()
        self._left.close()


def _require_address(address: str) -> None:
    """See that somebody is there: Ray itself tries for minutes.

    Raises:
        NlcliError: it is no address, or nobody answers.
    """
    if address == "auto":
        return
    host, sign, port = address.rpartition(":")
    if "/" in host or not sign or not port.isdecimal():
        raise NlcliError(f"--address {address} is no address of a Ray cluster; pass HOST:PORT, such as 10.0.0.1:6379")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _ANSWERS_WITHIN).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, error) from error


def _no_cluster(address: str, error: BaseException) -> NlcliError:
    return NlcliError(
        f"there is no Ray cluster at {address} ({shortened(error)}); start one with 'ray start --head', or leave out "
        "--address for one of its own on this machine"
    )


class _WithoutRay:
    """Standard output without what Ray tells there of dead workers, in the middle of whatever is written."""

    def __init__(self, output: TextIO) -> None:
        self._output = output

    def write(self, text: str) -> int:
        """Pass it on, unless Ray wrote it."""
        if threading.current_thread().name == "ray_listen_error_messages":
            return len(text)
        return self._output.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._output, name)


def _number(worker: Hashable) -> int:
    assert isinstance(worker, int)
    return worker


def _gpus(node: dict[str, Any]) -> int:
    return int(node["Resources"].get("GPU", 0))


def wanted_workers(gpus: dict[str, int], count: int) -> dict[str, int]:
    """Workers of each node.

    Args:
        gpus: Of every node.
        count: Workers in all; 0: one a GPU, or one a node where no node has one.
    """
    nodes = sorted(gpus)
    if not count:
        return {node: gpus[node] for node in nodes if gpus[node]} if any(gpus.values()) else dict.fromkeys(nodes, 1)
    order = [node for turn in range(max(gpus.values(), default=0)) for node in nodes if gpus[node] > turn] or nodes
    return dict(Counter(order[i % len(order)] for i in range(count))) if order else {}


class _RemoteWorker:
    """The actor; its arguments are unpickled late, because that imports NumPy."""

    def __init__(self, work: bytes, origin: Origin, share: Share, shares_gpu: bool) -> None:
        set_quiet(True)
        runtime.take_share(share.threads, share.jobs, share.networks)
        if shares_gpu:
            runtime.share_gpu_memory()
        self._worker = Worker(pickle.loads(work), origin)  # what the command pickled

    def ready(self) -> None:
        """Answered once the worker runs."""

    def answer(self, order: Order) -> Answer:
        """Do it, or say why not."""
        return self._worker.answer(order, lambda images: None)
