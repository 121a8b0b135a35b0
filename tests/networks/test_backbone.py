"""Backbones: what they compute, and how fast ways compute the same."""

from __future__ import annotations

import numpy as np
import pytest

from nlcli.errors import NlcliError
from nlcli.networks import backbone as backbones
from nlcli.networks.backbone import Backbone, Inference, resolve_precision, scale_pixels
from nlcli.networks.images import Preprocessing
from nlcli.networks.weights import build_backbone
from worlds.networks import pixels, relative


def test_inference_is_a_copy(small: Backbone) -> None:
    images = pixels(64)
    run = small.inference()
    before = run(images).numpy()
    kernel = small.model.get_layer("conv1").kernel
    kept = kernel.numpy()
    kernel.assign(kept * 2)
    np.testing.assert_array_equal(run(images).numpy(), before)
    kernel.assign(kept)


@pytest.mark.parametrize("scaling", ["caffe", "tf", "unit", "raw"])
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_pixel_scaling_is_absorbed_exactly(scaling: str, precision: str) -> None:
    made = build_backbone("small_cnn", "none", classes=("a", "b"))
    backbone = Backbone("x", made.model, Preprocessing(size=64, scaling=scaling), made.classes)
    images = pixels(64)
    expected = made.model(scale_pixels(images, scaling), training=False)["features"].numpy()
    computed = backbone.inference(precision)(images).numpy()
    assert relative(computed, expected) < (1e-5 if precision == "float32" else 5e-3)


def test_outputs_of_inference(small: Backbone) -> None:
    images = pixels(64, 5)
    logits = small.inference(output="logits")(images).numpy()
    features = small.inference(output="features")(images).numpy()
    last = small.last_layer
    assert last is not None
    np.testing.assert_allclose(features @ last.kernel + last.bias, logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        small.inference(output="probabilities")(images).numpy(), 1 / (1 + np.exp(-logits)), rtol=1e-5
    )
    soft = small.with_last_layer(last, activation="softmax")
    np.testing.assert_allclose(soft.inference(output="probabilities")(images).numpy().sum(1), 1, rtol=1e-5)
    with pytest.raises(NlcliError, match="has no classes"):
        small.without_classes().inference(output="logits")


def test_compiled_inference_fills_up_small_batches(small: Backbone) -> None:
    plain = small.inference()
    compiled = Inference(small, "float32", "features", compile_xla=True)
    images = pixels(64, 6)
    for count in (6, 1, 4):
        computed = compiled(images[:count]).numpy()
        np.testing.assert_allclose(computed, plain(images[:count]).numpy(), rtol=1e-4, atol=1e-5)
        assert len(computed) == count


def test_auto_precision_follows_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backbones, "gpus", list)
    monkeypatch.setattr(backbones, "cpu_flags", lambda: frozenset({"avx2"}))
    assert resolve_precision("auto") == "float32"
    monkeypatch.setattr(backbones, "cpu_flags", lambda: frozenset({"avx2", "amx_bf16"}))
    assert resolve_precision("auto") == "bfloat16"
    assert resolve_precision("float16") == "float16"


def test_weights_that_are_not_finite_are_named() -> None:
    made = build_backbone("small_cnn", "none")
    made.model.get_layer("conv3").kernel.assign(made.model.get_layer("conv3").kernel.numpy() * np.float32(np.nan))
    with pytest.raises(NlcliError, match="weights 'conv3/kernel' of backbone small_cnn contain NaN"):
        made.inference()
