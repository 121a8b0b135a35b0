"""What this process runs on: library versions, memory, and TensorFlow without its chatter."""

from __future__ import annotations

import os
import platform
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib import metadata
from typing import Any

from nlcli.version import full_version

_GPU = re.compile(r"nvidia[0-9]+")
_RECORDED = ("tensorflow", "keras", "numpy", "pandas", "pyarrow", "h5py", "pillow")


def quiet_tensorflow() -> None:
    """Import TensorFlow without its start-up chatter; call before anything else imports it.

    Its first lines are printed by native code before any setting of the log is read, so standard
    error is held back at the descriptor meanwhile, and shown after all if the import fails. Whoever asks
    for the log with a ``TF_CPP_MIN_LOG_LEVEL`` of 0 or 1 in the environment gets it; 2 and 3 ask for less.
    Keras runs on TensorFlow whatever ``keras.json`` says: methods and backbones are written for it.
    """
    # Functions that TensorFlow compiles come here, too, and it warns of what it cannot compile by printing it:
    # of the environment, all that stands in it. So it is touched before the import alone.
    if "tensorflow" in sys.modules and "keras" in sys.modules:
        _float32_is_float32()
        return
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    asked = os.environ.get("TF_CPP_MIN_LOG_LEVEL")
    if "tensorflow" in sys.modules or asked in ("0", "1"):
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2" if asked is None else asked
    with chatter_held_back():
        import keras  # noqa: F401
        import tensorflow

        _float32_is_float32()
        tensorflow.get_logger().setLevel("ERROR")  # retracing is not the user's business
        tensorflow.config.list_physical_devices()  # complains of a missing GPU driver when first asked
        if asked is None:
            del os.environ["TF_CPP_MIN_LOG_LEVEL"]  # read by now; a worker process must not take it for the user's


def _float32_is_float32() -> None:
    """On GPUs, too, as the records say: TensorFlow by itself rounds what it multiplies there to 10 bits."""
    sys.modules["tensorflow"].config.experimental.enable_tensor_float_32_execution(False)


@contextmanager
def chatter_held_back() -> Iterator[None]:
    """Hold standard error back, what native code writes there, too; it is shown where something fails."""
    sys.stderr.flush()
    held = os.dup(2)
    with tempfile.TemporaryFile() as chatter:
        os.dup2(chatter.fileno(), 2)
        try:
            yield
        except BaseException:
            chatter.seek(0)
            os.write(held, chatter.read())
            raise
        finally:
            os.dup2(held, 2)
            os.close(held)


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that can change a result."""
    known = {"python": platform.python_version(), "nlcli": full_version()}
    for name in _RECORDED:
        try:
            known[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return known


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
    """Bytes of memory that this process can take now without swapping (8 GiB where unknown).

    In a worker process it is the worker's share.
    """
    return _system_memory_available() // _jobs


def _system_memory_available() -> int:
    try:
        with open("/proc/meminfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("MemAvailable"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 8 << 30


def cpu_count() -> int:
    """Processors this process may use (a container's or a worker's share, not the machine's)."""
    if _threads is not None:
        return _threads
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1


def has_gpu() -> bool:
    """Whether an NVIDIA GPU is there to be used, without importing TensorFlow."""
    return os.environ.get("CUDA_VISIBLE_DEVICES") not in ("", "-1") and os.path.exists("/dev/nvidiactl")


def gpu_names() -> tuple[str, ...]:
    """The NVIDIA GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them."""
    if not has_gpu():
        return ()
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return tuple(name.strip() for name in chosen.split(",") if name.strip())
    return tuple(str(number) for number in range(sum(_GPU.fullmatch(name) is not None for name in os.listdir("/dev"))))


def take_gpu(name: str, *, whole: bool = True) -> None:
    """See one GPU alone; must be called before TensorFlow is imported.

    Args:
        whole: Whether all of its memory may be taken at once, as TensorFlow does; else what is needed, as it is needed.
    """
    os.environ["CUDA_VISIBLE_DEVICES"] = name
    if not whole:
        share_gpu_memory()


def share_gpu_memory() -> None:
    """Let TensorFlow take memory of GPUs as it is needed, since other processes use them, too."""
    os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """NumPy's matrix products on one thread: their sums then do not depend on how many threads there are.

    A BLAS parts a product by its threads, and sums that are parted otherwise round otherwise. What must come out the
    same to the bit in a worker process, which has its share of the processors, and outside is computed in here.
    """
    with _thread_pools(len(sys.modules)).limit(limits=1, user_api="blas"):
        yield


@lru_cache(maxsize=1)
def _thread_pools(imported: int) -> Any:
    """Those of all libraries that are loaded, looked for anew where more modules were ``imported``: it takes long."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


_NETWORK_THREADS = "TF_NUM_INTRAOP_THREADS"
_threads: int | None = None
_jobs = 1


def network_threads() -> int:
    """Threads of TensorFlow's networks here, which part sums by their number: another one rounds otherwise.

    They are those of this process, or as many as ``TF_NUM_INTRAOP_THREADS`` says.
    """
    asked = os.environ.get(_NETWORK_THREADS, "")
    return int(asked) if _is_count(asked) else cpu_count()


def take_share(threads: int, jobs: int, networks: int | None = None) -> None:
    """Make this process one of ``jobs`` that share the machine, with ``threads`` processors each.

    Must be called before TensorFlow is imported. Where the environment asks for fewer threads, it has fewer.

    Args:
        networks: Its ``network_threads``, where they are those of another process, whose bits it gives.
    """
    global _threads, _jobs
    _threads, _jobs = threads, jobs
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", _NETWORK_THREADS, "TF_NUM_INTEROP_THREADS"):
        asked = os.environ.get(name, "")
        if not (_is_count(asked) and int(asked) < threads):
            os.environ[name] = str(threads)
    if networks is not None:
        os.environ[_NETWORK_THREADS] = str(networks)


def _is_count(text: str) -> bool:
    return text.isdecimal() and int(text) > 0
