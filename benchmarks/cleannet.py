"""CleanNet: the whole command, K-means references beside scikit-learn, and steps beside the floor of their products.

The command is timed on 15,600 images of 10 classes with 1,280 features, a tenth of them verified, as it is by default
and with the training that it had before.

The size of the rest is that of Food-101N: 101 classes of 3,000 images, 2,048 features, 50 references a class. The
references of all classes are computed as detect-noise computes them, from a features directory;
scikit-learn clusters a few of these classes in memory, and its time for all of them is told from that.
A training step has 32 verified and 32 other images. Its floor is the matrix products of the forward and
backward pass, those over references for as many classes as a batch holds on average.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks._features import write_features
from benchmarks._process import cost_of
from benchmarks.detection import made_world
from benchmarks.head_training import Contender, floor, over, row, take_turns, timed

if TYPE_CHECKING:
    from nlcli.detection.base import Data

D, K, HALF = 2048, 50, 32
_SHARD = 8192
_SGD = {"optimizer": "sgd", "learning_rate": 0.01, "batch_size": 64}


def run(quick: bool) -> list[dict]:
    """Rows of the table, as ``benchmarks.__main__`` prints them."""
    classes, images, compared = (6, 600, 1) if quick else (101, 3000, 3)
    rows = whole(*((3, 20, 40, 64) if quick else (10, 140, 1370, 1280)), *((20, 20) if quick else (None, 3000)))
    rows += references(classes, images, compared)
    return rows + steps(20 if quick else 101, *((3, 0.5) if quick else (7, 2.0)))


# --- the command -----------------------------------------------------------------------------


def whole(classes: int, verified: int, others: int, width: int, steps: int | None, sgd_steps: int) -> list[dict]:
    """Processor seconds of ``detect-noise --method cleannet``, pictures left out."""
    rows: list[dict] = []
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        images = made_world(root, classes, verified, others, width)
        asked = ["--dataset", str(root / "dataset"), "--features", str(root / "features"), "--suspects", "0"]
        settings = {"adam": {} if steps is None else {"steps": steps}, "sgd": _SGD | {"steps": sgd_steps}}
        for name, options in settings.items():
            given = [part for key, value in options.items() for part in ("--set", f"{key}={value}")]
            command = [sys.executable, "-m", "nlcli", "-q", "detect-noise", "--method", "cleannet"]
            seconds, memory = cost_of([*command, *asked, *given, "-o", str(root / name)])
            rows.append(
                {
                    "name": f"detect-noise, {images:,} x {width:,}, {classes} classes, {name}",
                    "value": seconds,
                    "unit": "CPU s",
                    "target": "at most 15 s" if name == "adam" else None,
                    "peak_memory": memory,
                }
            )
    rows[0] |= {"ratio": rows[0]["value"] / rows[1]["value"], "ratio_to": "sgd"}
    return rows


# --- features --------------------------------------------------------------------------------


class MadeFeatures:
    """(n, D) float32 features made as they are asked for: rectified, and of low rank but for some noise.

    A class is a mixture of 20 clusters.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, noisy: np.ndarray) -> None:
        rng = np.random.default_rng(0)
        self.noisy, self.shape = noisy, (len(noisy), D)
        self.basis = (rng.normal(size=(60, D)) / 8).astype(np.float32)
        self.centres = rng.normal(size=(int(noisy.max()) + 1, 20, 60)).astype(np.float32)

    def __getitem__(self, rows: slice) -> np.ndarray:
        rng = np.random.default_rng([1, rows.start])
        noisy = self.noisy[rows]
        z = self.centres[noisy, rng.integers(20, size=len(noisy))] + rng.standard_normal((len(noisy), 60), np.float32)
        x = z @ self.basis + 0.3 * rng.standard_normal((len(noisy), D), np.float32)
        return np.maximum(x, 0, out=x)


def made_data(folder: Path, classes: int, images: int) -> Data:
    """What a detector sees of ``images`` a class in mixed order, none of them verified."""
    from scipy.sparse import csr_array

    from nlcli.data.features.store import FeatureStore
    from nlcli.data.labels import LabelTable
    from nlcli.detection.base import Data

    count = classes * images
    noisy = np.random.default_rng(0).permutation(np.repeat(np.arange(classes), images))
    keys = np.array([f"k{i:06d}" for i in range(count)], object)
    nothing = csr_array((count, classes), dtype=np.uint8)
    table = LabelTable(
        task="single-label",
        classes=tuple(f"c{i}" for i in range(classes)),
        keys=keys,
        paths=keys,
        image_root=Path("/images"),
        split=np.zeros(count, np.int8),
        present=nothing,
        absent=nothing.copy(),
        noisy=csr_array((np.ones(count, np.float32), noisy.astype(np.int32), np.arange(count + 1)), (count, classes)),
        verification=np.zeros(count, np.uint8),
        fingerprint="sha256:made",
    )
    features: Any = MadeFeatures(noisy)
    store = write_features(folder / "features", keys.tolist(), features, table.fingerprint, shard_rows=_SHARD)
    return Data(table, FeatureStore(store))


class AnonymousMemory:
    """Most bytes of memory that this process added of its own meanwhile; pages of mapped files do not count."""

    def __enter__(self) -> AnonymousMemory:
        self.before = self.most = _anonymous()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._end.wait(0.01):
            self.most = max(self.most, _anonymous())

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        self.added = self.most - self.before


