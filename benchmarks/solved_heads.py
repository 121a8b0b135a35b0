"""Solving a linear head along its path of l2 beside stepping it: the whole of both, at the size of extended MS-COCO.

68,213 images, 2,048 features, 56 classes, several labels; 10,000 validation images choose. ``stepped`` is the loop as
``train-head --set solver=steps`` runs it by default: 4,000 steps of 32 images, 40 looks at validation. ``solved`` is
the path, the choice and the solution to convergence. Features are in memory for both. They are rectified sums of
factors with a falling spectrum, as those of networks are, and tags are logistic in the factors. ``cost`` is one less
the mean of AP_all and mAP on validation.

Measured on one core (Xeon with AVX-512, busy machine): solved 16 CPU seconds, 27 passes over the data, cost 0.683;
stepped 7.6 CPU seconds, cost 0.765. A pass over all rows is 31 thousand million operations, and 4,000 steps see no more
rows than two passes do: they are quicker because they end far from the solution.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

D, C, FACTORS = 2048, 56, 300


def run(quick: bool) -> list[dict]:
    """Rows of the table, as ``benchmarks.__main__`` prints them."""
    images, checked = (8_192, 2_000) if quick else (68_213, 10_000)
    features, tags = problem(images + checked)
    rows = []
    for name, contender in (("solved", solved), ("stepped", stepped)):
        seconds, metrics = contender(features, tags, images)
        rows.append(
            {"benchmark": f"noisy head, {images:,} x {D} x {C}, {name}", "cpu_seconds": round(seconds, 1), **metrics}
        )
    rows.append({"benchmark": "solved / stepped", "ratio": round(rows[0]["cpu_seconds"] / rows[1]["cpu_seconds"], 2)})
    return rows


def problem(images: int) -> tuple[np.ndarray, np.ndarray]:
    """Features (images, D) float32 and tags (images, C) uint8, some of them wrong."""
    rng = np.random.default_rng(0)
    spectrum = np.arange(1, FACTORS + 1) ** -0.7
    mixing = (rng.normal(size=(FACTORS, D)) * spectrum[:, None]).astype(np.float32)
    of_class = (rng.normal(size=(FACTORS, C)) / 8).astype(np.float32)
    features, tags = np.empty((images, D), np.float32), np.empty((images, C), np.uint8)
    for first in range(0, images, 4096):
        part = features[first : first + 4096]
        factors = rng.normal(size=(len(part), FACTORS)).astype(np.float32)
        part[...] = np.maximum(factors @ mixing + 0.3 * rng.normal(size=part.shape).astype(np.float32) + 0.5, 0)
        tags[first : first + 4096] = factors @ of_class - 4.5 + rng.logistic(size=(len(part), C)) > 0
    return features, tags


def solved(features: np.ndarray, tags: np.ndarray, images: int) -> tuple[float, dict]:
    """Seconds, and what came of it."""
    from nlcli.estimation.design import ArrayBlocks
    from nlcli.estimation.linear_search import Checked, choose
    from nlcli.estimation.objective import Term
    from nlcli.estimation.path import path_values
    from nlcli.estimation.scale import FeatureScale

    started = time.process_time()
    scale = FeatureScale("unit")
    design = ArrayBlocks(features[:images], scale=scale)
    checked = Checked(tags[images:], np.ones_like(tags[images:]), ArrayBlocks(features[images:], scale=scale))
    choice = choose(design, {"noisy": [Term(tags[:images])]}, "multi-label", C, path_values(design), checked)
    seconds = time.process_time() - started
    passes = sum(point.iterations for point in choice.points)
    cost = choice.points[choice.chosen].cost
    return seconds, {"points": len(choice.points), "iterations": passes, "cost": round(cost or 0.0, 4)}


def stepped(features: np.ndarray, tags: np.ndarray, images: int) -> tuple[float, dict]:
    """The same of 4,000 steps."""
    from nlcli.runtime import quiet_tensorflow

    quiet_tensorflow()
    import tensorflow as tf

    from nlcli.methods import configure, get_method
    from nlcli.methods.base.contract import Problem
    from nlcli.metrics.ranking import ranking_metrics
    from nlcli.training.head_on_features import MethodOnFeatures
    from nlcli.training.loop.contract import Block, Settings
    from nlcli.training.loop.train import train
    from nlcli.training.validation import Scorer

    method = get_method("noisy")(configure("noisy"), Problem(D, tuple(map(str, range(C)))))
    table, scorer = tf.convert_to_tensor(features[:images]), Scorer(method)
    nothing = np.empty((0, C), np.uint8)

    class Source:
        def clean_rows(self, phase: object) -> int:
            return 0

        def steps_in_block(self, phase: object) -> int:
            return 1000

        def epoch_steps(self, phase: object) -> float:
            return images / 32

        def inputs(self) -> object:
            return iter(())

        def block(self, phase: object, first: int, count: int) -> Block:
            rows = np.random.default_rng(first).integers(images, size=(count, 32), dtype=np.int32)
            empty = np.broadcast_to(nothing, (count, 0, C))
            return Block(table, rows, tags[rows], empty, empty)

    def evaluate(phase: object) -> dict[str, float]:
        scores = scorer(features[images:], "classifier")
        ranking = ranking_metrics(tags[images:], scores)
        return {"AP_all": float(ranking.ap_all), "mAP": float(ranking.mean_ap)}

    started = time.process_time()
    with TemporaryDirectory() as folder:
        outcome = train(
            MethodOnFeatures(method), method.phases(), Source(), evaluate, Settings(eval_every=100), Path(folder)
        )
    metrics = outcome.metrics()
    cost = 1.0 - 0.5 * (metrics["AP_all"] + metrics["mAP"])
    return time.process_time() - started, {"iterations": outcome.steps, "cost": round(cost, 4)}


if __name__ == "__main__":
    for row in run("--quick" in sys.argv):
        print(row)
