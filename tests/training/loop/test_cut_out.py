"""Training cuts a network's square out of a larger one at random; inference takes its middle (CaffeNet's 227 of 256)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from nlcli.data.label_files import read_dataset
from nlcli.networks.image_batches import iterate_images
from nlcli.networks.weights import build_backbone, load_backbone, save_backbone
from nlcli.stages.files import fingerprint_json, read_json
from nlcli.training.config import TrainHead
from nlcli.training.loop.augmentation import DRAWS, Augmentation
from nlcli.training.saved_head import load_head
from nlcli.training.train_head import train_head
from worlds.drawn_images import make_dataset


def test_what_is_cut_out_are_the_pixels_themselves() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (64, 256, 256, 3)).astype(np.uint8)
    draws = rng.random((64, DRAWS)).astype(np.float32)
    draws[0, 3:], draws[1, 3:] = 0.0, np.nextafter(np.float32(1), np.float32(0))
    cut = Augmentation("none", 1.0, 227)(tf.constant(images), tf.constant(draws)).numpy()
    first = np.floor(draws[:, 3:5] * 30).astype(int)
    assert first[0].tolist() == [0, 0]
    assert first[1].tolist() == [29, 29]
    for image, (top, left), out in zip(images, first, cut, strict=True):
        np.testing.assert_array_equal(out, image[top : top + 227, left : left + 227])
    assert not Augmentation("none", 1.0, 227).does_nothing


def test_a_network_with_a_margin_is_trained_on_parts_and_scores_the_middle(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    made = build_backbone("small_cnn", "none", image_size=24)
    save_backbone(tmp_path / "margin", replace(made, preprocessing=made.preprocessing.model_copy(update={"margin": 8})))
    config = TrainHead(
        dataset=dataset,
        output=tmp_path / "run",
        from_images=str(tmp_path / "margin"),
        trunk="trained",
        trunk_rate=1e-3,
        method="noisy",
        steps=12,
        eval_every=6,
        batch_size=16,
        workers=1,
    )
    run = train_head(config)
    backbone = load_backbone(run / "backbone")
    assert (backbone.preprocessing.size, backbone.preprocessing.margin) == (24, 8)
    table, head = read_dataset(dataset), load_head(run)
    paths = [table.image_path(int(row)) for row in table.rows("validation")]
    pixels = np.concatenate([part.images for part in iterate_images(paths, backbone.preprocessing, 16)])
    assert pixels.shape[1:] == (24, 24, 3)
    scores = head.score(backbone.inference()(pixels).numpy())
    positions, classes, labels = table.verified_entries(table.rows("validation"))
    from nlcli.metrics.ranking import average_precision

    measured = read_json(run / "result.json")["validation"]["AP_all"]
    assert average_precision(labels, scores[positions, classes]) == pytest.approx(measured, abs=1e-3)


def test_networks_without_a_margin_keep_their_fingerprints() -> None:
    made = build_backbone("small_cnn", "none", image_size=24)
    described = made.preprocessing.model_dump(exclude={"decode", "margin"})
    assert described == {"size": 24, "resize": "stretch", "scaling": "unit"}  # what 0.1.0 hashed
    other = replace(made, preprocessing=made.preprocessing.model_copy(update={"margin": 8}))
    assert other.fingerprint != made.fingerprint
    assert fingerprint_json(described) != fingerprint_json(other.preprocessing.model_dump(exclude={"decode"}))
