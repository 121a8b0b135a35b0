"""The registered networks."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from nlcli.networks.architectures import BACKBONES, LocalResponseNorm
from nlcli.networks.backbone import scale_pixels
from nlcli.networks.weights import build_backbone
from worlds.networks import pixels


def test_scaling_matches_keras_applications() -> None:
    images = pixels(8).astype(np.float32)
    for scaling, module in (("caffe", keras.applications.resnet50), ("tf", keras.applications.inception_v3)):
        expected = module.preprocess_input(images.copy())
        np.testing.assert_allclose(np.asarray(scale_pixels(images, scaling)), expected, atol=1e-5)
    assert BACKBONES["resnet50"].preprocessing.scaling == "caffe"
    assert BACKBONES["inception_v3"].preprocessing.size == 299


def test_local_response_norm_by_hand() -> None:
    x = np.arange(1, 8, dtype=np.float32).reshape(1, 1, 1, 7) * 100
    computed = np.asarray(LocalResponseNorm()(x)).ravel()
    # Channel 3 sees channels 1 to 5: 200^2 + 300^2 + 400^2 + 500^2 + 600^2 = 900,000.
    assert computed[3] == pytest.approx(400 / (2 + 1e-4 * 900_000) ** 0.75, rel=1e-5)
    assert computed[0] == pytest.approx(100 / (2 + 1e-4 * (100**2 + 200**2 + 300**2)) ** 0.75, rel=1e-5)


def test_seed_decides_the_weights() -> None:
    def fingerprint(seed: int) -> str:
        return build_backbone("small_cnn", "none", classes=("a", "b"), seed=seed).fingerprint

    assert fingerprint(1) == fingerprint(1)
    assert fingerprint(1) != fingerprint(2)


@pytest.mark.slow
def test_small_cnn_learns_from_scratch() -> None:
    """Which corner is bright: four epochs over 256 images suffice."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 256)
    images = rng.integers(0, 100, (256, 64, 64, 3)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        y, x = 32 * (label // 2), 32 * (label % 2)
        image[y : y + 32, x : x + 32, label % 3] += 100
    backbone = build_backbone("small_cnn", "none", classes=tuple("abcd"), activation="softmax")
    model = keras.Model(backbone.model.input, backbone.model.output["logits"])
    model.compile(keras.optimizers.Adam(2e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(np.asarray(scale_pixels(images, "unit")), labels, batch_size=16, epochs=4, verbose=0, shuffle=False)
    scores = backbone.inference(output="logits")(images).numpy()
    assert (scores.argmax(1) == labels).mean() > 0.9
