"""What a process that works for another one does first: take its share of the machine, and end with it."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass

from nlcli import runtime
from nlcli.console import set_quiet


@dataclass(frozen=True)
class Share:
    """A process's part of the machine.

    Attributes:
        threads: Processors.
        jobs: How many such parts there are.
        gpu: The one GPU that it sees; None where there are none, or where it may see all.
        alone: Whether it has that GPU for itself.
        networks: Threads of its networks, where they are not ``threads`` (``runtime.network_threads``).
    """

    threads: int
    jobs: int
    gpu: str | None = None
    alone: bool = True
    networks: int | None = None

    @classmethod
    def of(cls, place: int, jobs: int, gpus: tuple[str, ...] | None = None) -> Share:
        """That of the process ``place`` of ``jobs``: GPUs go round.

        Args:
            gpus: Names of the GPUs to share; None: all that are visible.
        """
        gpus = runtime.gpu_names() if gpus is None else gpus
        threads = max(1, runtime.cpu_count() // jobs)
        if not gpus:
            return cls(threads, jobs)
        return cls(threads, jobs, gpus[place % len(gpus)], jobs <= len(gpus))


def begin_worker(parent: int, share: Share) -> None:
    """Take ``share``, say nothing, and end when the process ``parent`` does; before TensorFlow is imported."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C reaches all processes; one of them tells of it
    set_quiet(True)
    runtime.take_share(share.threads, share.jobs, share.networks)
    if share.gpu is not None:
        runtime.take_gpu(share.gpu, whole=share.alone)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """A worker whose parent was killed would wait for work for ever."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
