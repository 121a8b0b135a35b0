"""Who makes shards: this process, worker processes, or workers of Ray on this machine, side by side.

The features of 4,000 pictures by a small network, in shards of 200: so little work an image that what handing out costs
would show. Each worker has one processor, and its network one thread; in two rows networks have more threads than there
are processors, as those of workers have on larger machines. What is compared are all shards but the first of each
worker: opening the network and starting a cluster come once a command, and have a row of their own. Processor time is
that of this process and of its workers; Ray's own processes have a row, too, for each second that they run. It needs
Linux. Wall times mean something on a machine that does nothing else.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.extraction import BATCH
from nlcli.data.config import ExtractFeatures
from nlcli.data.features.extract import Extraction
from nlcli.data.features.shards import shard_path
from nlcli.runtime import take_share
from nlcli.stages.engines.engine import InThisProcess
from nlcli.stages.engines.handing_out import Crew, hand_out
from nlcli.stages.engines.process_crew import ProcessCrew
from nlcli.stages.engines.shard_work import Advance, Answer, Done, Shard, Shards, ShardWork

IMAGES, SHARD = 4000, 200
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Moment:
    """When, and what was used until then.

    Attributes:
        wall: Seconds.
        processor: Seconds of this process and of its workers.
        services: Seconds of Ray's other processes.
    """

    wall: float
    processor: float
    services: float

    @classmethod
    def now(cls) -> Moment:
        """This one."""
        return cls(time.monotonic(), *_used())

    def until(self, later: Moment) -> Moment:
        """What lies between."""
        return Moment(later.wall - self.wall, later.processor - self.processor, later.services - self.services)


def run(quick: bool) -> list[dict[str, Any]]:
    """Rows of the table; ``quick`` has a fifth of the images."""
    images = IMAGES // 5 if quick else IMAGES
    take_share(1, 1)  # a processor a worker
    with tempfile.TemporaryDirectory(prefix="engines-") as place:
        root = Path(place)
        files = _pictures(root, images)
        config = _extraction(root)
        rows: list[dict[str, Any]] = []
        alone: tuple[Moment, int] | None = None
        hashes: dict[int, bytes] = {}  # by threads of the network
        for name, workers, threads, way in _ways():
            os.environ["TF_NUM_INTRAOP_THREADS"] = str(threads)
            output = root / name.replace(" ", "-")
            (output / "shards").mkdir(parents=True)
            shards = Shards(
                images,
                SHARD,
                take=lambda first, end: ([f"{i}" for i in range(first, end)], files[first:end]),
                whole=lambda number, output=output: shard_path(output, number).with_suffix(".json").exists(),
            )
            start, steady, measured = way(Extraction(config, output), shards, workers)
            made = b"".join(shard_path(output, number).read_bytes() for number in range(len(shards)))
            if hashes.setdefault(threads, made) != made:
                raise RuntimeError("the features differ from way to way")
            alone = alone or (steady, measured)
            for what, value, beside in (
                ("processor", steady.processor, alone[0].processor),
                ("wall", steady.wall, alone[0].wall),
            ):
                rows.append(
                    {
                        "name": f"{name}: {what}, {measured:,} images",
                        "value": value,
                        "unit": "s",
                        "ratio": (value / measured) / (beside / alone[1]),  # of an image
                        "ratio_to": "this process",
                        "target": "at most 1.05" if (name, what) == ("ray, 1 worker", "processor") else None,
                    }
                )
            until = f"{name}: until each worker has done a shard"
            rows.append({"name": f"{until}, processor", "value": start.processor + start.services, "unit": "s"})
            if name.startswith("ray"):
                rows.append(
                    {"name": f"{name}: Ray itself", "value": 1000 * steady.services / steady.wall, "unit": "ms/s"}
                )
    return rows


Way = Callable[[Extraction, Shards, int], tuple[Moment, Moment, int]]
"""Makes all shards by so many workers: what was used until each had done one, and after that for so many images."""


def _ways() -> list[tuple[str, int, int, Way]]:
    """Each with its name, its workers, and the threads of their networks."""
    ways: list[tuple[str, int, int, Way]] = [
        ("this process", 1, 1, _here),
        ("1 process", 1, 1, _processes),
        ("2 processes", 2, 1, _processes),
        ("2 processes, networks of 2 threads", 2, 2, _processes),
        ("2 processes, networks of 16 threads", 2, 16, _processes),
    ]
    if importlib.util.find_spec("ray") is not None:
        ways += [("ray, 1 worker", 1, 1, _ray), ("ray, 2 workers", 2, 1, _ray)]
    return ways


def _here(work: Extraction, shards: Shards, workers: int) -> tuple[Moment, Moment, int]:
    moments = [Moment.now()]

    class Watched(ShardWork):
        def begin(self) -> Callable[[Shard, Advance], None]:
            make = work.begin()

            def watched(shard: Shard, advance: Advance) -> None:
                make(shard, advance)
                moments.append(Moment.now())

            return watched

    InThisProcess().make(Watched(), shards, range(len(shards)), lambda images: None)
    return moments[0].until(moments[1]), moments[1].until(moments[-1]), shards.images - SHARD


def _processes(work: Extraction, shards: Shards, workers: int) -> tuple[Moment, Moment, int]:
    return _watched(ProcessCrew, (work, workers), shards, workers)


def _ray(work: Extraction, shards: Shards, workers: int) -> tuple[Moment, Moment, int]:
    import ray

    from nlcli.stages.engines.ray_crew import RayCrew

    ray.init(
        address="local", num_cpus=workers, include_dashboard=False, log_to_driver=False, object_store_memory=128 << 20
    )
    try:
        return _watched(RayCrew, (work, None, workers), shards, workers)
    finally:
        ray.shutdown()


def _watched(kind: type[Crew], given: tuple[Any, ...], shards: Shards, workers: int) -> tuple[Moment, Moment, int]:
    begun = Moment.now()
    first: set[Hashable] = set()
    moments: list[Moment] = []
    done: list[int] = []

    class Watching(kind):  # type: ignore[misc, valid-type]
        """Waits until every worker has begun before it gives out more than one shard each."""

        def idle(self) -> list[Hashable]:
            return [worker for worker in super().idle() if moments or worker not in first]

        def wait(self) -> list[tuple[Hashable, Answer]]:
            answers: list[tuple[Hashable, Answer]] = super().wait()
            for worker, answer in answers:
                if isinstance(answer, Done):
                    first.add(worker)
                    done.append(SHARD)
            if len(first) == workers and (not moments or len(done) == len(shards)):
                moments.append(Moment.now())
            return answers

    hand_out(shards, range(len(shards)), Watching(*given), lambda images: None)
    return begun.until(moments[0]), moments[0].until(moments[-1]), shards.images - workers * SHARD


# --- what it is done with --------------------------------------------------------------------


def _pictures(root: Path, count: int) -> list[str]:
    (root / "photos").mkdir()
    rng = np.random.default_rng(0)
    files = [f"{root}/photos/{i}.jpg" for i in range(count)]
    for i, file in enumerate(files):
        if i < 200:
            coarse = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
            Image.fromarray(coarse).resize((160, 120), Image.Resampling.BICUBIC).save(file, quality=90)
        else:
            os.link(files[i % 200], file)
    return files


def _extraction(root: Path) -> ExtractFeatures:
    """By a network of random weights, which is saved first."""
    from nlcli.networks.weights import build_backbone, save_backbone

    save_backbone(root / "backbone", build_backbone("small_cnn", "none"))
    return ExtractFeatures(
        dataset=root,
        backbone=str(root / "backbone"),
        output=root / "out",
        shard_rows=SHARD,
        batch_size=BATCH,
        workers=1,
    )


def _used() -> tuple[float, float]:
    """Processor seconds of this process and its workers, and of the other processes that come from it and still run."""
    parents: dict[int, int] = {}
    used: dict[int, int] = {}
    services: set[int] = set()
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            fields = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
            command = Path(entry.path, "cmdline").read_bytes()
        except OSError:  # it ended meanwhile
            continue
        process = int(entry.name)
        parents[process], used[process] = int(fields[1]), int(fields[11]) + int(fields[12])
        if (b"/ray/" in command or command.startswith(b"ray::")) and b"_RemoteWorker" not in command:
            services.add(process)
    ours, more = {os.getpid()}, True
    while more:
        grown = ours | {process for process, parent in parents.items() if parent in ours}
        more, ours = grown != ours, grown
    services -= {os.getpid()}
    return tuple(sum(used[process] for process in some) / _TICKS for some in (ours - services, ours & services))  # type: ignore[return-value]
