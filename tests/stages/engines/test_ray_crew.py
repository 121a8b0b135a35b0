"""Workers of Ray: a cluster of its own, one that is there, two nodes of which one goes, and a command that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nlcli.errors import NlcliError
from nlcli.stages.engines.engine import ByCrew
from nlcli.stages.engines.ray_crew import RayCrew, wanted_workers
from nlcli.stages.engines.shard_work import Shards
from worlds.shard_work import written_files

pytest.importorskip("ray")


def engine(address: str | None = None, count: int = 2) -> ByCrew:
    return ByCrew(lambda work, shards: RayCrew(work, address, min(count, shards)))


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this process can import, workers can, too."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))


@pytest.mark.parametrize(
    ("gpus", "count", "wanted"),
    [
        ({"a": 0, "b": 0}, 0, {"a": 1, "b": 1}),
        ({"a": 0, "b": 4, "c": 1}, 0, {"b": 4, "c": 1}),
        ({"a": 0, "b": 0}, 3, {"a": 2, "b": 1}),
        ({"a": 0, "b": 2, "c": 1}, 2, {"b": 1, "c": 1}),
        ({"a": 0, "b": 2, "c": 1}, 4, {"b": 3, "c": 1}),
        ({}, 2, {}),
    ],
)
def test_workers_of_each_node(gpus: dict[str, int], count: int, wanted: dict[str, int]) -> None:
    assert wanted_workers(gpus, count) == wanted


@pytest.mark.slow
def test_a_cluster_of_its_own(tmp_path: Path, importable: None, capsys: pytest.CaptureFixture[str]) -> None:
    """A worker dies in it."""
    before = set(Path(tempfile.gettempdir()).glob("nlcli-ray-*"))
    work, shards = written_files(tmp_path, ["die.", "b", "-", "d", "e"])
    engine().finish(work, shards, "copying")
    texts = [work.path(number).read_text() for number in range(3)]
    assert texts == ["n0 die.\nn1 b\n", "n2 missing\nn3 d\n", "n4 e\n"]
    out, err = capsys.readouterr()
    assert out == ""
    assert "died; its images are given to another one" in err
    assert set(Path(tempfile.gettempdir()).glob("nlcli-ray-*")) <= before


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("127.0.0.1:9", r"no Ray cluster at 127.0.0.1:9 \(.*refused\); start one with 'ray start --head'"),
        ("ray://127.0.0.1:10001", "no address of a Ray cluster; pass HOST:PORT"),
        ("somewhere", "no address of a Ray cluster; pass HOST:PORT"),
    ],
)
def test_no_cluster(address: str, sentence: str) -> None:
    work: Any = None
    with pytest.raises(NlcliError, match=sentence):
        RayCrew(work, address, 1)


# --- a cluster of two nodes on this machine --------------------------------------------------


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head that does no work and two nodes of one processor."""
    from ray.cluster_utils import Cluster

    path = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        made.add_node(num_cpus=1)
    yield made
    made.shutdown()
    os.environ.pop("PYTHONPATH")
    if path is not None:
        os.environ["PYTHONPATH"] = path


@pytest.mark.slow
def test_two_nodes_do_what_one_process_does(tmp_path: Path, cluster: Any) -> None:
    work, shards = written_files(tmp_path, [f"content {i}" for i in range(9)])
    engine(cluster.address, 0).finish(work, shards, "copying")
    written = "".join(work.path(number).read_text() for number in range(5))
    assert written == "".join(f"n{i} content {i}\n" for i in range(9))


@pytest.mark.slow
def test_a_node_without_the_pictures(tmp_path: Path, cluster: Any) -> None:
    """An open file of this process is there for it and for no worker."""
    work, shards = written_files(tmp_path, ["a", "-", "c"])
    number = os.open(tmp_path / "in/0", os.O_RDONLY)
    os.dup2(number, 900)
    own = "/proc/self/fd/900"
    try:
        hidden = Shards(2, 2, take=lambda first, end: (["n0", "n1"], [own, f"{tmp_path}/in/1"]), whole=shards.whole)
        with pytest.raises(
            NlcliError, match="^on node .*: there is no /proc/self/fd/900, which the machine of the command has"
        ):
            engine(cluster.address).finish(work, hidden, "copying")
    finally:
        os.close(900)
        os.close(number)
    assert shards.left() == [0, 1]
    engine(cluster.address).finish(work, shards, "copying")  # one that nobody has is a row
    assert work.path(0).read_text() == "n0 a\nn1 missing\n"


@pytest.mark.slow
def test_what_workers_refuse_is_told_with_the_node(tmp_path: Path, cluster: Any) -> None:
    work, shards = written_files(tmp_path, ["a", "b", "refuse"])
    with pytest.raises(NlcliError, match=r"^on node \S+ \([0-9.]+\): n2 is refused$"):
        engine(cluster.address).finish(work, shards, "copying")


@pytest.mark.slow
def test_a_node_that_dies(tmp_path: Path, cluster: Any) -> None:
    """The last of the tests of the cluster: its node is gone behind it."""
    work, shards = written_files(tmp_path, [f"{i}" for i in range(40)])
    node = cluster.list_all_nodes()[-1]
    removed = []

    def whole(number: int) -> bool:
        done = work.path(number).is_file()
        if done and number > 4 and not removed:
            removed.append(node)
            cluster.remove_node(node, allow_graceful=False)
        return done

    watched = Shards(shards.images, shards.size, shards.take, whole)
    engine(cluster.address).finish(work, watched, "copying")
    assert removed
    assert "".join(work.path(number).read_text() for number in range(20)) == "".join(f"n{i} {i}\n" for i in range(40))


# --- a command that is killed ----------------------------------------------------------------

_COMMAND = """
import sys
from pathlib import Path
from nlcli.stages.engines.engine import ByCrew
from nlcli.stages.engines.ray_crew import RayCrew
from worlds.shard_work import files_again
work, shards = files_again(Path(sys.argv[1]), 40, 0.3)
ByCrew(lambda work, count: RayCrew(work, None, 2)).finish(work, shards, "copying")
"""


def _of_ray(mark: str) -> list[int]:
    """Processes of Ray whose environment holds ``mark``."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and mark.encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are listed by /proc")
def test_a_command_that_is_killed_leaves_no_worker(tmp_path: Path) -> None:
    work, shards = written_files(tmp_path, [f"{i}" for i in range(40)])
    mark = f"NLCLI_TEST_MARK={tmp_path}"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "NLCLI_TEST_MARK": str(tmp_path)}
    process = subprocess.Popen([sys.executable, "-c", _COMMAND, tmp_path], env=environment)
    deadline = time.monotonic() + 120
    while len(shards.left()) > 17 and time.monotonic() < deadline:
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert 0 < len(shards.left()) <= 17
    while _of_ray(mark) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert _of_ray(mark) == []
    done = {number: work.path(number).stat().st_mtime_ns for number in range(20) if number not in shards.left()}
    ByCrew(lambda work, count: RayCrew(work, None, 1)).finish(work, shards, "copying")
    assert {number: work.path(number).stat().st_mtime_ns for number in done} == done
    assert shards.left() == []
