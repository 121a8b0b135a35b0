"""Imported weights compute what their own programs compute, by networks that are written a second time in NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nlcli.errors import NlcliError
from nlcli.networks.architectures import BACKBONES
from nlcli.networks.config import ImportWeights
from nlcli.networks.imagenet import imagenet_classes
from nlcli.networks.import_weights.layouts import caffenet, slim_inception_v3, torch_inception_v3, torch_resnet50
from nlcli.networks.import_weights.stage import import_weights
from nlcli.networks.weights import load_backbone
from worlds import reference_networks
from worlds.weight_files import (
    caffemodel,
    caffenet_blobs,
    torch_resnet50_arrays,
    write_safetensors,
    write_torch,
)


def pixels(size: int, count: int = 2) -> np.ndarray:
    """uint8 RGB images (b, h, w, 3) that are no noise: shades with edges."""
    rng = np.random.default_rng(size)
    small = rng.integers(0, 256, (count, 8, 8, 3))
    whole = np.kron(small, np.ones((1, -(-size // 8), -(-size // 8), 1)))[:, :size, :size]
    return np.clip(whole + rng.normal(0, 8, whole.shape), 0, 255).astype(np.uint8)


def first(images: np.ndarray) -> np.ndarray:
    return images.astype(np.float64).transpose(0, 3, 1, 2)


def alike(found: np.ndarray, expected: np.ndarray) -> None:
    """Equal but for float32's rounding, measured against the spread of the values."""
    assert np.abs(np.asarray(found) - expected).max() < 2e-4 * expected.std() + 1e-6


# --- whole networks --------------------------------------------------------------------------


@pytest.mark.slow
def test_caffenet_computes_what_caffe_does(tmp_path: Path) -> None:
    blobs = caffenet_blobs()
    (tmp_path / "caffenet.caffemodel").write_bytes(caffemodel(blobs, old=True))
    made = import_weights(
        ImportWeights(weights=tmp_path / "caffenet.caffemodel", network="alexnet", output=tmp_path / "caffenet")
    )
    backbone = load_backbone(made)
    assert (backbone.name, backbone.classes, backbone.activation) == ("alexnet", imagenet_classes(), "softmax")
    images = pixels(227)
    blue_first = first(images)[:, ::-1] - np.array([103.939, 116.779, 123.68]).reshape(3, 1, 1)
    features, logits = reference_networks.caffenet(blue_first, blobs)
    alike(backbone.inference(output="features")(images), features)
    alike(backbone.inference(output="logits")(images), logits)
    assert features.std() > 0.05  # of which something is left


