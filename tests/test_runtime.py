"""What a process runs on."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import importlib
from threadpoolctl import threadpool_info, threadpool_limits
from nlcli.runtime import one_blas_thread

def threads():
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

for library in ("numpy", "scipy.linalg"):  # the second brings a BLAS of its own
    importlib.import_module(library)
    threadpool_limits(2)
    before = threads()
    with one_blas_thread():
        assert threads() == [1] * len(before), threads()
    assert threads() == before, threads()
"""


def test_a_blas_that_is_loaded_later_has_one_thread_too() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
