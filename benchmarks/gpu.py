"""What an NVIDIA GPU makes of it: extraction, training of a whole network, heads of a grid at once.

ResNet50 with random weights at 224 pixels, JPEGs of COCO's size. Extraction from files stands beside the GPU's own
forward pass (pictures in memory) and beside decoding alone, which the processors do; training beside Keras ``fit`` with
mixed precision and XLA, and beside PyTorch (bfloat16, channels last, compiled) where that is installed. Every contender
has a process of its own, so that the card's memory is free for it; they run one after the other. Without a GPU there
are no rows.
"""

from __future__ import annotations

import concurrent.futures
import importlib.util
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.extraction import photograph
from nlcli.runtime import cpu_count, gpu_names, quiet_tensorflow, share_gpu_memory

SIDE, CLASSES, BATCH = 224, 56, 64
TABLE = 68_213
"""Images of a head's problem: extended MS-COCO's."""


def run(quick: bool) -> list[dict[str, Any]]:
    """Rows of the table; none without a GPU."""
    if not gpu_names():
        return []
    with tempfile.TemporaryDirectory(prefix="gpu-") as folder:
        files = _photographs(Path(folder), 256 if quick else 4096)
        rows = _extraction_rows(files, quick)
    return rows + _training_rows(quick) + _grid_rows(quick)


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """``function`` in a fresh process, which takes memory of the card as it needs it and gives it back."""
    return at_once(function, [arguments])[0]


def at_once(function: Callable[..., Any], calls: list[tuple[Any, ...]]) -> list[Any]:
    """The same, several at a time."""
    share_gpu_memory()
    with concurrent.futures.ProcessPoolExecutor(len(calls), multiprocessing.get_context("spawn")) as pool:
        return [future.result() for future in [pool.submit(function, *arguments) for arguments in calls]]


def _row(name: str, value: float, unit: str, other: str | None = None, ratio: float | None = None) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "ratio": ratio, "ratio_to": other}


def _rate(work: Callable[[], int], turns: int) -> float:
    """Median of what a call does in a second, after one that warms up."""
    work()
    rates = []
    for _ in range(turns):
        begun = time.perf_counter()
        done = work()
        rates.append(done / (time.perf_counter() - begun))
    return statistics.median(rates)


# --- extraction ------------------------------------------------------------------------------


