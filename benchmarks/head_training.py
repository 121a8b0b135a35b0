"""Head training: steps a second of each method beside its floor, Keras ``fit`` and PyTorch.

The problem has the size of extended MS-COCO: 68,213 images, 2,048 features, 56 classes, batches of 32.
The floor of a method is the matrix products of its step plus the fused Adam kernel over its weights
(the memory traffic of weights and moments), each alone in a compiled loop. All contenders of a comparison
take turns in one process, a second or so at a time; a ratio is the median over turns.
"""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

D, C, H, B, CLEAN = 2048, 56, 512, 32, 3
_RATE, _ALPHA = 1e-4, 0.2

Contender = Callable[[], tuple[int, float]]
"""Runs for a while; returns how many steps it took and in how many seconds."""


def run(quick: bool) -> list[dict]:
    """Rows of the table, as ``benchmarks.__main__`` prints them."""
    from nlcli.runtime import quiet_tensorflow

    quiet_tensorflow()
    problem = Problem(8_192 if quick else 68_213)
    turns, seconds = (3, 0.3) if quick else (9, 1.0)
    rows = residual_beside_others(problem, turns, seconds)
    for name in ("noisy", "finetune-last", "finetune-mixed"):
        rows += beside_its_floor(problem, name, turns, seconds)
    return rows


class Problem:
    """Random features and labels, and the source of blocks that nlcli trains from."""

    def __init__(self, images: int) -> None:
        import tensorflow as tf

        from nlcli.training.loop.feature_source import aligned_empty

        rng = np.random.default_rng(0)
        self.features = aligned_empty((images, D), np.float32)
        for first in range(0, images, 4096):
            part = self.features[first : first + 4096]
            part[...] = rng.random(part.shape, dtype=np.float32)
        self.labels = (rng.random((images, C)) < 0.03).astype(np.uint8)
        self.table = tf.convert_to_tensor(self.features)
        self.images, self.clean = images, images // 20


