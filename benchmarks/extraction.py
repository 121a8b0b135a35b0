"""Feature extraction from JPEG files: images a second, against the forward pass alone and against Keras.

ResNet50 with random weights at 224 pixels, JPEGs of COCO's size (640 x 480, about 120 KB each).
The contestants take turns within one process, so that what else the machine does meets all alike. Of many small
pictures, 32 x 32 stretched to 224 for MobileNetV2, processor time tells whether the network or decoding takes longer.
"""

from __future__ import annotations

import io
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nlcli.runtime import cpu_flags, quiet_tensorflow

BATCH = 32


def photograph(rng: np.random.Generator) -> bytes:
    """A JPEG of 640 x 480 with about as much detail, and as many bytes, as COCO's."""
    from PIL import Image

    total = np.zeros((480, 640, 3), np.float32)
    for scale in (4, 8, 16, 32, 64, 160):
        small = rng.normal(0, 10 * scale**0.35, (480 // scale + 1, 640 // scale + 1, 3))
        coarse = Image.fromarray(np.clip(small + 128, 0, 255).astype(np.uint8))
        total += np.asarray(coarse.resize((640, 480), Image.Resampling.BICUBIC), np.float32) - 128
    file = io.BytesIO()
    Image.fromarray(np.clip(total + 128, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=92)
    return file.getvalue()


def run(quick: bool) -> list[dict]:
    """Rows for f32 and bf16, exact and fast decoding."""
    quiet_tensorflow()
    import keras
    import tensorflow as tf

    from nlcli.data.config import ExtractFeatures
    from nlcli.data.features.extract import features_of
    from nlcli.networks.backbone import scale_pixels
    from nlcli.networks.image_batches import iterate_images
    from nlcli.networks.weights import build_backbone

    count, turns = (32, 1) if quick else (96, 4)
    backbone = build_backbone("resnet50", "none")
    model = keras.Model(backbone.model.input, backbone.model.output["features"])
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{i}.jpg" for i in range(count)]
        for path in paths:
            path.write_bytes(photograph(rng))
        keys = [path.stem for path in paths]
        config = ExtractFeatures(dataset=Path("."), backbone="resnet50", output=Path("."), batch_size=BATCH)
        batches = [batch.images for batch in iterate_images(paths, backbone.preprocessing, BATCH)]
        scaled = np.concatenate([np.asarray(scale_pixels(images, "caffe")) for images in batches])
        compute = {name: backbone.inference(name) for name in ("float32", "bfloat16")}

        def pipeline() -> Any:
            def load(path: Any) -> Any:
                image = tf.image.resize(tf.io.decode_jpeg(tf.io.read_file(path), 3), (224, 224))
                return scale_pixels(image, "caffe")

            files = tf.data.Dataset.from_tensor_slices([str(path) for path in paths])
            return files.map(load, num_parallel_calls=tf.data.AUTOTUNE).batch(BATCH).prefetch(2)

        def forward(precision: str) -> Callable[[], Any]:
            return lambda: [compute[precision](images).numpy() for images in batches]

        def ours(precision: str, decode: str) -> Callable[[], Any]:
            fed = backbone.with_decode(decode)  # type: ignore[arg-type]
            return lambda: features_of(config, fed, compute[precision], keys, paths, lambda done: None)

        def decoding(decode: str) -> Callable[[], Any]:
            pre = backbone.with_decode(decode).preprocessing  # type: ignore[arg-type]
            return lambda: list(iterate_images(paths, pre, BATCH))

        contestants: dict[str, Callable[[], Any]] = {
            "Keras predict, decoded images": lambda: model.predict(scaled, BATCH, verbose=0),
            "Keras predict over tf.data": lambda: model.predict(pipeline(), verbose=0),
            "decoding alone, exact": decoding("exact"),
            "decoding alone, fast": decoding("fast"),
        }
        for precision in ("float32", "bfloat16"):
            contestants[f"forward pass alone, {precision}"] = forward(precision)
            for decode in ("exact", "fast"):
                contestants[f"from files, {precision}, {decode}"] = ours(precision, decode)
        speeds: dict[str, list[float]] = {name: [] for name in contestants}
        for turn in range(turns + 1):
            for name, work in contestants.items():
                started = time.perf_counter()
                work()
                if turn:  # the first one warms up
                    speeds[name].append(count / (time.perf_counter() - started))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    median = {name: statistics.median(values) for name, values in speeds.items()}
    with_amx = f"at least 5.5 with AMX ({'present' if 'amx_bf16' in cpu_flags() else 'not present here'})"
    rows = [{"name": name, "value": value, "unit": "images/s"} for name, value in median.items()]
    for precision in ("float32", "bfloat16"):
        low = precision == "bfloat16"
        for decode in ("exact", "fast"):
            name = f"from files, {precision}, {decode}"
            aimed = [
                ("Keras predict, decoded images", None if low else "at least 1.4"),
                ("Keras predict over tf.data", with_amx if low else None),
                (f"forward pass alone, {precision}", "at least 0.9" if low else None),
            ]
            for other, target in aimed:
                ratio = statistics.median(a / b for a, b in zip(speeds[name], speeds[other], strict=True))
                rows.append(
                    {
                        "name": name,
                        "value": median[name],
                        "unit": "images/s",
                        "ratio": ratio,
                        "ratio_to": other,
                        "target": target,
                        "peak_memory": peak,
                    }
                )
    return [*rows, *_small_pictures(64 if quick else 960)]


def _small_pictures(count: int) -> list[dict]:
    """Processor milliseconds for each of many small pictures, decoded and from files to features."""
    from PIL import Image

    from nlcli.data.config import ExtractFeatures
    from nlcli.data.features.extract import features_of
    from nlcli.networks.image_batches import iterate_images
    from nlcli.networks.weights import build_backbone

    backbone = build_backbone("mobilenet_v2", "none")
    compute = backbone.inference("float32")
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{i}.png" for i in range(count)]
        for path in paths:
            Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(path)
        keys = [path.stem for path in paths]
        config = ExtractFeatures(dataset=Path("."), backbone="mobilenet_v2", output=Path("."), batch_size=BATCH)
        features_of(config, backbone, compute, keys[:BATCH], paths[:BATCH], lambda done: None)  # warms up
        begun = time.process_time()
        for _ in iterate_images(paths, backbone.preprocessing, BATCH):
            pass
        decoding = (time.process_time() - begun) / count * 1000
        begun = time.process_time()
        features_of(config, backbone, compute, keys, paths, lambda done: None)
        whole = (time.process_time() - begun) / count * 1000
    return [
        {"name": "decode 32 x 32 to 224, processor time", "value": decoding, "unit": "ms an image"},
        {
            "name": "32 x 32 through MobileNetV2, processor time",
            "value": whole,
            "unit": "ms an image",
            "ratio": decoding / whole,
            "ratio_to": "decoding's part of it",
        },
    ]