def _photographs(folder: Path, count: int) -> list[Path]:
    """JPEGs; 64 pictures under several names."""
    rng = np.random.default_rng(0)
    contents = [photograph(rng) for _ in range(64)]
    paths = [folder / f"{number}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(contents[number % len(contents)])
    return paths


def _extraction_rows(files: list[Path], quick: bool) -> list[dict[str, Any]]:
    turns = 1 if quick else 3
    rows = []
    decoding = {decode: alone(_decoding, files, decode, turns) for decode in ("exact", "fast")}
    for decode, rate in decoding.items():
        rows.append(_row(f"decoding alone, {decode}, {cpu_count()} processors", rate, "images/s"))
    for precision in ("float32", "bfloat16"):
        forward = {size: alone(_forward, precision, size, turns) for size in (32, 128)}
        for size, rate in forward.items():
            rows.append(_row(f"forward pass alone, {precision}, batches of {size}", rate, "images/s"))
        for decode in ("exact", "fast"):
            for size in (32, 128):
                rate = alone(_from_files, files, precision, decode, size, turns)
                name = f"from files, {precision}, {decode}, batches of {size}"
                bound = min(decoding[decode], forward[size])
                rows.append(_row(name, rate, "images/s", "the slower of decoding and forward", rate / bound))
    return rows


def _decoding(files: list[Path], decode: str, turns: int) -> float:
    from nlcli.networks.image_batches import iterate_images
    from nlcli.networks.images import Preprocessing

    preparation = Preprocessing(size=SIDE, scaling="caffe", decode=decode)  # type: ignore[arg-type]
    return _rate(lambda: sum(len(batch.images) for batch in iterate_images(files, preparation, 128)), turns)


def _forward(precision: str, size: int, turns: int) -> float:
    quiet_tensorflow()
    from nlcli.networks.weights import build_backbone

    compute = build_backbone("resnet50", "none").inference(precision)
    images = np.random.default_rng(0).integers(0, 256, (size, SIDE, SIDE, 3), np.uint8)

    def work() -> int:
        results = [compute(images) for _ in range(4096 // size)]
        np.asarray(results[-1])
        return 4096 // size * size

    return _rate(work, turns)


def _from_files(files: list[Path], precision: str, decode: str, size: int, turns: int) -> float:
    quiet_tensorflow()
    from nlcli.data.config import ExtractFeatures
    from nlcli.data.features.extract import features_of
    from nlcli.networks.weights import build_backbone

    backbone = build_backbone("resnet50", "none").with_decode(decode)  # type: ignore[arg-type]
    compute = backbone.inference(precision)
    config = ExtractFeatures(dataset=Path("."), backbone="resnet50", output=Path("."), batch_size=size)
    keys = [path.stem for path in files]
    return _rate(lambda: len(features_of(config, backbone, compute, keys, files, lambda done: None)[0]), turns)


# --- training of a whole network -------------------------------------------------------------


def _training_rows(quick: bool) -> list[dict[str, Any]]:
    steps = 30 if quick else 150
    contenders: dict[str, Callable[[], float]] = {
        f"nlcli, {precision}{', XLA' if xla else ''}": lambda p=precision, x=xla: alone(_ours, p, x, steps)  # type: ignore[misc]
        for precision in ("float32", "bfloat16")
        for xla in (False, True)
    }
    contenders |= {
        "Keras fit, float32": lambda: alone(_keras_fit, "float32", steps),
        "Keras fit, mixed bfloat16": lambda: alone(_keras_fit, "mixed_bfloat16", steps),
    }
    if all(importlib.util.find_spec(name) is not None for name in ("torch", "torchvision")):
        contenders["PyTorch, bfloat16, channels last, compiled"] = lambda: alone(_torch, steps)
    rates = {name: measure() for name, measure in contenders.items()}
    rows = []
    for name, rate in rates.items():
        other = "Keras fit, float32" if "float32" in name else "Keras fit, mixed bfloat16"
        compared = name.startswith("nlcli")
        title = f"training ResNet50, batches of {BATCH}: {name}"
        rows.append(
            _row(title, rate, "images/s", other if compared else None, rate / rates[other] if compared else None)
        )
    return rows


def _pixels() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (2048, SIDE, SIDE, 3), np.uint8), (rng.random((2048, CLASSES)) < 0.05).astype(np.uint8)


def _ours(precision: str, xla: bool, steps: int) -> float:
    """The training loop as pretrain-backbone runs it, of pictures that are in memory."""
    quiet_tensorflow()
    import tensorflow as tf

    from nlcli.methods.base.contract import Phase, Schedule
    from nlcli.networks.training_copy import training_copy
    from nlcli.networks.weights import build_backbone
    from nlcli.training.loop.augmentation import DRAWS, Augmentation
    from nlcli.training.loop.contract import Block, Settings
    from nlcli.training.loop.optimizers import OPTIMIZERS
    from nlcli.training.loop.steps import StepFunction
    from nlcli.training.network import Network

    if not xla:
        tf.config.experimental.enable_op_determinism()  # as the stage does
    backbone = build_backbone("resnet50", "none", classes=tuple(map(str, range(CLASSES))))
    copy = training_copy(backbone.model, precision, steps=steps)  # type: ignore[arg-type]
    network = Network(copy, backbone.preprocessing.scaling, "multi-label", "all")
    phase = Phase("noisy", "noisy", steps, {"network": Schedule(1e-4, 0.9, 2.0, "epochs")}, "rmsprop")
    optimizer = OPTIMIZERS["rmsprop"](network.groups()["network"], [0] * len(network.groups()["network"]))
    function = StepFunction(network, phase, optimizer, 0, Settings(1, xla=xla, augment=Augmentation("both")))
    pixels, labels = _pixels()
    with tf.device("CPU:0"):
        table = tf.convert_to_tensor(pixels)
    rng = np.random.default_rng(1)
    none = np.zeros((steps, 0, CLASSES), np.uint8)

    def work() -> int:
        rows = rng.integers(0, len(pixels), (steps, BATCH)).astype(np.int32)
        draws = rng.random((steps, BATCH, DRAWS), np.float32)
        function(Block(table, rows, labels[rows], none, none, draws), np.full((steps, 1), 1e-4, np.float32), 0)
        return steps * BATCH

    return _rate(work, 2)


def _keras_fit(policy: str, steps: int) -> float:
    """What one would write: the same pictures through tf.data, flipped, mixed precision and XLA."""
    quiet_tensorflow()
    import keras
    import tensorflow as tf

    keras.mixed_precision.set_global_policy(policy)
    base = keras.applications.ResNet50(weights=None, include_top=False, pooling="avg", input_shape=(SIDE, SIDE, 3))
    inputs = keras.Input((SIDE, SIDE, 3), dtype="uint8")
    scaled = keras.layers.Rescaling(1 / 127.5, -1)(inputs)
    outputs = keras.layers.Dense(CLASSES, activation="sigmoid", dtype="float32")(base(scaled))
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.RMSprop(1e-4), "binary_crossentropy", jit_compile=True)
    with tf.device("CPU:0"):
        data = tf.data.Dataset.from_tensor_slices(_pixels())
    data = data.shuffle(2048).repeat().batch(BATCH, drop_remainder=True)
    data = data.map(lambda x, y: (tf.image.random_flip_left_right(x), y), num_parallel_calls=tf.data.AUTOTUNE)
    data = data.prefetch(tf.data.AUTOTUNE)

    def work() -> int:
        model.fit(data, epochs=1, steps_per_epoch=steps, verbose=0)
        return steps * BATCH

    return _rate(work, 2)


def _torch(steps: int) -> float:
    """The same in PyTorch: pictures copied to the card as bytes, flipped and scaled there."""
    import torch
    import torchvision

    torch.backends.cudnn.benchmark = True
    model = torchvision.models.resnet50(num_classes=CLASSES).cuda().to(memory_format=torch.channels_last)
    compiled = torch.compile(model)
    optimizer = torch.optim.RMSprop(model.parameters(), 1e-4, foreach=True)
    pixels, labels = (torch.from_numpy(array) for array in _pixels())
    pixels, targets = pixels.pin_memory(), labels.float().cuda()

    def work() -> int:
        for _ in range(steps):
            rows = torch.randint(len(pixels), (BATCH,))
            images = pixels[rows].pin_memory().cuda(non_blocking=True).permute(0, 3, 1, 2)
            images = images.to(torch.bfloat16) / 127.5 - 1
            images = torch.where(torch.rand(BATCH, 1, 1, 1, device="cuda") < 0.5, images.flip(3), images)
            with torch.autocast("cuda", torch.bfloat16):
                logits = compiled(images.contiguous(memory_format=torch.channels_last))
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits.float(), targets[rows.cuda()])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        torch.cuda.synchronize()
        return steps * BATCH

    return _rate(work, 2)


