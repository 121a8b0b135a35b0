"""Benchmarks and programs in processes of their own."""

from __future__ import annotations

import concurrent.futures
import importlib
import multiprocessing
import os
import subprocess
import sys


def _call(name: str, quick: bool) -> list[dict]:
    return importlib.import_module(f"benchmarks.{name}").run(quick)


def run_alone(name: str, quick: bool) -> list[dict]:
    """``benchmarks.NAME.run(quick)`` in a fresh process, so that its peak of memory is its own."""
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_call, name, quick).result()


def cost_of(command: list[str]) -> tuple[float, int]:
    """Processor seconds and peak memory in bytes of a program, which must succeed."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{command[:6]} ended with status {status}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
