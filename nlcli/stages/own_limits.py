"""What this process may take from now on, for one that works for another and may die."""

from __future__ import annotations

import contextlib
import os
import resource


def allow_seconds(seconds: int) -> None:
    """So many more seconds of the processors; then it dies of SIGXCPU."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _limit(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + 1 + seconds)


def allow_memory(count: int) -> None:
    """So many more bytes than it has now; then there is no memory. Without /proc there is no limit."""
    with contextlib.suppress(OSError), open("/proc/self/statm", "rb") as file:
        _limit(resource.RLIMIT_DATA, int(file.read().split()[5]) * os.sysconf("SC_PAGESIZE") + count)


def leave_no_core() -> None:
    """Its death leaves no file."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _limit(kind: int, soft: int) -> None:
    _, most = resource.getrlimit(kind)
    resource.setrlimit(kind, (soft if most == resource.RLIM_INFINITY else min(soft, most), most))
