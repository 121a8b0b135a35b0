"""Training from features on disk that are larger than the memory budget, beside features in memory.

Speed: the residual head's steps a second, in turns in one process. Memory: the whole of ``train-head`` in
a process of its own, once for each.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.head_training import CLEAN, B, C, Contender, D, over, row, take_turns, timed

_TRAIN = """
from pathlib import Path
from nlcli.training.config import TrainHead
from nlcli.training.train_head import train_head
train_head(TrainHead(dataset=Path({root!r}) / "dataset", features=Path({root!r}) / "features",
                     output=Path({root!r}) / {name!r}, memory={memory}, steps={steps}, eval_every={steps} // 2))
from benchmarks.head_training import peak_memory
print(peak_memory())
"""


def run(quick: bool) -> list[dict]:
    """Rows of the table, as ``benchmarks.__main__`` prints them."""
    from nlcli.runtime import quiet_tensorflow

    quiet_tensorflow()
    images, turns, seconds, steps = (16_384, 3, 0.5, 600) if quick else (68_213, 7, 2.0, 4_000)
    size = images * D * 4 / 2**30
    budget = size / 4
    with tempfile.TemporaryDirectory(prefix="nlcli-bench-") as folder:
        root = Path(folder)
        table = _write(root, images)
        contenders = {
            "in memory": _contender(root, table, "shuffled", 2 * size),
            "streamed": _contender(root, table, "block-shuffled", budget),
        }
        rates = take_turns(contenders, turns, seconds)
        peaks = {
            name: _peak(root, name, memory, steps) for name, memory in (("in memory", 2 * size), ("streamed", budget))
        }
    rows = [
        row(f"residual, {size:.2f} GiB of features in memory", rates["in memory"]),
        row(
            f"residual, streamed, budget {budget:.2f} GiB",
            rates["streamed"],
            over(rates, "streamed", "in memory"),
            "in memory",
            "at least 0.7",
        ),
    ]
    for line, name in zip(rows, ("in memory", "streamed"), strict=True):
        line["peak_memory"] = peaks[name]
    over_budget = peaks["streamed"] / 2**30 - budget
    rows.append(
        {
            "name": "streamed: train-head's peak memory over its budget",
            "value": over_budget,
            "unit": "GiB",
            "ratio": None,
            "ratio_to": None,
            "target": "at most 1.5 GiB",
            "peak_memory": peaks["streamed"],
        }
    )
    return rows


def _write(root: Path, images: int) -> Any:
    """A data set of random labels and its features; a hundredth of the images is for validation."""
    from scipy.sparse import csr_array

    from benchmarks._features import FeaturesConfig, write_features
    from nlcli.data.label_files import read_dataset, write_dataset
    from nlcli.data.labels import FULL, LabelTable
    from nlcli.stages.stage import open_stage

    rng = np.random.default_rng(0)
    labels = csr_array((rng.random((images, C)) < 0.03).astype(np.uint8))
    split = np.zeros(images, np.int8)
    split[: images // 100] = 1
    keys = np.array([f"k{i:07d}" for i in range(images)], object)
    table = LabelTable(
        task="multi-label",
        classes=tuple(f"c{i}" for i in range(C)),
        keys=keys,
        paths=keys,
        image_root=root,
        split=split,
        noisy=labels.astype(np.float32),
        present=labels,
        absent=csr_array((images, C), dtype=np.uint8),
        verification=np.full(images, FULL, np.uint8),
    )
    with open_stage("dataset", FeaturesConfig(output=root / "dataset"), {}) as stage:
        write_dataset(stage.work, table, {"name": "random", "source": "benchmark"})
        stage.finish({})
    table = read_dataset(root / "dataset")
    features = np.empty((images, D), np.float32)
    for first in range(0, images, 4096):
        part = features[first : first + 4096]
        part[...] = rng.random(part.shape, dtype=np.float32)
    write_features(root / "features", keys.tolist(), features, table.fingerprint)
    return table


def _contender(root: Path, table: Any, order: str, memory: float) -> Contender:
    """Steps of the residual head from a source with ``memory`` GiB, blocks prepared one ahead."""
    from concurrent.futures import ThreadPoolExecutor

    from nlcli.data.features.store import FeatureStore
    from nlcli.methods import configure, get_method
    from nlcli.methods.base.contract import Problem
    from nlcli.training.loop.contract import Settings
    from nlcli.training.loop.feature_source import FeatureSource, training_rows
    from nlcli.training.loop.optimizers import Adam
    from nlcli.training.loop.steps import StepFunction

    store = FeatureStore(root / "features")
    method = get_method("residual")(configure("residual"), Problem(D, table.classes))
    (phase,) = method.phases()
    rows = training_rows(table, store, (phase,), 0.05, 0)
    source = FeatureSource(table, store, rows, B, 0, order, int(memory * 2**30))  # type: ignore[arg-type]
    assert source.resident == (order == "shuffled")
    steps = StepFunction(method, phase, Adam([v for g in method.groups().values() for v in g]), CLEAN, Settings(1))
    count = source.steps_in_block(phase)
    rates = np.full((count, 1), 1e-4, np.float32)
    thread, done = ThreadPoolExecutor(1), 0
    ahead = thread.submit(source.block, phase, 0, count)

    def go() -> None:
        nonlocal ahead, done
        block = ahead.result()
        ahead = thread.submit(source.block, phase, done + count, count)
        steps(block, rates, done)
        done += count

    return timed(count, go)


def _peak(root: Path, name: str, memory: float, steps: int) -> int:
    """Bytes: the most that a train-head with ``memory`` GiB had resident."""
    code = _TRAIN.format(root=str(root), name=name, memory=memory, steps=steps)
    done = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return int(done.stdout)