# --- heads of a grid -------------------------------------------------------------------------


def _grid_rows(quick: bool) -> list[dict[str, Any]]:
    """Heads in processes that share the card, as ``nlcli run --jobs N`` has them."""
    seconds = 3.0 if quick else 10.0
    rows = []
    for name in ("residual", "noisy"):
        one = alone(_head, name, seconds, False)
        rows.append(_row(f"{name}: steps on the GPU", one, "steps/s"))
        for many in (4, 8):
            rate = sum(at_once(_head, [(name, seconds, False)] * many))
            rows.append(_row(f"{name}: {many} heads at once on it", rate, "steps/s", "one alone", rate / one))
        rate = alone(_head, name, seconds, True)
        rows.append(_row(f"{name}: steps on {cpu_count()} processors", rate, "steps/s", "the GPU", rate / one))
    return rows


def _head(name: str, seconds: float, on_processors: bool) -> float:
    """Steps a second of a head's training loop, once it runs."""
    if on_processors:
        import os

        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    quiet_tensorflow()
    from benchmarks.head_training import Problem, nlcli

    problem = Problem(TABLE)
    step = nlcli(problem, name, 500)
    step()
    step()
    taken, spent = 0, 0.0
    while spent < seconds:
        more, took = step()
        taken, spent = taken + more, spent + took
    return taken / spent
