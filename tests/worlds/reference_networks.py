"""Networks written a second time in NumPy, from their papers' and authors' programs: channels first, nothing of Keras.

CaffeNet from its prototxt (pooling before normalisation, groups, ceil), ResNet50 and Inception V3 from torchvision's
``forward`` and from TensorFlow-Slim's, ResNet50 once more as ``keras.applications`` has it (strides in the 1x1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

Arrays = Mapping[str, np.ndarray]


def convolve(x: np.ndarray, kernel: np.ndarray, stride: int = 1, pad: int | tuple[int, int] = 0, groups: int = 1) -> np.ndarray:  # fmt: skip
    """Cross-correlation of images (b, c, h, w) with ``kernel`` (out, c / groups, kh, kw), zeros around."""
    ph, pw = (pad, pad) if isinstance(pad, int) else pad
    x = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[2:], (2, 3))[:, :, ::stride, ::stride]
    parts, inside, outside = [], x.shape[1] // groups, len(kernel) // groups
    for g in range(groups):
        seen = windows[:, g * inside : (g + 1) * inside]
        parts.append(np.tensordot(seen, kernel[g * outside : (g + 1) * outside], ((1, 4, 5), (1, 2, 3))))
    return np.concatenate(parts, -1).transpose(0, 3, 1, 2)


def normalise(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, mean: np.ndarray, variance: np.ndarray, epsilon: float) -> np.ndarray:  # fmt: skip
    shape = (1, -1, 1, 1)
    scale = gamma / np.sqrt(variance + epsilon)
    return (x - mean.reshape(shape)) * scale.reshape(shape) + beta.reshape(shape)


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def pool_max(x: np.ndarray, size: int, stride: int, pad: int = 0) -> np.ndarray:
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), constant_values=-np.inf)
    return np.lib.stride_tricks.sliding_window_view(x, (size, size), (2, 3))[:, :, ::stride, ::stride].max((4, 5))


def pool_mean(x: np.ndarray, count_padding: bool) -> np.ndarray:
    """Over 3x3 with a border of zeros that counts (torch) or does not (TensorFlow)."""
    around = ((0, 0), (0, 0), (1, 1), (1, 1))
    total = np.lib.stride_tricks.sliding_window_view(np.pad(x, around), (3, 3), (2, 3)).sum((4, 5))
    ones = np.lib.stride_tricks.sliding_window_view(np.pad(np.ones_like(x), around), (3, 3), (2, 3)).sum((4, 5))
    return total / (9.0 if count_padding else ones)


# --- CaffeNet --------------------------------------------------------------------------------


def response_norm(x: np.ndarray, k: float = 1.0, alpha: float = 1e-4, beta: float = 0.75, size: int = 5) -> np.ndarray:
    """Caffe's LRN across channels: ``x / (k + alpha / size * sum of squares) ** beta``, channel by channel."""
    found = np.empty_like(x)
    for c in range(x.shape[1]):
        near = x[:, max(0, c - size // 2) : c + size // 2 + 1]
        found[:, c] = x[:, c] / (k + alpha / size * (near**2).sum(1)) ** beta
    return found


def caffenet(images: np.ndarray, blobs: Mapping[str, list[np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """fc7 and fc8 of BGR images less the mean (b, 3, 227, 227), by Caffe's own blobs."""

    def layer(name: str, x: np.ndarray, stride: int = 1, pad: int = 0, groups: int = 1) -> np.ndarray:
        kernel, bias = blobs[name]
        return relu(convolve(x, kernel, stride, pad, groups) + bias.reshape(1, -1, 1, 1))

    x = response_norm(pool_max(layer("conv1", images, 4), 3, 2))
    x = response_norm(pool_max(layer("conv2", x, pad=2, groups=2), 3, 2))
    x = layer("conv3", x, pad=1)
    x = layer("conv4", x, pad=1, groups=2)
    x = pool_max(layer("conv5", x, pad=1, groups=2), 3, 2).reshape(len(images), -1)
    for name in ("fc6", "fc7"):
        x = relu(x @ blobs[name][0].T + blobs[name][1])
    return x, x @ blobs["fc8"][0].T + blobs["fc8"][1]


# --- ResNet50 --------------------------------------------------------------------------------


def torch_resnet50(images: np.ndarray, arrays: Arrays) -> tuple[np.ndarray, np.ndarray]:
    """Features and logits of RGB images in [0, 1] (b, 3, h, w), with torchvision's transforms and ``forward``."""

    def norm(name: str, x: np.ndarray) -> np.ndarray:
        return normalise(
            x, *(arrays[f"{name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")), 1e-5
        )

    x = (images - np.array([0.485, 0.456, 0.406]).reshape(3, 1, 1)) / np.array([0.229, 0.224, 0.225]).reshape(3, 1, 1)
    x = pool_max(relu(norm("bn1", convolve(x, arrays["conv1.weight"], 2, 3))), 3, 2, 1)
    for stage, blocks in ((1, 3), (2, 4), (3, 6), (4, 3)):
        for block in range(blocks):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            y = relu(norm(f"{name}.bn1", convolve(x, arrays[f"{name}.conv1.weight"])))
            y = relu(norm(f"{name}.bn2", convolve(y, arrays[f"{name}.conv2.weight"], stride, 1)))
            y = norm(f"{name}.bn3", convolve(y, arrays[f"{name}.conv3.weight"]))
            if block == 0:
                x = norm(f"{name}.downsample.1", convolve(x, arrays[f"{name}.downsample.0.weight"], stride))
            x = relu(x + y)
    features = x.mean((2, 3))
    return features, features @ arrays["fc.weight"].T + arrays["fc.bias"]


def keras_resnet50(images: np.ndarray, of: Callable[[str], list[np.ndarray]]) -> np.ndarray:
    """Features of BGR images less the mean; ``of`` gives a layer's arrays, kernels (h, w, in, out)."""

    def convolution(name: str, x: np.ndarray, stride: int = 1, pad: int = 0) -> np.ndarray:
        kernel, bias = of(f"{name}_conv")
        y = convolve(x, kernel.transpose(3, 2, 0, 1), stride, pad) + bias.reshape(1, -1, 1, 1)
        return normalise(y, *of(f"{name}_bn"), 1.001e-5)

    x = pool_max(relu(convolution("conv1", images, 2, 3)), 3, 2, 1)
    for stage, blocks in ((2, 3), (3, 4), (4, 6), (5, 3)):
        for block in range(1, blocks + 1):
            name, stride = f"conv{stage}_block{block}", 2 if stage > 2 and block == 1 else 1
            y = relu(convolution(f"{name}_1", x, stride))
            y = convolution(f"{name}_3", relu(convolution(f"{name}_2", y, 1, 1)))
            x = relu(y + (convolution(f"{name}_0", x, stride) if block == 1 else x))
    return x.mean((2, 3))


# --- Inception V3 ----------------------------------------------------------------------------


def torch_inception_v3(images: np.ndarray, arrays: Arrays) -> tuple[np.ndarray, np.ndarray]:
    """Features and logits of images in [-1, 1] (b, 3, h, w), by torchvision's ``forward``."""

    def conv(name: str, x: np.ndarray, stride: int = 1, pad: int | tuple[int, int] = 0) -> np.ndarray:
        y = convolve(x, arrays[f"{name}.conv.weight"], stride, pad)
        bn = (arrays[f"{name}.bn.{part}"] for part in ("weight", "bias", "running_mean", "running_var"))
        return relu(normalise(y, *bn, 1e-3))

    x = conv("Conv2d_2a_3x3", conv("Conv2d_1a_3x3", images, 2))
    x = pool_max(conv("Conv2d_2b_3x3", x, pad=1), 3, 2)
    x = pool_max(conv("Conv2d_4a_3x3", conv("Conv2d_3b_1x1", x)), 3, 2)
    for m in ("Mixed_5b", "Mixed_5c", "Mixed_5d"):
        five = conv(f"{m}.branch5x5_2", conv(f"{m}.branch5x5_1", x), pad=2)
        three = conv(f"{m}.branch3x3dbl_2", conv(f"{m}.branch3x3dbl_1", x), pad=1)
        three = conv(f"{m}.branch3x3dbl_3", three, pad=1)
        pooled = conv(f"{m}.branch_pool", pool_mean(x, True))
        x = np.concatenate([conv(f"{m}.branch1x1", x), five, three, pooled], 1)
    m = "Mixed_6a"
    double = conv(f"{m}.branch3x3dbl_2", conv(f"{m}.branch3x3dbl_1", x), pad=1)
    x = np.concatenate([conv(f"{m}.branch3x3", x, 2), conv(f"{m}.branch3x3dbl_3", double, 2), pool_max(x, 3, 2)], 1)
    for m in ("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"):
        seven = conv(f"{m}.branch7x7_2", conv(f"{m}.branch7x7_1", x), pad=(0, 3))
        seven = conv(f"{m}.branch7x7_3", seven, pad=(3, 0))
        double = conv(f"{m}.branch7x7dbl_1", x)
        for i, pad in ((2, (3, 0)), (3, (0, 3)), (4, (3, 0)), (5, (0, 3))):
            double = conv(f"{m}.branch7x7dbl_{i}", double, pad=pad)
        pooled = conv(f"{m}.branch_pool", pool_mean(x, True))
        x = np.concatenate([conv(f"{m}.branch1x1", x), seven, double, pooled], 1)
    m = "Mixed_7a"
    three = conv(f"{m}.branch3x3_2", conv(f"{m}.branch3x3_1", x), 2)
    seven = conv(f"{m}.branch7x7x3_2", conv(f"{m}.branch7x7x3_1", x), pad=(0, 3))
    seven = conv(f"{m}.branch7x7x3_4", conv(f"{m}.branch7x7x3_3", seven, pad=(3, 0)), 2)
    x = np.concatenate([three, seven, pool_max(x, 3, 2)], 1)
    for m in ("Mixed_7b", "Mixed_7c"):
        three = conv(f"{m}.branch3x3_1", x)
        three = np.concatenate(
            [conv(f"{m}.branch3x3_2a", three, pad=(0, 1)), conv(f"{m}.branch3x3_2b", three, pad=(1, 0))], 1
        )
        double = conv(f"{m}.branch3x3dbl_2", conv(f"{m}.branch3x3dbl_1", x), pad=1)
        double = np.concatenate(
            [conv(f"{m}.branch3x3dbl_3a", double, pad=(0, 1)), conv(f"{m}.branch3x3dbl_3b", double, pad=(1, 0))], 1
        )
        pooled = conv(f"{m}.branch_pool", pool_mean(x, True))
        x = np.concatenate([conv(f"{m}.branch1x1", x), three, double, pooled], 1)
    features = x.mean((2, 3))
    return features, features @ arrays["fc.weight"].T + arrays["fc.bias"]


def slim_inception_v3(images: np.ndarray, arrays: Arrays) -> tuple[np.ndarray, np.ndarray]:
    """Features and logits of images in [-1, 1] (b, 3, h, w), by ``slim.nets.inception_v3``."""

    def conv(name: str, x: np.ndarray, stride: int = 1, pad: int | tuple[int, int] = 0) -> np.ndarray:
        where = f"InceptionV3/{name}"
        y = convolve(x, arrays[f"{where}/weights"].transpose(3, 2, 0, 1), stride, pad)
        beta, mean, variance = (arrays[f"{where}/BatchNorm/{p}"] for p in ("beta", "moving_mean", "moving_variance"))
        return relu(normalise(y, np.ones_like(beta), beta, mean, variance, 1e-3))

    x = conv("Conv2d_2a_3x3", conv("Conv2d_1a_3x3", images, 2))
    x = pool_max(conv("Conv2d_2b_3x3", x, pad=1), 3, 2)
    x = pool_max(conv("Conv2d_4a_3x3", conv("Conv2d_3b_1x1", x)), 3, 2)
    for block, first, second in (
        ("5b", "Conv2d_0a_1x1", "Conv2d_0b_5x5"),
        ("5c", "Conv2d_0b_1x1", "Conv_1_0c_5x5"),
        ("5d", "Conv2d_0a_1x1", "Conv2d_0b_5x5"),
    ):
        b = f"Mixed_{block}/Branch_"
        two = conv(f"{b}2/Conv2d_0b_3x3", conv(f"{b}2/Conv2d_0a_1x1", x), pad=1)
        parts = [
            conv(f"{b}0/Conv2d_0a_1x1", x),
            conv(f"{b}1/{second}", conv(f"{b}1/{first}", x), pad=2),
            conv(f"{b}2/Conv2d_0c_3x3", two, pad=1),
            conv(f"{b}3/Conv2d_0b_1x1", pool_mean(x, False)),
        ]
        x = np.concatenate(parts, 1)
    b = "Mixed_6a/Branch_"
    one = conv(f"{b}1/Conv2d_0b_3x3", conv(f"{b}1/Conv2d_0a_1x1", x), pad=1)
    x = np.concatenate([conv(f"{b}0/Conv2d_1a_1x1", x, 2), conv(f"{b}1/Conv2d_1a_1x1", one, 2), pool_max(x, 3, 2)], 1)
    for block in ("6b", "6c", "6d", "6e"):
        b = f"Mixed_{block}/Branch_"
        one = conv(f"{b}1/Conv2d_0b_1x7", conv(f"{b}1/Conv2d_0a_1x1", x), pad=(0, 3))
        two = conv(f"{b}2/Conv2d_0a_1x1", x)
        for name, pad in (("0b_7x1", (3, 0)), ("0c_1x7", (0, 3)), ("0d_7x1", (3, 0)), ("0e_1x7", (0, 3))):
            two = conv(f"{b}2/Conv2d_{name}", two, pad=pad)
        parts = [
            conv(f"{b}0/Conv2d_0a_1x1", x),
            conv(f"{b}1/Conv2d_0c_7x1", one, pad=(3, 0)),
            two,
            conv(f"{b}3/Conv2d_0b_1x1", pool_mean(x, False)),
        ]
        x = np.concatenate(parts, 1)
    b = "Mixed_7a/Branch_"
    one = conv(f"{b}1/Conv2d_0b_1x7", conv(f"{b}1/Conv2d_0a_1x1", x), pad=(0, 3))
    one = conv(f"{b}1/Conv2d_1a_3x3", conv(f"{b}1/Conv2d_0c_7x1", one, pad=(3, 0)), 2)
    zero = conv(f"{b}0/Conv2d_1a_3x3", conv(f"{b}0/Conv2d_0a_1x1", x), 2)
    x = np.concatenate([zero, one, pool_max(x, 3, 2)], 1)
    for block, down in (("7b", "Conv2d_0b_3x1"), ("7c", "Conv2d_0c_3x1")):
        b = f"Mixed_{block}/Branch_"
        one = conv(f"{b}1/Conv2d_0a_1x1", x)
        two = conv(f"{b}2/Conv2d_0b_3x3", conv(f"{b}2/Conv2d_0a_1x1", x), pad=1)
        parts = [
            conv(f"{b}0/Conv2d_0a_1x1", x),
            conv(f"{b}1/Conv2d_0b_1x3", one, pad=(0, 1)),
            conv(f"{b}1/{down}", one, pad=(1, 0)),
            conv(f"{b}2/Conv2d_0c_1x3", two, pad=(0, 1)),
            conv(f"{b}2/Conv2d_0d_3x1", two, pad=(1, 0)),
            conv(f"{b}3/Conv2d_0b_1x1", pool_mean(x, False)),
        ]
        x = np.concatenate(parts, 1)
    features = x.mean((2, 3))
    kernel = arrays["InceptionV3/Logits/Conv2d_1c_1x1/weights"]
    return features, features @ kernel[0, 0] + arrays["InceptionV3/Logits/Conv2d_1c_1x1/biases"]


def inception_shapes(kind: str) -> dict[str, tuple[int, ...]]:
    """(out, in, h, w) of every convolution of Inception V3 by its name, by table 1 and the figures of Szegedy 2016.

    Args:
        kind: ``torch`` or ``slim``, whose names they get.
    """
    shapes: dict[str, tuple[int, ...]] = {}

    def add(torch: str, slim: str, outside: int, inside: int, height: int, width: int) -> None:
        shapes[torch if kind == "torch" else slim] = (outside, inside, height, width)

    for name, outside, inside, side in (
        ("Conv2d_1a_3x3", 32, 3, 3),
        ("Conv2d_2a_3x3", 32, 32, 3),
        ("Conv2d_2b_3x3", 64, 32, 3),
        ("Conv2d_3b_1x1", 80, 64, 1),
        ("Conv2d_4a_3x3", 192, 80, 3),
    ):
        add(name, name, outside, inside, side, side)
    inside = 192
    for block, pooled, one, five in (
        ("5b", 32, "Conv2d_0a_1x1", "Conv2d_0b_5x5"),
        ("5c", 64, "Conv2d_0b_1x1", "Conv_1_0c_5x5"),
        ("5d", 64, "Conv2d_0a_1x1", "Conv2d_0b_5x5"),
    ):
        t, s = f"Mixed_{block}.", f"Mixed_{block}/Branch_"
        add(f"{t}branch1x1", f"{s}0/Conv2d_0a_1x1", 64, inside, 1, 1)
        add(f"{t}branch5x5_1", f"{s}1/{one}", 48, inside, 1, 1)
        add(f"{t}branch5x5_2", f"{s}1/{five}", 64, 48, 5, 5)
        add(f"{t}branch3x3dbl_1", f"{s}2/Conv2d_0a_1x1", 64, inside, 1, 1)
        add(f"{t}branch3x3dbl_2", f"{s}2/Conv2d_0b_3x3", 96, 64, 3, 3)
        add(f"{t}branch3x3dbl_3", f"{s}2/Conv2d_0c_3x3", 96, 96, 3, 3)
        add(f"{t}branch_pool", f"{s}3/Conv2d_0b_1x1", pooled, inside, 1, 1)
        inside = 64 + 64 + 96 + pooled
    t, s = "Mixed_6a.", "Mixed_6a/Branch_"
    add(f"{t}branch3x3", f"{s}0/Conv2d_1a_1x1", 384, 288, 3, 3)
    add(f"{t}branch3x3dbl_1", f"{s}1/Conv2d_0a_1x1", 64, 288, 1, 1)
    add(f"{t}branch3x3dbl_2", f"{s}1/Conv2d_0b_3x3", 96, 64, 3, 3)
    add(f"{t}branch3x3dbl_3", f"{s}1/Conv2d_1a_1x1", 96, 96, 3, 3)
    for block, c in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)):
        t, s = f"Mixed_{block}.", f"Mixed_{block}/Branch_"
        add(f"{t}branch1x1", f"{s}0/Conv2d_0a_1x1", 192, 768, 1, 1)
        add(f"{t}branch7x7_1", f"{s}1/Conv2d_0a_1x1", c, 768, 1, 1)
        add(f"{t}branch7x7_2", f"{s}1/Conv2d_0b_1x7", c, c, 1, 7)
        add(f"{t}branch7x7_3", f"{s}1/Conv2d_0c_7x1", 192, c, 7, 1)
        add(f"{t}branch7x7dbl_1", f"{s}2/Conv2d_0a_1x1", c, 768, 1, 1)
        add(f"{t}branch7x7dbl_2", f"{s}2/Conv2d_0b_7x1", c, c, 7, 1)
        add(f"{t}branch7x7dbl_3", f"{s}2/Conv2d_0c_1x7", c, c, 1, 7)
        add(f"{t}branch7x7dbl_4", f"{s}2/Conv2d_0d_7x1", c, c, 7, 1)
        add(f"{t}branch7x7dbl_5", f"{s}2/Conv2d_0e_1x7", 192, c, 1, 7)
        add(f"{t}branch_pool", f"{s}3/Conv2d_0b_1x1", 192, 768, 1, 1)
    t, s = "Mixed_7a.", "Mixed_7a/Branch_"
    add(f"{t}branch3x3_1", f"{s}0/Conv2d_0a_1x1", 192, 768, 1, 1)
    add(f"{t}branch3x3_2", f"{s}0/Conv2d_1a_3x3", 320, 192, 3, 3)
    add(f"{t}branch7x7x3_1", f"{s}1/Conv2d_0a_1x1", 192, 768, 1, 1)
    add(f"{t}branch7x7x3_2", f"{s}1/Conv2d_0b_1x7", 192, 192, 1, 7)
    add(f"{t}branch7x7x3_3", f"{s}1/Conv2d_0c_7x1", 192, 192, 7, 1)
    add(f"{t}branch7x7x3_4", f"{s}1/Conv2d_1a_3x3", 192, 192, 3, 3)
    for block, inside, down in (("7b", 1280, "0b_3x1"), ("7c", 2048, "0c_3x1")):
        t, s = f"Mixed_{block}.", f"Mixed_{block}/Branch_"
        add(f"{t}branch1x1", f"{s}0/Conv2d_0a_1x1", 320, inside, 1, 1)
        add(f"{t}branch3x3_1", f"{s}1/Conv2d_0a_1x1", 384, inside, 1, 1)
        add(f"{t}branch3x3_2a", f"{s}1/Conv2d_0b_1x3", 384, 384, 1, 3)
        add(f"{t}branch3x3_2b", f"{s}1/Conv2d_{down}", 384, 384, 3, 1)
        add(f"{t}branch3x3dbl_1", f"{s}2/Conv2d_0a_1x1", 448, inside, 1, 1)
        add(f"{t}branch3x3dbl_2", f"{s}2/Conv2d_0b_3x3", 384, 448, 3, 3)
        add(f"{t}branch3x3dbl_3a", f"{s}2/Conv2d_0c_1x3", 384, 384, 1, 3)
        add(f"{t}branch3x3dbl_3b", f"{s}2/Conv2d_0d_3x1", 384, 384, 3, 1)
        add(f"{t}branch_pool", f"{s}3/Conv2d_0b_1x1", 192, inside, 1, 1)
    return shapes
