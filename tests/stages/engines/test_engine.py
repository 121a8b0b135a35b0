"""The same work by every engine, and workers that are killed."""

from __future__ import annotations

import os
import pickle
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from nlcli.errors import NlcliError
from nlcli.stages.engines.engine import ByCrew, Engine, InThisProcess, engine_of
from nlcli.stages.engines.process_crew import ProcessCrew
from nlcli.stages.engines.shard_work import Done, Failed, Missing, Order, Origin, Refused, Worker
from worlds.shard_work import Copying, written_files


@dataclass(frozen=True)
class Options:
    """Those of a stage."""

    engine: Literal["local", "ray"] = "local"
    address: str | None = None
    devices: int = 0


def test_options_that_do_not_go_together() -> None:
    assert isinstance(engine_of(Options()), InThisProcess)
    assert isinstance(engine_of(Options(devices=2)), ByCrew)
    with pytest.raises(NlcliError, match="--address is the address of a Ray cluster; pass --engine ray"):
        engine_of(Options(address="auto"))


def test_ray_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(NlcliError, match=r"--engine ray needs the package ray; .*nlcli\[ray\]"):
        engine_of(Options(engine="ray"))


def test_processes_give_what_this_one_gives(tmp_path: Path) -> None:
    """Two of them, of which one dies over a shard; what was done before is not done again."""
    texts: list[bytes] = []
    engines: tuple[Engine, ...] = (InThisProcess(), engine_of(Options(devices=2)))
    for name, engine in zip(("here", "there"), engines, strict=True):
        (tmp_path / name).mkdir()
        contents = ["die" if name == "here" else "die.", "b", "-", "d", "e", "f", "g"]
        work, shards = written_files(tmp_path / name, contents)
        work.path(2).write_text("n4 before\n")
        engine.finish(work, shards, "copying")
        texts.append(b"".join(work.path(number).read_bytes() for number in range(4)).replace(b"die.", b"die"))
    assert texts[0] == b"n0 die\nn1 b\nn2 missing\nn3 d\nn4 before\nn6 g\n"
    assert texts[1] == texts[0]
    assert len(list((tmp_path / "there/out").glob("died-*"))) == 1


def test_processes_end_with_the_work_however_it_ends(tmp_path: Path) -> None:
    pids: list[int] = []

    class Watched(ProcessCrew):
        def close(self) -> None:
            pids.extend(self.pids())
            super().close()

    work, shards = written_files(tmp_path, ["a", "b", "refuse", "d"])
    with pytest.raises(NlcliError, match="^n2 is refused$"):
        ByCrew(lambda work, count: Watched(work, 1)).finish(work, shards, "copying")
    assert shards.left() == [1]
    assert len(pids) == 1
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_workers_answer_what_happened(tmp_path: Path) -> None:
    """In this process, as a worker on another machine has them."""
    work, shards = written_files(tmp_path, ["a", "refuse", "fail", "d", "-", "f"])
    worker = Worker(pickle.loads(pickle.dumps(work)), Origin.here())
    assert worker.answer(Order(shards[0]), lambda images: None) == Refused("n1 is refused")
    failed = worker.answer(Order(shards[1]), lambda images: None)
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, ZeroDivisionError)
    assert worker.answer(Order(shards[2], look=True), lambda images: None) == Missing([f"{tmp_path}/in/4"])
    assert shards.left() == [0, 1, 2]
    assert worker.answer(Order(shards[2]), lambda images: None) == Done()
    assert shards.left() == [0, 1]


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"numpy": "1.0"}, r"it has numpy \S+, and the machine of the command 1.0; .*install the same on all nodes"),
        (
            {"folder": "/no/such folder"},
            "it has no folder /no/such folder; give the command in a folder that all nodes",
        ),
    ],
)
def test_a_machine_that_is_set_up_otherwise(tmp_path: Path, changed: dict[str, str], sentence: str) -> None:
    work, shards = written_files(tmp_path, ["a"])
    here = Origin.here()
    versions = here.versions | {name: value for name, value in changed.items() if name != "folder"}
    worker = Worker(work, Origin(changed.get("folder", here.folder), versions))
    answer = worker.answer(Order(shards[0]), lambda images: None)
    assert isinstance(answer, Refused)
    assert re.search(sentence, answer.sentence)


def test_a_machine_without_the_output(tmp_path: Path) -> None:
    _, shards = written_files(tmp_path, ["a"])
    answer = Worker(Copying(tmp_path / "nowhere"), Origin.here()).answer(Order(shards[0]), lambda images: None)
    assert answer == Refused(
        f"it has no folder {tmp_path / 'nowhere'}; choose an --output on a drive that all nodes share"
    )


def test_an_error_that_does_not_travel_is_told_as_text() -> None:
    class Local(Exception):
        """No other process knows it."""

    told = Failed.of(Local("the reason")).error
    assert isinstance(told, RuntimeError)
    assert "the reason" in str(told)
