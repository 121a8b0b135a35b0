"""EM on noisy labels: steps a second of ``noise-types`` beside its floor and beside plain softmax training.

The problems have the classes of Clothing1M, Food-101N and WebVision (14, 101, 1,000), 2,048 features, batches of 32,
a third of them clean. The floor is the matrix products of both nets' step plus the fused Adam kernel over their
weights, as in ``head_training``; "plain" is the method's own pre-training, in which the same two nets learn given
classes and noise types: what EM takes beyond it is the noise model. All take turns in one process; a ratio is the
median over turns.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from benchmarks.head_training import _RATE, B, Contender, D, as_one_floor, floor, over, row, take_turns, timed

H = 512


def run(quick: bool) -> list[dict]:
    """Rows of the table, as ``benchmarks.__main__`` prints them."""
    from nlcli.runtime import quiet_tensorflow

    quiet_tensorflow()
    images, turns, seconds = (4_096, 3, 0.3) if quick else (32_768, 9, 1.0)
    rows = []
    for classes, hidden in ((14, 0), (101, 0), (1000, 0), (14, H)):
        rows += beside_its_floor(images, classes, hidden, turns, seconds)
    return rows


def beside_its_floor(images: int, classes: int, hidden: int, turns: int, seconds: float) -> list[dict]:
    """EM steps of one problem against its floor and plain training."""
    if hidden:
        layers = [(B, D, hidden, False)] * 2 + [(B, hidden, classes, True), (B, hidden, 3, True)]
    else:
        layers = [(B, D, classes, False), (B, D, 3, False)]
    contenders = trained(images, classes, hidden, 200)
    rates = take_turns({**contenders, **floor(layers, 200)}, turns, seconds)
    as_one_floor(rates)
    what = f"noise-types, {classes:,} classes{f', {hidden} hidden units' if hidden else ''}"
    return [
        row(f"{what}: floor", rates["floor"]),
        row(f"{what}: EM", rates["em"], over(rates, "em", "floor"), "floor", "at least 0.5"),
        row(f"{what}: EM / plain", rates["em"], over(rates, "em", "pretrain"), "plain"),
    ]


def trained(images: int, classes: int, hidden: int, block_steps: int) -> dict[str, Contender]:
    """Both phases by the training loop as train-head runs it: blocks prepared on a thread, one ahead."""
    import tensorflow as tf

    from nlcli.methods import configure, get_method
    from nlcli.methods.base.contract import Problem
    from nlcli.metrics.decisions import confusion_matrix
    from nlcli.training.head_on_features import MethodOnFeatures
    from nlcli.training.loop.array_steps import ArrayAdam, ArraySteps
    from nlcli.training.loop.contract import Block, Settings
    from nlcli.training.loop.feature_source import aligned_empty
    from nlcli.training.loop.optimizers import Adam
    from nlcli.training.loop.pools import clean_rows
    from nlcli.training.loop.sampling import BatchSampler, Pool
    from nlcli.training.loop.steps import StepFunction

    rng = np.random.default_rng(0)
    features = aligned_empty((images, D), np.float32)
    rng.random(out=features, dtype=np.float32)
    true = rng.integers(classes, size=images)
    noisy = np.where(rng.random(images) < 0.4, (true + rng.geometric(0.3, images)) % classes, true)
    clean = np.arange(images // 20, dtype=np.int32)
    other = np.arange(len(clean), images, dtype=np.int32)
    pairs = confusion_matrix(true[clean], noisy[clean], classes)
    settings = configure("noise-types", {"hidden": hidden})
    problem = Problem(D, tuple(map(str, range(classes))), "single-label", pairs)
    cls = get_method("noise-types")
    arrays = cls.steps_on_arrays(settings)  # as train-head decides it
    method = MethodOnFeatures(cls(settings, problem, arrays=arrays))
    table = features if arrays else tf.convert_to_tensor(features)
    thread = ThreadPoolExecutor(1)

    def contender(phase: Any) -> Contender:
        width = clean_rows(phase, B, clean, other)
        sampler = BatchSampler(B, width, Pool(clean, 0, "V"), Pool(other, 0, "T") if width < B else None)
        variables = [v for g in method.groups().values() for v in g]
        groups = [0] * len(variables)
        steps: Any = (
            ArraySteps(method, phase, ArrayAdam(variables, groups), width)
            if arrays
            else StepFunction(method, phase, Adam(variables, groups), width, Settings(1))
        )
        rates = np.full((block_steps, 1), _RATE, np.float32)
        eye = np.eye(classes, dtype=np.uint8)

        def block(first: int) -> Block:
            rows = sampler.rows(first, block_steps)
            v = eye[true[rows[:, :width]]]
            return Block(table, rows, eye[noisy[rows]], v, np.ones_like(v))

        done, ahead = 0, thread.submit(block, 0)

        def go() -> None:
            nonlocal done, ahead
            now = ahead.result()
            ahead = thread.submit(block, done + block_steps)
            steps(now, rates, done)
            done += block_steps

        return timed(block_steps, go)

    return {phase.name: contender(phase) for phase in method.method.phases()}