@pytest.mark.parametrize("kind", ["pth", pytest.param("safetensors", marks=pytest.mark.slow)])
def test_resnet50_computes_what_torchvision_does(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = torch_resnet50_arrays()
    if kind == "pth":
        file = write_torch(tmp_path / "resnet50.pth", arrays, monkeypatch)
        monkeypatch.undo()
    else:
        file = write_safetensors(tmp_path / "resnet50.safetensors", arrays)
    config = ImportWeights(weights=file, network="resnet50", resize="crop", output=tmp_path / "resnet50")
    backbone = load_backbone(import_weights(config))
    assert (backbone.name, backbone.preprocessing.resize) == ("resnet50_torchvision", "crop")
    images = pixels(224, 1)
    features, logits = reference_networks.torch_resnet50(first(images) / 255, arrays)
    alike(backbone.inference(output="features")(images), features)
    alike(backbone.inference(output="logits")(images), logits)
    assert features.std() > 0.05


@pytest.mark.slow
def test_weights_of_torchvision_in_the_network_of_keras_would_be_wrong() -> None:
    """Why torchvision's networks are networks of their own."""
    images = (pixels(64) / 255).astype(np.float32)
    size, arrays = 64, torch_resnet50_arrays()
    ours = BACKBONES["resnet50_torchvision"].network(size, None)
    torch_resnet50(ours, arrays, "w.pth")
    keras_own = BACKBONES["resnet50"].network(size, None)
    for layer in keras_own.layers:
        if layer.weights:
            stem = layer.name.replace("conv1_conv", "stem_conv").replace("conv1_bn", "stem_bn")
            name = stem
            if "_block" in stem:
                stage, block, part, kind = stem.replace("conv", "", 1).replace("block", "").split("_")
                inner = "downsample" if part == "0" else part
                name = f"layer{int(stage) - 1}_{int(block) - 1}_{inner}_{kind}"
            weights = ours.get_layer(name).get_weights()
            layer.set_weights(weights if kind_of(layer) == "bn" else [*weights, np.zeros(weights[0].shape[-1])])
    right = np.asarray(ours(images * 255))
    scaled = (images - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    wrong = np.asarray(keras_own(scaled.astype(np.float32)))
    alike(right, reference_networks.torch_resnet50(images.transpose(0, 3, 1, 2), arrays)[0])
    assert np.abs(right - wrong).max() > 0.5 * right.std()


def kind_of(layer: Any) -> str:
    return "bn" if layer.name.endswith("bn") else "conv"


SIZE = 107  # the least at which the last blocks have more than one place


def small_inception(name: str) -> Any:
    return BACKBONES[name].network(SIZE, None)


def named_inception(kind: str) -> dict[str, np.ndarray]:
    """Random weights under the names that the reference network asks for, of the shapes that it needs."""
    rng = np.random.default_rng(3)

    arrays: dict[str, np.ndarray] = {}
    for name, shape in reference_networks.inception_shapes(kind).items():
        outside = shape[0]
        kernel = rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape).astype(np.float32)
        beta, mean = (rng.uniform(-0.1, 0.1, outside).astype(np.float32) for _ in range(2))
        gamma, variance = (rng.uniform(0.8, 1.2, outside).astype(np.float32) for _ in range(2))
        if kind == "torch":
            arrays[f"{name}.conv.weight"] = kernel
            values = (("weight", gamma), ("bias", beta), ("running_mean", mean), ("running_var", variance))
            arrays |= {f"{name}.bn.{part}": value for part, value in values}
        else:
            arrays[f"InceptionV3/{name}/weights"] = kernel.transpose(2, 3, 1, 0)
            values = (("beta", beta), ("moving_mean", mean), ("moving_variance", variance))
            arrays |= {f"InceptionV3/{name}/BatchNorm/{part}": value for part, value in values}
    last = rng.normal(0, 0.02, (17, 2048)).astype(np.float32), rng.normal(size=17).astype(np.float32)
    if kind == "torch":
        return arrays | {"fc.weight": last[0], "fc.bias": last[1]}
    names = ("InceptionV3/Logits/Conv2d_1c_1x1/weights", "InceptionV3/Logits/Conv2d_1c_1x1/biases")
    return arrays | {names[0]: last[0].T.reshape(1, 1, 2048, 17), names[1]: last[1]}


@pytest.mark.slow
def test_inception_v3_computes_what_torchvision_does() -> None:
    arrays, model = named_inception("torch"), small_inception("inception_v3_torchvision")
    last = torch_inception_v3(model, arrays, "w.pth")
    images = (pixels(SIZE, 1) / 127.5 - 1).astype(np.float32)
    features, logits = reference_networks.torch_inception_v3(images.transpose(0, 3, 1, 2).astype(np.float64), arrays)
    found = np.asarray(model(images))
    alike(found, features)
    assert last is not None
    alike(found @ last[0] + last[1], logits)
    assert features.std() > 0.05


def test_inception_v3_computes_what_slim_does() -> None:
    arrays, model = named_inception("slim"), small_inception("inception_v3")
    last = slim_inception_v3(model, arrays, "model.ckpt")
    images = (pixels(SIZE, 1) / 127.5 - 1).astype(np.float32)
    features, logits = reference_networks.slim_inception_v3(images.transpose(0, 3, 1, 2).astype(np.float64), arrays)
    found = np.asarray(model(images))
    alike(found, features)
    assert last is not None
    alike(found @ last[0] + last[1], logits)


@pytest.mark.slow
def test_a_checkpoint_of_tensorflow_1(tmp_path: Path) -> None:
    """As Open Images released it: with a second head and what its optimizer kept, which are left out."""
    import tensorflow as tf

    arrays = named_inception("slim") | {
        "InceptionV3/AuxLogits/Conv2d_2b_1x1/weights": np.ones((1, 1, 768, 17), np.float32),
        "InceptionV3/Conv2d_1a_3x3/weights/RMSProp": np.ones((3, 3, 3, 32), np.float32),
        "global_step": np.array(49_000_000),
    }
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        variables = {name: tf.compat.v1.get_variable(name, initializer=array) for name, array in arrays.items()}
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.train.Saver(variables).save(session, str(tmp_path / "model.ckpt"))
    (tmp_path / "classes.txt").write_text("".join(f"/m/{i}\n" for i in range(17)))
    given: dict[str, Any] = {"weights": tmp_path / "model.ckpt", "network": "inception_v3", "output": tmp_path / "out"}
    with pytest.raises(NlcliError, match="ends in 17 classes, not ImageNet's 1000; name them with --classes FILE"):
        import_weights(ImportWeights(**given))
    given["classes"] = tmp_path / "classes.txt"
    with pytest.raises(NlcliError, match="--classes needs --activation"):
        import_weights(ImportWeights(**given), force=True)
    backbone = load_backbone(import_weights(ImportWeights(**given, activation="sigmoid"), force=True))
    assert backbone.classes == tuple(f"/m/{i}" for i in range(17))
    images = pixels(299, 1)
    model = BACKBONES["inception_v3"].network(299, None)
    last = slim_inception_v3(model, arrays, "")
    expected = np.asarray(model((images / 127.5 - 1).astype(np.float32))) @ last[0] + last[1]
    alike(backbone.inference(output="probabilities")(images), 1 / (1 + np.exp(-expected)))


@pytest.mark.slow
def test_a_keras_weights_file(tmp_path: Path) -> None:
    import keras

    model = keras.applications.ResNet50(weights=None)
    rng = np.random.default_rng(1)
    for layer in model.layers:
        if layer.name.endswith("_bn"):
            n = layer.gamma.shape[0]
            gamma = rng.uniform(0.2, 0.4, n) if layer.name.endswith("3_bn") else rng.uniform(0.8, 1.2, n)
            layer.set_weights([gamma, rng.normal(0, 0.1, n), rng.normal(0, 0.1, n), rng.uniform(0.8, 1.2, n)])
        elif layer.name.endswith("_conv"):
            layer.bias.assign(rng.normal(0, 0.1, layer.bias.shape))
    model.save_weights(tmp_path / "resnet50.weights.h5")
    config = ImportWeights(weights=tmp_path / "resnet50.weights.h5", network="resnet50", output=tmp_path / "out")
    backbone = load_backbone(import_weights(config))
    assert (backbone.name, backbone.classes) == ("resnet50", imagenet_classes())
    images = pixels(224, 1)
    blue_first = first(images)[:, ::-1] - np.array([103.939, 116.779, 123.68]).reshape(3, 1, 1)
    expected = reference_networks.keras_resnet50(blue_first, lambda name: model.get_layer(name).get_weights())
    alike(backbone.inference(output="features")(images), expected)


# --- parts -----------------------------------------------------------------------------------


def test_response_normalisation_is_caffes() -> None:
    from nlcli.networks.architectures import LocalResponseNorm

    x = np.random.default_rng(0).normal(0, 60, (2, 7, 5, 5)).astype(np.float32)
    own = LocalResponseNorm(1.0, 1e-4 / 5)(x.transpose(0, 2, 3, 1))
    alike(np.asarray(own).transpose(0, 3, 1, 2), reference_networks.response_norm(x.astype(np.float64)))
    # One channel, by hand: 100 / (1 + 1e-4 / 5 * 100 ** 2) ** 0.75.
    alone = np.full((1, 1, 1, 1), 100, np.float32)
    assert float(np.asarray(LocalResponseNorm(1.0, 1e-4 / 5)(alone)).item()) == pytest.approx(100 / 1.2**0.75)


def test_networks_of_0_1_0_keep_their_response_normalisation() -> None:
    from nlcli.networks.architectures import LocalResponseNorm

    old = LocalResponseNorm.from_config({"name": "norm1"})  # as 0.1.0 saved it
    alone = np.full((1, 1, 1, 1), 100, np.float32)
    assert float(np.asarray(old(alone)).item()) == pytest.approx(100 / 3.0**0.75)


def test_alexnet_begins_with_caffes_values() -> None:
    model = BACKBONES["alexnet"].network(227, None)
    for name, deviation, bias in (
        ("conv1", 0.01, 0.0),
        ("conv2", 0.01, 1.0),
        ("conv3", 0.01, 0.0),
        ("conv4", 0.01, 1.0),
        ("conv5", 0.01, 1.0),
        ("fc6", 0.005, 1.0),
        ("fc7", 0.005, 1.0),
    ):
        kernel, biases = model.get_layer(name).get_weights()
        assert kernel.std() == pytest.approx(deviation, rel=0.02)
        assert (biases == bias).all()


def test_a_channel_and_a_place_of_pool5_come_out_where_fc6_looks_for_them() -> None:
    model, blobs = BACKBONES["alexnet"].network(227, None), caffenet_blobs()
    channel, row, column = 200, 4, 1
    blobs["fc6"][0][:] = 0
    blobs["fc6"][0][7, channel * 36 + row * 6 + column] = 3.0
    caffenet(model, blobs, "net.caffemodel")
    kernel = model.get_layer("fc6").get_weights()[0]
    assert np.argwhere(kernel).tolist() == [[(row * 6 + column) * 256 + channel, 7]]
    # The second group of conv2 does not see the first half of the channels.
    conv2 = model.get_layer("conv2").get_weights()[0]
    assert not conv2[:, :, :48, 128:].any()
    assert not conv2[:, :, 48:, :128].any()


# --- what is refused -------------------------------------------------------------------------


def test_what_cannot_be_imported(tmp_path: Path) -> None:
    def refused(name: str, network: str, message: str, **more: Any) -> None:
        config = ImportWeights(weights=tmp_path / name, network=network, output=tmp_path / "out", **more)
        with pytest.raises(NlcliError, match=message):
            import_weights(config, force=True)
        assert not (tmp_path / "out").exists()

    refused("none.pth", "resnet50", "there is no file .*none.pth, nor a checkpoint")
    (tmp_path / "w.bin").write_bytes(b"x")
    refused("w.bin", "resnet50", "is of no kind that is read here: .caffemodel, .h5")
    arrays = torch_resnet50_arrays()
    write_safetensors(tmp_path / "w.safetensors", arrays)
    refused(
        "w.safetensors", "alexnet", "PyTorch's files are read as resnet50 or inception_v3; unknown network 'alexnet'"
    )
    refused(
        "w.safetensors", "inception_v3", "has no 'Conv2d_1a_3x3.conv.weight', which the weights of torchvision's Inc"
    )
    write_safetensors(tmp_path / "w.safetensors", arrays | {"layer3.2.conv2.weight": np.ones((2, 2), np.float32)})
    refused("w.safetensors", "resnet50", r"layer 'layer3_2_2_conv' takes \(3, 3, 256, 256\), the file has")
    write_safetensors(tmp_path / "w.safetensors", arrays | {"bn1.bias": np.full(64, np.nan, np.float32)})
    refused("w.safetensors", "resnet50", "layer 'stem_bn' contain NaN or infinity")
    np.savez(tmp_path / "w.npz", **{"conv1/0": np.ones((96, 3, 11, 11)), "conv1/1": np.ones(96)})
    refused("w.npz", "alexnet", "has no layer 'conv2' with weights and bias; give the weights of a CaffeNet")
