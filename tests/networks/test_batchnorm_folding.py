"""Networks with BatchNorm folded compute what they did."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from nlcli.networks.architectures import BACKBONES
from nlcli.networks.backbone import scale_pixels
from nlcli.networks.batchnorm_folding import absorbs_scaling, folded_layers, inference_copy
from nlcli.networks.weights import build_backbone
from worlds.networks import pixels, randomise_norms, relative

# One of a kind is folded in `make test`: of the same layers, these take long to build.
_TWINS = {"alexnet", "inception_v3_torchvision", "resnet50_torchvision"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in _TWINS else ()) for name in sorted(BACKBONES)]
)
def test_folding_is_exact_in_every_registered_network(name: str) -> None:
    backbone = build_backbone(name, "none", classes=("a", "b", "c"), image_size=227 if name == "alexnet" else 96)
    norms = randomise_norms(backbone.model)
    assert folded_layers(backbone.model) == norms  # all of them, in all of these networks
    assert backbone.num_features == BACKBONES[name].num_features
    images = pixels(backbone.preprocessing.size)
    expected = backbone.model(scale_pixels(images, backbone.preprocessing.scaling), training=False)
    computed = backbone.inference("float32", "features")(images).numpy()
    assert computed.dtype == np.float32
    assert relative(computed, expected["features"].numpy()) < 1e-4


@pytest.mark.parametrize("name", ["mobilenet_v2", "small_cnn"])
def test_bfloat16_features_point_the_same_way(name: str) -> None:
    backbone = build_backbone(name, "none", image_size=96)
    randomise_norms(backbone.model)
    images = pixels(96, 8)
    exact, low = (backbone.inference(precision)(images).numpy() for precision in ("float32", "bfloat16"))
    cosine = (low * exact).sum(1) / np.linalg.norm(low, axis=1) / np.linalg.norm(exact, axis=1)
    assert cosine.min() > 0.999
    assert relative(low, exact) > 1e-5  # it was computed in fewer digits


def test_folding_against_a_formula() -> None:
    """A 1x1 convolution and a BatchNorm on one pixel, worked by hand."""
    inputs = layers.Input((1, 1, 1))
    outputs = layers.BatchNormalization(epsilon=0.0, name="norm")(layers.Conv2D(1, 1, name="conv")(inputs))
    model = keras.Model(inputs, outputs)
    model.get_layer("conv").set_weights([np.full((1, 1, 1, 1), 3.0), np.array([1.0])])
    model.get_layer("norm").set_weights([np.array([2.0]), np.array([0.5]), np.array([4.0]), np.array([16.0])])
    copied = inference_copy(model)
    # x = 5: convolution 16; (16 - 4) / sqrt(16) * 2 + 0.5 = 6.5; kernel 3 * 2 / 4, bias (1 - 4) / 2 + 0.5
    assert float(copied(np.full((1, 1, 1, 1), 5.0))[0, 0, 0, 0]) == 6.5
    kernel, bias = copied.get_layer("conv").get_weights()
    assert (kernel.item(), bias.item()) == (1.5, -1.0)


def mixed_network() -> keras.Model:
    """Everything folding has to tell apart: separable, depthwise, dense, shared, used twice, nested."""
    inputs = layers.Input((16, 16, 3))
    x = layers.BatchNormalization(name="first")(inputs)  # nothing before it
    x = layers.SeparableConv2D(8, 3, 2, "same", depth_multiplier=2)(x)
    x = layers.BatchNormalization()(x)  # foldable
    x = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, use_bias=False)(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization(scale=False)(x))  # foldable
    y = layers.Conv2D(16, 3, padding="same", name="twice")(x)
    z = layers.BatchNormalization(center=False)(y)  # not: its input is added below as well
    x = layers.Add()([y, z])
    x = layers.BatchNormalization()(layers.Conv2D(16, 3, activation="relu")(x))  # not: behind a relu
    shared = layers.Conv2D(16, 1, use_bias=False)
    x = layers.Concatenate()([layers.BatchNormalization()(shared(x)), shared(x)])  # not: shared
    inner = layers.Input((4, 4, 32))
    nested = keras.Model(inner, layers.BatchNormalization()(layers.Conv2D(8, 1)(inner)), name="nested")
    x = layers.GlobalAveragePooling2D()(nested(layers.Cropping2D(1)(x)))
    x = layers.BatchNormalization()(layers.Dense(6, use_bias=False)(x))  # foldable
    return keras.Model(inputs, {"features": x, "twice": keras.ops.tanh(x)})


def test_folding_leaves_alone_what_it_must() -> None:
    model = mixed_network()
    randomise_norms(model)
    randomise_norms(model.get_layer("nested"), seed=1)
    assert folded_layers(model) == 3
    assert folded_layers(model.get_layer("nested")) == 1
    assert not absorbs_scaling(model)
    x = np.random.default_rng(0).normal(size=(4, 16, 16, 3)).astype(np.float32)
    expected = model(x, training=False)
    for precision, most in (("float32", 1e-5), ("bfloat16", 0.05), ("float16", 0.01)):
        computed = inference_copy(model, precision)(x, training=False)
        for key in expected:
            assert relative(np.asarray(computed[key], np.float32), expected[key].numpy()) < most
