"""Veit's cleaning net trained alone behind a trained network (Veit 2017, section 4.3): the classifier does not move."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from nlcli.data.label_files import read_dataset
from nlcli.data.labels import single_label_table
from nlcli.methods import configure, get_method
from nlcli.methods.base.contract import Problem
from nlcli.training.config import TrainHead
from nlcli.training.head_on_images import TRUNK, ImageFeed, MethodOnImages
from nlcli.training.loop.contract import Settings
from nlcli.training.loop.train import train
from worlds.drawn_images import draw_images
from worlds.stage_builders import published

OPTIONS: dict[str, Any] = {
    "variant": "pretrained",
    "pretrain_steps": 4,
    "steps": 4,
    "cleaning_rate": 1e-2,
    "pretrain_rate": 1e-2,
    "learning_rate": 1e-2,
    "weight_decay": 0.1,
    "batch_size": 8,
    "start": "new",
}


def test_the_cleaning_net_is_trained_alone(tmp_path: Path) -> None:
    """Neither the network's weights nor its statistics of batches, so that h says the same to the bit."""
    rng = np.random.default_rng(0)
    true = rng.integers(3, size=40)
    noisy = np.where(rng.random(40) < 0.33, (true + 1) % 3, true)
    names = [f"{i:03d}.jpg" for i in range(40)]
    table = single_label_table(
        ("red", "green", "blue"), names, names, tmp_path / "images", np.repeat([0, 1], [32, 8]), noisy, true
    )
    draw_images(table, tmp_path / "images")
    config = TrainHead(
        dataset=published(table, tmp_path / "dataset"),
        output=tmp_path / "run",
        from_images="small_cnn",
        weights="none",
        image_size=32,
        trunk="trained",
        trunk_rate=1e-2,
        method="veit",
        options=OPTIONS,
        clean_fraction=0.5,
        workers=1,
        flip="none",
    )
    feed = ImageFeed(config, read_dataset(config.dataset), tmp_path)
    method: Any = get_method("veit")(configure("veit", OPTIONS), Problem(256, table.classes, "single-label"))
    made = feed.prepare(method, method.phases(), 0.5, None)
    model: MethodOnImages = made.model  # type: ignore[assignment]
    cleaning, joint = made.phases
    assert (TRUNK in cleaning.rates, TRUNK in joint.rates) == (False, True)
    images = rng.integers(0, 256, (8, 32, 32, 3)).astype(np.uint8)
    labels = np.eye(3, dtype=np.float32)[rng.integers(3, size=8)]

    def said() -> tuple[np.ndarray, np.ndarray]:
        features = tf.constant(model.trunk.features(images))
        return method.score(features, "classifier").numpy(), method.unclipped(labels, features).numpy()

    new = said()
    train(model, [cleaning], made.source, None, Settings(eval_every=100), tmp_path)
    alone = said()
    np.testing.assert_array_equal(alone[0], new[0])
    assert np.abs(alone[1] - new[1]).max() > 1e-3
