"""One benchmark module in a process of its own."""

from __future__ import annotations

import concurrent.futures
import importlib
import multiprocessing


def _call(name: str, quick: bool) -> list[dict]:
    return importlib.import_module(f"benchmarks.{name}").run(quick)


def run_alone(name: str, quick: bool) -> list[dict]:
    """``benchmarks.NAME.run(quick)`` in a fresh process, so that its peak of memory is its own."""
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_call, name, quick).result()
