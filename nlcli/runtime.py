"""What this process runs on: library versions, memory, and TensorFlow without its chatter."""

from __future__ import annotations

import os
import platform
from importlib import metadata

_RECORDED = ("nlcli", "tensorflow", "keras", "numpy", "pandas", "pyarrow", "h5py", "pillow")


def quiet_tensorflow() -> None:
    """Silence TensorFlow's start-up log lines; call before the first import of it.

    An explicit setting in the environment wins, so a user can still ask for the log.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that can change a result."""
    found = {"python": platform.python_version()}
    for name in _RECORDED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def cpu_flags() -> frozenset[str]:
    """Instruction-set flags of this processor; empty where the system does not tell."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("flags"):
                    return frozenset(line.split(":", 1)[1].split())
    except OSError:
        pass
    return frozenset()


def memory_available() -> int:
    """Bytes of memory that can be taken now without swapping (8 GiB where unknown)."""
    try:
        with open("/proc/meminfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("MemAvailable"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 8 << 30


def cpu_count() -> int:
    """Processors this process may use (a container's or a job's share, not the machine's)."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1