def peak_memory() -> int:
    """Bytes: the most this process has had resident."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage counts the process that started this one, too
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def take_turns(contenders: dict[str, Contender], turns: int, seconds: float) -> dict[str, list[float]]:
    """Steps a second of every contender in every turn, after one call to warm up."""
    for contender in contenders.values():
        contender()
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(turns):
        for name, contender in contenders.items():
            steps, spent = 0, 0.0
            while spent < seconds:
                more, took = contender()
                steps, spent = steps + more, spent + took
            rates[name].append(steps / spent)
    return rates


def timed(steps: int, function: Callable[[], Any]) -> Contender:
    """A contender whose ``function`` takes ``steps`` steps."""

    def go() -> tuple[int, float]:
        started = time.perf_counter()
        function()
        return steps, time.perf_counter() - started

    return go


def row(
    name: str, rates: list[float], ratios: list[float] | None = None, to: str = "", target: str | None = None
) -> dict:
    """One line of the table."""
    return {
        "name": name,
        "value": statistics.median(rates),
        "unit": "steps/s",
        "ratio": statistics.median(ratios) if ratios else None,
        "ratio_to": to,
        "target": target,
        "peak_memory": peak_memory(),
    }


def over(rates: dict[str, list[float]], one: str, other: str) -> list[float]:
    """The ratio of two contenders in every turn."""
    return [a / b for a, b in zip(rates[one], rates[other], strict=True)]


def as_one_floor(rates: dict[str, list[float]]) -> None:
    """Products and Adam one after the other, as steps a second of both."""
    parts = zip(rates.pop("products"), rates.pop("adam"), strict=True)
    rates["floor"] = [1 / (1 / a + 1 / b) for a, b in parts]


# --- nlcli -----------------------------------------------------------------------------------


def nlcli(problem: Problem, name: str, block_steps: int) -> Contender:
    """The training loop as train-head runs it: blocks prepared on a thread, one ahead."""
    from concurrent.futures import ThreadPoolExecutor

    from nlcli.methods import configure, get_method
    from nlcli.methods.base.contract import Problem as MethodProblem
    from nlcli.networks.linear_layer import LinearLayer
    from nlcli.training.loop.contract import Block, Settings
    from nlcli.training.loop.optimizers import Adam
    from nlcli.training.loop.sampling import BatchSampler, Pool
    from nlcli.training.loop.steps import StepFunction

    cls = get_method(name)
    classes = tuple(map(str, range(C)))
    method = cls(configure(name), MethodProblem(D, classes), LinearLayer.zeros(D, classes))
    (phase,) = method.phases()
    clean = {"mixed": CLEAN, "clean": B, "noisy": 0}[phase.rows]
    sampler = BatchSampler(
        B,
        clean,
        Pool(np.arange(problem.clean, dtype=np.int32), 0, "V"),
        Pool(np.arange(problem.clean, problem.images, dtype=np.int32), 0, "T"),
    )
    steps = StepFunction(method, phase, Adam([v for g in method.groups().values() for v in g]), clean, Settings(1))
    rates = np.full((block_steps, 1), _RATE, np.float32)
    thread, done = ThreadPoolExecutor(1), 0

    def block(first: int) -> Block:
        rows = sampler.rows(first, block_steps)
        v = problem.labels[rows[:, :clean]]
        return Block(problem.table, rows, problem.labels[rows[:, clean:]], v, np.ones_like(v))

    ahead = thread.submit(block, 0)

    def go() -> None:
        nonlocal done, ahead
        now = ahead.result()
        ahead = thread.submit(block, done + block_steps)
        steps(now, rates, done)
        done += block_steps

    return timed(block_steps, go)


# --- the floor -------------------------------------------------------------------------------


def floor(layers: list[tuple[int, int, int, bool]], steps: int) -> dict[str, Contender]:
    """Products of a step, and Adam over its weights, each in a compiled loop of ``steps``.

    ``layers``: rows, inputs, outputs, and whether the gradient goes on to the inputs.
    """
    import tensorflow as tf

    operands = [
        (tf.random.normal((b, i)), tf.random.normal((i, o)), tf.random.normal((b, o)), deeper)
        for b, i, o, deeper in layers
    ]

    @tf.function
    def products() -> Any:
        def body(k: Any, total: Any) -> Any:
            for inputs, w, upstream, deeper in operands:
                # Each product depends on the sum so far, or it would be computed once for all steps.
                x, d = inputs + total, upstream + total
                total += 1e-30 * (tf.matmul(x, w)[0, 0] + tf.matmul(x, d, transpose_a=True)[0, 0])
                if deeper:
                    total += 1e-30 * tf.matmul(d, w, transpose_b=True)[0, 0]
            return k + 1, total

        return tf.while_loop(lambda k, _: k < steps, body, (0, 0.0))[1]

    slots = [[tf.Variable(tf.zeros((i, o))) for _ in range(4)] for _, i, o, _ in layers]

    @tf.function
    def adam() -> Any:
        def body(k: Any) -> Any:
            for w, m, v, g in slots:
                tf.raw_ops.ResourceApplyAdam(
                    var=w.handle,
                    m=m.handle,
                    v=v.handle,
                    beta1_power=0.9,
                    beta2_power=0.999,
                    lr=_RATE,
                    beta1=0.9,
                    beta2=0.999,
                    epsilon=1e-7,
                    grad=g.read_value(),
                )
            return (k + 1,)

        return tf.while_loop(lambda k: k < steps, body, (0,))[0]

    return {"products": timed(steps, lambda: products().numpy()), "adam": timed(steps, lambda: adam().numpy())}


_RESIDUAL = [(B, D, H, False), (B - CLEAN, D, H, False), (B, H, C, True), (B - CLEAN, H, C, True)]
_LINEAR = [(B, D, C, False)]


# --- what a user would otherwise write -------------------------------------------------------


def keras_fit(problem: Problem, per_row: bool, steps: int) -> Contender:
    """The same two nets, loss and optimizer as a Keras model, trained by ``fit``."""
    import keras
    import tensorflow as tf

    class Model(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.nets = [
                keras.Sequential([keras.layers.Dense(H, activation="sigmoid"), keras.layers.Dense(C)]) for _ in range(2)
            ]

        def call(self, x: Any) -> Any:
            c = self.nets[0](x)
            return c, c + self.nets[1](x)

        def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, *_: Any, **__: Any) -> Any:
            g, h = y_pred
            loss = keras.losses.BinaryCrossentropy(from_logits=True)
            return _ALPHA * loss(y[:CLEAN], g[:CLEAN]) + loss(y[CLEAN:], h[CLEAN:])

    if per_row:

        def generate() -> Iterator[tuple[np.ndarray, np.ndarray]]:
            rng = np.random.default_rng(0)
            while True:
                row = rng.integers(problem.images)
                yield problem.features[row], problem.labels[row].astype(np.float32)

        data = tf.data.Dataset.from_generator(
            generate, output_signature=(tf.TensorSpec((D,)), tf.TensorSpec((C,)))
        ).batch(B, drop_remainder=True)
    else:
        data = tf.data.Dataset.from_tensor_slices((problem.table, problem.labels)).shuffle(8192).repeat()
        data = data.batch(B, drop_remainder=True).map(lambda x, y: (x, tf.cast(y, tf.float32)))
    data = data.prefetch(tf.data.AUTOTUNE)
    model = Model()
    model.compile(keras.optimizers.Adam(_RATE), steps_per_execution=1 if per_row else 32)

    class Stopwatch(keras.callbacks.Callback):
        """From the end of the first batch (or of the first 32) on: filling the pipeline is not counted."""

        def on_train_begin(self, logs: Any = None) -> None:
            self.ends: list[tuple[int, float]] = []

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.ends.append((batch, time.perf_counter()))

    watch = Stopwatch()

    def go() -> tuple[int, float]:
        model.fit(data, steps_per_epoch=steps, verbose=0, callbacks=[watch])
        (first, started), (last, ended) = watch.ends[0], watch.ends[-1]
        return last - first, ended - started

    return go


def torch_loop(problem: Problem, fused: bool, steps: int) -> Contender:
    """The loop in PyTorch; ``fused``: its fused Adam and both first layers as one product."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits, linear

    torch.manual_seed(0)
    features = torch.from_numpy(problem.features)
    labels = torch.from_numpy(problem.labels)
    rng = np.random.default_rng(0)
    first = torch.nn.Linear(D, 2 * H)
    seconds = [torch.nn.Linear(H, C) for _ in range(2)]
    separate = [torch.nn.Linear(D, H) for _ in range(2)]
    layers = [first, *seconds] if fused else [*separate, *seconds]
    optimizer = torch.optim.Adam([p for layer in layers for p in layer.parameters()], _RATE, fused=fused)

    def go() -> None:
        drawn = rng.integers(problem.images, size=(steps, B))
        for k in range(steps):
            rows = torch.from_numpy(drawn[k])
            x, y = features[rows], labels[rows].float()
            if fused:
                hidden = torch.sigmoid(linear(x, first.weight, first.bias))
                c, r = seconds[0](hidden[:, :H]), seconds[1](hidden[CLEAN:, H:])
            else:
                c = seconds[0](torch.sigmoid(separate[0](x)))
                r = seconds[1](torch.sigmoid(separate[1](x[CLEAN:])))
            loss = _ALPHA * binary_cross_entropy_with_logits(c[:CLEAN], y[:CLEAN])
            loss = loss + binary_cross_entropy_with_logits(c[CLEAN:] + r, y[CLEAN:])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

    return timed(steps, go)


