"""Running independent stages in several processes that share the machine's cores and memory."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nlcli import runtime
from nlcli.errors import NlcliError
from nlcli.stages.commands import StageCommand
from nlcli.stages.config import StageConfig
from nlcli.stages.worker_process import Share, begin_worker

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import Synchronized

Finished = Callable[["Step", float], None]


def default_jobs() -> int:
    """Processes that pay off here: one where a GPU does the work, else one for each core."""
    return 1 if runtime.has_gpu() else runtime.cpu_count()


def run_steps(
    steps: Sequence[Step], jobs: int, force: bool, started: Callable[[Step], None], finished: Finished
) -> None:
    """Run ``steps``, each when all it needs is done, up to ``jobs`` at a time.

    A step that nothing else can run beside runs in this process with all cores; the others go to
    worker processes, each with its share of cores and memory, which live on from step to step. Which are
    which is read off the plan: a step has the same share however long others took and whatever was done before.
    GPUs go round among the processes; where there are fewer GPUs, several steps run on one.

    Args:
        steps: In an order in which each comes after what it needs; what they need and is not among
            them counts as done.
        jobs: Processes; 1 runs everything here, in order.
        force: Passed to the stages.
        started, finished: Called in this process around each step; ``finished`` with its seconds.

    Raises:
        NlcliError: the first failure, preceded by the stage's name. Steps running beside it finish.
    """
    if jobs == 1:
        for step in steps:
            started(step)
            finished(step, _run(step, force))
        return
    if runtime.has_gpu():
        runtime.share_gpu_memory()  # of steps that run here, beside those of the workers
    waiting = list(steps)
    alone = alone_steps(steps)
    undone = {step.name for step in steps}
    running: dict[concurrent.futures.Future[float], Step] = {}
    failure: BaseException | None = None
    pool: concurrent.futures.ProcessPoolExecutor | None = None
    try:
        while waiting or running:
            ready = [step for step in waiting if not undone & set(step.needs)] if failure is None else []
            if len(ready) == 1 and not running and ready[0].name in alone:
                waiting.remove(ready[0])
                started(ready[0])
                finished(ready[0], _run(ready[0], force))
                undone.discard(ready[0].name)
                continue
            for step in ready[: jobs - len(running)]:
                pool = pool or _pool(jobs)
                waiting.remove(step)
                started(step)
                running[pool.submit(_run, step, force)] = step
            if not running:
                break
            done, _ = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in done:
                step = running.pop(future)
                error = future.exception()
                if error is None:
                    undone.discard(step.name)
                    finished(step, future.result())
                elif failure is None:
                    failure = _explained(error, step)
    finally:
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)
    if failure is not None:
        raise failure


def alone_steps(steps: Sequence[Step]) -> set[str]:
    """Names of the steps that need every step before them and that every step after them needs.

    Args:
        steps: In an order in which each comes after what it needs.
    """
    number = {step.name: i for i, step in enumerate(steps)}
    needed: list[set[int]] = []  # by step, all it needs, directly or not
    for step in steps:
        direct = {number[name] for name in step.needs if name in number}
        needed.append(direct.union(*(needed[i] for i in direct)))
    later = [0] * len(steps)
    for before in needed:
        for i in before:
            later[i] += 1
    return {step.name for i, step in enumerate(steps) if len(needed[i]) == i and later[i] == len(steps) - 1 - i}


def _run(step: Step, force: bool) -> float:
    begun = time.monotonic()
    try:
        step.stage.run(step.config, force=force)
    except NlcliError as error:
        raise NlcliError(f"stage {step.name} ({step.stage.name}) failed: {error}") from error
    _forget_graphs()
    return time.monotonic() - begun


def _forget_graphs() -> None:
    """Let go of what Keras keeps of finished models, so that memory does not grow with the steps."""
    if "keras" in sys.modules:
        sys.modules["keras"].backend.clear_session()


def _explained(error: BaseException, step: Step) -> BaseException:
    if isinstance(error, BrokenProcessPool):
        return NlcliError(
            f"stage {step.name} ({step.stage.name}): its process was killed, probably for memory; "
            "run the same command with fewer --jobs"
        )
    return error


def _pool(jobs: int) -> concurrent.futures.ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork
    begun = context.Value("i", 0)
    return concurrent.futures.ProcessPoolExecutor(jobs, context, _begin, (os.getpid(), begun, jobs))


def _begin(parent: int, begun: Synchronized[int], jobs: int) -> None:
    with begun.get_lock():
        place = begun.value
        begun.value += 1
    begin_worker(parent, Share.of(place, jobs))


@dataclass(frozen=True)
class Step:
    """One stage to run: its name, the stage command, its validated configuration, what it needs."""

    name: str
    stage: StageCommand
    config: StageConfig
    needs: tuple[str, ...]

    @property
    def output(self) -> Path:
        """The directory it writes."""
        return Path(self.config.output)  # type: ignore[attr-defined]
