"""Noise types behind two trained networks (Xiao 2015, section 4): what is held fixed does not move."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from nlcli.data.label_files import read_dataset
from nlcli.data.labels import single_label_table, verified_pairs
from nlcli.methods import configure, get_method
from nlcli.methods.base.contract import Problem
from nlcli.networks.side_by_side import halves, side_by_side
from nlcli.networks.weights import build_backbone, load_backbone, save_backbone
from nlcli.training.config import TrainHead
from nlcli.training.head_on_images import OWN_TRUNK, TRUNK, ImageFeed, MethodOnImages
from nlcli.training.loop.contract import Settings
from nlcli.training.loop.train import train
from worlds.drawn_images import draw_images
from worlds.stage_builders import published

OPTIONS: dict[str, Any] = {
    "pretrain_steps": 12,
    "first_steps": 20,
    "steps": 12,
    "optimizer": "sgd",
    "learning_rate": 1e-2,
    "pretrain_rate": 1e-2,
    "weight_decay": 0.1,
    "batch_size": 16,
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 images of one colour each; a third of the noisy labels name the next one. 90 train, 30 validation."""
    root = tmp_path_factory.mktemp("colours")
    rng = np.random.default_rng(0)
    true = rng.integers(3, size=120)
    noisy = np.where(rng.random(120) < 0.33, (true + 1) % 3, true)
    names = [f"{i:03d}.jpg" for i in range(120)]
    splits = np.repeat([0, 1], [90, 30])
    table = single_label_table(("red", "green", "blue"), names, names, root / "images", splits, noisy, true)
    draw_images(table, root / "images")
    return published(table, root / "dataset")


def test_two_networks_side_by_side(tmp_path: Path) -> None:
    one = build_backbone("small_cnn", "none", image_size=32, classes=("a", "b"))
    two = side_by_side(one)
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)
    features = one.inference()(images).numpy()
    np.testing.assert_allclose(two.inference()(images).numpy(), np.concatenate([features] * 2, axis=1), rtol=1e-5)
    assert (two.num_features, two.classes) == (512, None)
    first, second = halves(two.model)
    first.trainable_variables[0].assign(np.zeros(first.trainable_variables[0].shape))
    changed = two.inference()(images).numpy()
    np.testing.assert_allclose(changed[:, 256:], features, rtol=1e-5)  # weights of its own
    assert np.abs(changed[:, :256] - features).max() > 1e-3
    assert not {id(v) for v in first.variables} & {id(v) for v in second.variables}
    save_backbone(tmp_path / "two", two)
    np.testing.assert_array_equal(load_backbone(tmp_path / "two").inference()(images).numpy(), changed)
    assert halves(one.model) == []


def prepared(dataset: Path, folder: Path) -> tuple[Any, Any, Any]:
    table = read_dataset(dataset)
    config = TrainHead(
        dataset=dataset,
        output=folder / "run",
        from_images="small_cnn",
        weights="none",
        image_size=32,
        trunk="trained",
        trunk_rate=1e-2,
        method="noise-types",
        options=OPTIONS,
        clean_fraction=0.5,
        workers=1,
        flip="none",
    )
    feed = ImageFeed(config, table, folder)
    assert (feed.start.num_features, feed.start.two_trunks) == (512, True)
    pairs = verified_pairs(table, table.rows("train"))
    problem = Problem(512, table.classes, "single-label", pairs, two_trunks=True)
    method = get_method("noise-types")(configure("noise-types", OPTIONS), problem)
    return feed, method, feed.prepare(method, method.phases(), 0.5, None)


def test_what_is_held_fixed_does_not_move(dataset: Path, tmp_path: Path) -> None:
    """Weight decay, statistics of batches and the loss of the classes leave p(z | x) as it is, bit for bit."""
    _, method, made = prepared(dataset, tmp_path)
    model: MethodOnImages = made.model
    pretrain, fixed, em = made.phases
    assert {phase.name: OWN_TRUNK in phase.rates for phase in made.phases} == {
        "pretrain": True,
        "fixed-types": False,
        "em": True,
    }
    assert all(TRUNK in phase.rates for phase in made.phases)
    images = np.random.default_rng(1).integers(0, 256, (8, 32, 32, 3)).astype(np.uint8)

    def predictions() -> tuple[np.ndarray, np.ndarray]:
        features = tf.constant(model.trunk.features(images))
        return method.score(features, "classifier").numpy(), method.noise_type_probabilities(features).numpy()

    def run(phase: Any) -> tuple[np.ndarray, np.ndarray]:
        folder = tmp_path / phase.name
        folder.mkdir()
        train(model, [phase], made.source, None, Settings(eval_every=100), folder)
        return predictions()

    new = predictions()
    before = run(pretrain)
    assert np.abs(before[1] - new[1]).max() > 1e-3
    after = run(fixed)
    np.testing.assert_array_equal(after[1], before[1])
    assert np.abs(after[0] - before[0]).max() > 1e-2
    assert np.abs(run(em)[1] - after[1]).max() > 1e-4
