"""Which part of the machine a worker process has."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from nlcli import runtime
from nlcli.stages.engines.engine import ByCrew
from nlcli.stages.engines.process_crew import ProcessCrew
from nlcli.stages.engines.shard_work import Advance, Shard, Shards, ShardWork
from nlcli.stages.worker_process import Share


def test_gpus_go_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "cpu_count", lambda: 8)
    assert Share.of(1, 2, ()) == Share(4, 2)
    assert [Share.of(place, 2, ("0", "1")) for place in (0, 1)] == [Share(4, 2, "0"), Share(4, 2, "1")]
    three = [Share.of(place, 3, ("0", "1")) for place in range(3)]
    assert [share.gpu for share in three] == ["0", "1", "0"]
    assert not any(share.alone for share in three)  # two of them have one together
    assert Share.of(0, 20, ()).threads == 1


@dataclass(frozen=True)
class Telling(ShardWork):
    """Writes what a worker sees of the machine."""

    directory: Path

    def begin(self) -> Callable[[Shard, Advance], None]:
        def make(shard: Shard, advance: Advance) -> None:
            seen = [os.environ.get(name, "") for name in ("CUDA_VISIBLE_DEVICES", "TF_FORCE_GPU_ALLOW_GROWTH")]
            threads = [runtime.cpu_count(), runtime.network_threads()]
            (self.directory / str(shard.number)).write_text(" ".join([*seen, *map(str, threads)]))

        return make


def test_a_worker_sees_its_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One GPU of three, all of its memory, and the processors; its networks have the threads of this process."""
    monkeypatch.setattr(runtime, "gpu_names", lambda: ("7", "8", "9"))
    monkeypatch.setattr(runtime, "cpu_count", lambda: 6)
    for name in ("TF_FORCE_GPU_ALLOW_GROWTH", "TF_NUM_INTRAOP_THREADS"):
        monkeypatch.delenv(name, raising=False)
    shards = Shards(1, 1, lambda first, end: (["n"], ["f"]), lambda number: (tmp_path / str(number)).is_file())
    ByCrew(lambda work, count: ProcessCrew(work, 2)).finish(Telling(tmp_path), shards, "telling")
    assert (tmp_path / "0").read_text() == "7  3 6"


def test_a_share_leaves_fewer_threads_that_were_asked_for() -> None:
    code = """if True:
        import os
        from nlcli import runtime
        runtime.take_share(4, 2)
        print(*(os.environ[f"{name}_NUM_THREADS"] for name in ("OMP", "OPENBLAS")), os.environ["TF_NUM_INTRAOP_THREADS"])
    """
    asked = {"OMP_NUM_THREADS": "8", "OPENBLAS_NUM_THREADS": "none", "TF_NUM_INTRAOP_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | asked, capture_output=True, text=True, check=True
    )
    assert done.stdout == "4 4 1\n"


def test_threads_of_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "cpu_count", lambda: 6)
    for asked, threads in (("", 6), ("0", 6), ("many", 6), ("3", 3), ("12", 12)):
        monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", asked)
        assert runtime.network_threads() == threads


def test_the_gpus_that_are_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "has_gpu", lambda: True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, GPU-5ebe")
    assert runtime.gpu_names() == ("2", "GPU-5ebe")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(os, "listdir", lambda folder: ["nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "null"])
    assert runtime.gpu_names() == ("0", "1")
    monkeypatch.setattr(runtime, "has_gpu", lambda: False)
    assert runtime.gpu_names() == ()
