"""Pipelines killed at random moments, again and again: the same command ends with the bytes of an undisturbed run.

Two thirds of the kills are of ``every_stage.yaml``, whose stages take seconds, the rest of both demos. SIGKILL to all
processes of the command, SIGKILL to the first one alone (its workers must not go on for ever), SIGTERM, and SIGINT
(Ctrl-C), which must say that the same command continues.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from torture._report import Count
from torture._world import content, difference, leftovers

ROOT = Path(__file__).parents[1]
SMALL = ("--scale", "0.02", "--limit", "240")
KILLS = 300


@dataclass(frozen=True)
class _Pipeline:
    """What is killed: its file, options that make it small, and its part of the kills."""

    path: str
    small: tuple[str, ...]
    part: float


PIPELINES = {
    "every stage": _Pipeline("torture/every_stage.yaml", (), 2 / 3),
    "demo at small size": _Pipeline("pipelines/demo.yaml", SMALL, 1 / 6),
    "demo-single-label at small size": _Pipeline("pipelines/demo_single_label.yaml", SMALL, 1 / 6),
}
LONGEST = 1800.0  # seconds of one command


def _command(pipeline: _Pipeline, workdir: Path, jobs: int) -> list[str]:
    run = [sys.executable, "-m", "nlcli", "run", str(ROOT / pipeline.path)]
    return [*run, "--workdir", str(workdir), "--jobs", str(jobs), *pipeline.small]


def _start(command: list[str], folder: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, cwd=folder, env=environment, text=True, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip


def _orphans_end(group: int, seconds: float = 60) -> bool:
    """Whether every process of ``group`` is gone within ``seconds``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    os.killpg(group, signal.SIGKILL)
    return False


def _disturb(process: subprocess.Popen[str], how: str, count: Count) -> None:
    """Send ``how`` and wait for the end."""
    if how == "all":
        os.killpg(process.pid, signal.SIGKILL)
    elif how == "first":
        process.kill()
    else:
        process.send_signal(signal.SIGTERM if how == "term" else signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    count.expect(_orphans_end(process.pid), f"{how}: workers live on without the process that started them")
    if how == "int" and process.returncode != 0:
        count.expect(process.returncode == 130, f"Ctrl-C ends with {process.returncode}, expected 130")
        count.expect("the same command continues" in errors, f"Ctrl-C does not say how to go on: {errors[-200:]}")
        count.expect("Traceback" not in errors, f"Ctrl-C gives a traceback: {errors[-300:]}")
    if how == "term":
        count.expect(process.returncode in (0, -15, 143), f"SIGTERM ends with {process.returncode}")


def _campaign(name: str, pipeline: _Pipeline, kills: int, jobs: int, draw: random.Random) -> Count:
    count = Count("kills", f"{name}, --jobs {jobs}: killed at random moments until it is done")
    with tempfile.TemporaryDirectory() as root:
        folder, work = Path(root), Path(root) / "work"
        started = time.monotonic()
        whole = _start(_command(pipeline, work, jobs), folder)
        _, errors = whole.communicate(timeout=LONGEST)
        seconds = time.monotonic() - started
        count.expect(whole.returncode == 0, f"undisturbed it ends with {whole.returncode}: {errors[-300:]}")
        if whole.returncode:
            return count
        expected = content(work)
        while count.times < kills:
            shutil.rmtree(work)
            while True:
                process = _start(_command(pipeline, work, jobs), folder)
                try:
                    _, errors = process.communicate(timeout=draw.uniform(0.02, 0.5) * seconds)
                except subprocess.TimeoutExpired:
                    _disturb(process, draw.choice(("all", "all", "all", "first", "term", "int")), count)
                    count.times += 1
                    if count.times < kills:
                        continue
                    process = _start(_command(pipeline, work, jobs), folder)
                    _, errors = process.communicate(timeout=LONGEST)
                count.expect(process.returncode == 0, f"afterwards it ends with {process.returncode}: {errors[-300:]}")
                break
            differing = difference(expected, content(work))
            count.expect(differing is None, f"after {count.times} kills: {differing}")
            count.expect(not leftovers(work), f"left behind: {leftovers(work)}")
            if process.returncode:
                break
    return count


def run(quick: bool, seed: int, kills: int = KILLS) -> list[Count]:
    """``kills`` in all, with one process and with two (``quick``: none, a pipeline takes too long)."""
    if quick:
        return []
    draw = random.Random(seed)
    return [
        _campaign(name, pipeline, round(kills * pipeline.part / 2), jobs, draw)
        for name, pipeline in PIPELINES.items()
        for jobs in (1, 2)
    ]