# --- comparisons -----------------------------------------------------------------------------


def residual_beside_others(problem: Problem, turns: int, seconds: float) -> list[dict]:
    """Residual against its floor, Keras and PyTorch."""
    contenders = {
        "nlcli": nlcli(problem, "residual", 250),
        **floor(_RESIDUAL, 100),
        "fit, steps_per_execution 32": keras_fit(problem, False, 256),
        "fit, row generator": keras_fit(problem, True, 64),
    }
    try:
        contenders["PyTorch, fused Adam"] = torch_loop(problem, True, 25)
        contenders["PyTorch, plain Adam"] = torch_loop(problem, False, 25)
    except ImportError:
        print("PyTorch is not installed: its rows are left out", file=sys.stderr)
    rates = take_turns(contenders, turns, seconds)
    as_one_floor(rates)
    targets = {
        "floor": "at least 0.6",
        "fit, steps_per_execution 32": "at least 2",
        "fit, row generator": "at least 5",
        "PyTorch, fused Adam": "at least 1.2",
        "PyTorch, plain Adam": "at least 2.5",
    }
    rows = [row("residual: nlcli", rates["nlcli"])]
    for other, target in targets.items():
        if other in rates:
            rows.append(row(f"residual: {other}", rates[other]))
            rows.append(row(f"residual: nlcli / {other}", rates["nlcli"], over(rates, "nlcli", other), other, target))
    return rows


def beside_its_floor(problem: Problem, name: str, turns: int, seconds: float) -> list[dict]:
    """A linear method against its floor."""
    rates = take_turns({"nlcli": nlcli(problem, name, 500), **floor(_LINEAR, 500)}, turns, seconds)
    as_one_floor(rates)
    return [
        row(f"{name}: floor", rates["floor"]),
        row(f"{name}: nlcli", rates["nlcli"], over(rates, "nlcli", "floor"), "floor", "at least 0.5"),
    ]
