"""Supervised noise detectors at the size of Food-101N's verified part: 55,550 verified images of 101 classes.

The whole stage is timed, from opening the features to the written results: nearest neighbours and
label spreading, each with its hyper-parameters chosen on validation, and scores for every image.
Beside it stands what one would write first: scikit-learn on all classes at once, whose search for
neighbours compares every image with every verified one (for label spreading: every image of the
graph with every other). It is timed on a part of the queries and scaled up. A graph with a Gaussian
kernel instead would need the square of the images in memory, which is told, not tried.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks._features import FeaturesConfig, write_features

CLASSES, VERIFIED, OTHERS, VALIDATION, WIDTH = 101, 550, 1000, 50, 2048
WRONG = 0.2


def run(quick: bool) -> list[dict]:
    """Rows of the table; ``quick`` has 10 classes of 200 verified images and 256 features."""
    classes, verified, others, width = (10, 200, 200, 256) if quick else (CLASSES, VERIFIED, OTHERS, WIDTH)
    graph = classes * (verified + others)
    measured = []
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:  # its memory is not ours
            images = pool.submit(made_world, root, classes, verified, others, width).result()
        before = _peak()
        for method, options in (("knn", {}), ("label-spreading", {"unlabelled": others})):
            seconds, error = _stage(root, method, options)
            measured.append((method, seconds, error, _peak()))
    rows = []
    for method, seconds, error, peak in measured:
        among, queries = (classes * verified, images) if method == "knn" else (graph, graph)
        rows += [
            {
                "name": f"{method}: {classes * verified:,} verified images of {classes} classes, {images:,} scored",
                "value": seconds,
                "unit": "s",
                "ratio": seconds / _all_at_once(width, among, queries),
                "ratio_to": "scikit-learn, all classes at once (extrapolated)",
                "peak_memory": peak,
            },
            {"name": f"{method}: average error rate (calling every label right: {WRONG})", "value": error, "unit": ""},
        ]
    return [
        *rows,
        {
            "name": f"memory beyond the start; the features are {images * width * 2 / 2**20:,.0f} MiB",
            "value": (measured[-1][3] - before) / 2**20,
            "unit": "MiB",
        },
        {"name": f"a Gaussian kernel over these {graph:,} images", "value": graph**2 * 8 / 2**30, "unit": "GiB"},
    ]


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def made_world(root: Path, classes: int, verified: int, others: int, width: int) -> int:
    """A data set and its features; how many images."""
    from nlcli.data.label_files import write_dataset
    from nlcli.data.labels import single_label_table
    from nlcli.stages.stage import open_stage, read_stage

    rng = np.random.default_rng(0)
    count = classes * (verified + others + VALIDATION)
    noisy = np.tile(np.arange(classes), count // classes)
    place = np.repeat(np.arange(count // classes), classes)  # the how-manieth of its class
    true = np.where(rng.random(count) < WRONG, (noisy + rng.integers(1, classes, count)) % classes, noisy)
    split = np.where(place >= verified + others, 1, 0)
    known = (place < verified) | (split == 1)
    names = [f"{i:06d}" for i in range(count)]
    table = single_label_table(
        [f"c{c}" for c in range(classes)], names, names, root, split, noisy, np.where(known, true, -1)
    )
    with open_stage("dataset", FeaturesConfig(output=root / "dataset"), {}) as stage:
        write_dataset(stage.work, table, {"name": "made", "source": "made by a benchmark"})
        stage.finish({})
    centres = rng.standard_normal((classes, width), np.float32)
    features = np.empty((count, width), np.float16)
    for first in range(0, count, 8192):
        part = slice(first, first + 8192)
        # Each image has a strength of its own: not all are near their class's centre.
        strength = rng.uniform(0.1, 0.5, (len(true[part]), 1)).astype(np.float32)
        features[part] = np.maximum(
            strength * centres[true[part]] + rng.standard_normal(features[part].shape, np.float32), 0
        )
    write_features(root / "features", names, features, read_stage(root / "dataset").fingerprint)
    return count


def _stage(root: Path, method: str, options: dict) -> tuple[float, float]:
    """Seconds of the stage and its average error rate."""
    from nlcli.data.detection_files import read_detection
    from nlcli.detection.config import DetectNoise
    from nlcli.detection.detect_noise import detect_noise

    started = time.perf_counter()
    made = detect_noise(
        DetectNoise(
            dataset=root / "dataset",
            features=root / "features",
            output=root / method,
            method=method,
            options=options,
            suspects=0,
        )
    )
    seconds = time.perf_counter() - started
    rates = read_detection(made).info.errors.all
    assert rates is not None
    return seconds, rates.average


def _all_at_once(width: int, images: int, queries: int) -> float:
    """Seconds that scikit-learn's search for neighbours takes among ``images`` for ``queries``."""
    from sklearn.neighbors import NearestNeighbors

    rng = np.random.default_rng(1)
    part = min(queries, 1000)
    # Of more images than fit beside the rest a part is searched, too: time is proportional to both.
    among = min(images, 60_000)
    finder = NearestNeighbors(n_neighbors=40, algorithm="brute", n_jobs=-1)
    finder.fit(rng.standard_normal((among, width), np.float32))
    asked = rng.standard_normal((part, width), np.float32)
    finder.kneighbors(asked[:100])
    started = time.perf_counter()
    finder.kneighbors(asked)
    return (time.perf_counter() - started) * (images / among) * (queries / part)