def _anonymous() -> int:
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    line = next(line for line in status.read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


# --- references ------------------------------------------------------------------------------


def references(classes: int, images: int, compared: int) -> list[dict]:
    """Clustering of all classes, and scikit-learn's of ``compared`` of them."""
    from sklearn.cluster import KMeans, MiniBatchKMeans

    from nlcli.detection.references import class_references, kmeans

    def entry(name: str, value: float, unit: str, **more: Any) -> dict:
        return {"name": name, "value": value, "unit": unit, **more}

    with tempfile.TemporaryDirectory() as folder:
        data = made_data(Path(folder), classes, images)
        data.features(data.train, np.arange(1000))  # the index is read, the shards are checked as they are read
        with AnonymousMemory() as memory:
            started = time.perf_counter()
            class_references(data, K)
            ours = time.perf_counter() - started
        size = f"{classes} classes of {images:,} images"
        rows = [entry(f"references: nlcli, {size}", ours, "s", peak_memory=memory.added)]
        points = [data.features(data.train, data.train.of_class(c)) for c in range(compared)]
    contenders: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
        "nlcli": lambda x, c: kmeans(x, K, np.random.default_rng(c)),
        "KMeans": lambda x, c: KMeans(K, n_init=1, random_state=c).fit(x).cluster_centers_,
        "MiniBatchKMeans": lambda x, c: MiniBatchKMeans(K, n_init=1, random_state=c).fit(x).cluster_centers_,
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    spread: dict[str, list[float]] = {name: [] for name in contenders}
    for fit in contenders.values():
        fit(points[0][:200], 0)  # warm
    for c, x in enumerate(points):
        for name, fit in contenders.items():
            started = time.perf_counter()
            centres = fit(x, c)
            seconds[name].append(time.perf_counter() - started)
            spread[name].append(_spread(x, centres))
    for name in contenders:
        told = statistics.median(seconds[name])
        rows.append(
            entry(
                f"references: {name}, one class (times {classes}: {told * classes:,.0f} s)",
                told,
                "s",
                ratio=told / statistics.median(seconds["nlcli"]),
                ratio_to="nlcli",
                target=None if name == "nlcli" else "above 1",
            )
        )
        rows.append(
            entry(
                f"references: {name}, sum of squared distances",
                statistics.mean(spread[name]),
                "",
                ratio=statistics.mean(spread[name]) / statistics.mean(spread["nlcli"]),
                ratio_to="nlcli",
            )
        )
    return rows


def _spread(x: np.ndarray, centres: np.ndarray) -> float:
    distances = (x * x).sum(axis=1)[:, None] - 2 * x @ centres.T + (centres * centres).sum(axis=1)
    return float(distances.min(axis=1).sum())


# --- training steps --------------------------------------------------------------------------


def steps(classes: int, turns: int, seconds: float) -> list[dict]:
    """Steps of the training loop, and the products in them."""
    from nlcli.runtime import quiet_tensorflow

    quiet_tensorflow()
    # How many classes 64 images are of, on average.
    seen = round(classes * (1 - (1 - 1 / classes) ** (2 * HALF)))
    batch, refs = 2 * HALF, seen * K
    layers = [
        (refs, D, 512, False),
        (refs, 512, 256, True),
        (refs, 256, 256, True),
        (seen, 256, 128, True),
        (batch, D, 256, False),
        (batch, 256, 128, True),
        (batch, 128, 256, True),
        (batch, 256, D, True),
    ]
    rates = take_turns({"nlcli": training(classes, 10), "floor": floor(layers, 10)["products"]}, turns, seconds)
    return [
        row(f"steps: floor, {seen} of {classes} classes in a batch", rates["floor"]),
        row("steps: nlcli", rates["nlcli"], over(rates, "nlcli", "floor"), "floor", "at least 0.5"),
    ]


def training(classes: int, block_steps: int) -> Contender:
    """The training loop as detect-noise runs it: blocks prepared on a thread, one ahead."""
    from concurrent.futures import ThreadPoolExecutor

    from nlcli.detection.cleannet_arrays import ArrayMatching
    from nlcli.detection.cleannet_options import CleanNetConfig, matching_phase
    from nlcli.detection.references import References
    from nlcli.methods.base.contract import Problem
    from nlcli.training.loop.array_steps import ArraySGD, ArraySteps
    from nlcli.training.loop.contract import Block
    from nlcli.training.loop.sampling import BatchSampler, Pool

    count = 8192
    rng = np.random.default_rng(0)
    noisy = rng.integers(classes, size=count)
    table = MadeFeatures(noisy)[0:count]
    vectors = rng.random((classes, K, D), np.float32)
    config = CleanNetConfig(**_SGD)
    method = ArrayMatching(
        config,
        Problem(D, tuple(map(str, range(classes))), "single-label"),
        References(vectors, np.full(classes, K)),
    )
    phase = matching_phase(config)
    sampler = BatchSampler(
        2 * HALF,
        HALF,
        Pool(np.arange(count // 5, dtype=np.int32), 0, "V"),
        Pool(np.arange(count // 5, count, dtype=np.int32), 0, "T"),
    )
    variables = method.groups()["head"]
    function = ArraySteps(method, phase, ArraySGD(variables, [0] * len(variables)), HALF)
    rates, labels = np.full((block_steps, 1), 1e-3, np.float32), np.eye(classes, dtype=np.uint8)
    thread, done = ThreadPoolExecutor(1), 0

    def block(first: int) -> Block:
        rows = sampler.rows(first, block_steps)
        y = labels[noisy[rows]]
        return Block(
            table, rows, y, y[:, :HALF] * rng.integers(2, size=(block_steps, HALF, 1)).astype(np.uint8), y[:, :HALF]
        )

    ahead = thread.submit(block, 0)

    def go() -> None:
        nonlocal done, ahead
        now = ahead.result()
        ahead = thread.submit(block, done + block_steps)
        function(now, rates, done)
        done += block_steps

    return timed(block_steps, go)
