"""Whole networks trained on images: what they learn, what they resume to, what they leave out."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from nlcli.data.label_files import read_dataset
from nlcli.data.labels import LabelTable, choose_clean, clean_set_record, matrix_from_lists
from nlcli.errors import NlcliError
from nlcli.methods.base.contract import Batch, Phase, Schedule
from nlcli.metrics.ranking import ap_all
from nlcli.networks.backbone_record import BackboneRecord
from nlcli.networks.image_batches import iterate_images
from nlcli.networks.images import Preprocessing
from nlcli.networks.training_copy import FusedBatchNorm, is_folded, training_copy
from nlcli.networks.weights import load_backbone
from nlcli.stages.files import read_json
from nlcli.stages.stage import read_stage
from nlcli.training.loop import image_source, pace
from nlcli.training.loop.augmentation import DRAWS, Augmentation
from nlcli.training.loop.checkpoints import CHECKPOINT
from nlcli.training.loop.contract import Block, Settings
from nlcli.training.loop.image_source import ImageSource, ImageTable
from nlcli.training.loop.optimizers import OPTIMIZERS
from nlcli.training.loop.steps import StepFunction
from nlcli.training.network import Network
from nlcli.training.pretrain_backbone import pretrain_backbone, starting_backbone, training_rows
from worlds.drawn_images import SIZE, config, draw_images, make_dataset
from worlds.stage_builders import published

PRE = Preprocessing(size=SIZE, scaling="unit")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("colours"))


@pytest.fixture(scope="module")
def trained(dataset: Path) -> Path:
    """A small network trained on the noisy labels."""
    return pretrain_backbone(config(dataset, dataset.parent / "backbone"))


# --- the stage -------------------------------------------------------------------------------


def test_learns_and_the_saved_backbone_is_the_one_that_was_validated(dataset: Path, trained: Path) -> None:
    table, backbone = read_dataset(dataset), load_backbone(trained)
    result = read_json(trained / "result.json")
    history = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in history] == [0, 10, 20, 30]
    best = max(history, key=lambda line: line["validation"]["AP_all"])
    assert result["selected_by"] == {"split": "validation", "metric": "AP_all", "value": best["validation"]["AP_all"]}
    assert result["step"] == best["step"]
    assert best["validation"]["AP_all"] > 0.85 > history[0]["validation"]["AP_all"] + 0.1

    # The folded network that others use, on the images as files, gives the figure that chose it:
    # so weights and BatchNorm's statistics are those of the best step.
    rows = table.rows("validation")
    batch = next(iterate_images([table.image_path(row) for row in rows], backbone.preprocessing, len(rows)))
    scores = backbone.inference(output="probabilities")(batch.images).numpy()
    assert ap_all(table.verified_targets(rows)[0], scores) == pytest.approx(result["selected_by"]["value"], abs=1e-3)

    assert backbone.classes == table.classes
    assert backbone.activation == "sigmoid"
    assert backbone.preprocessing.size == SIZE
    assert backbone.history[-1]["dataset_fingerprint"] == table.fingerprint
    assert backbone.history[-1]["labels"] == "noisy"
    norm = backbone.model.get_layer("norm1")
    assert np.abs(norm.moving_mean.numpy()).max() > 0.01
    summary = read_stage(trained, "backbone").summary
    assert summary["best_step"] == best["step"]
    assert summary["training_images"] == int((np.diff(table.noisy.indptr)[table.rows("train")] > 0).sum())
    assert summary["images_per_second"] > 0
    assert not (trained / CHECKPOINT).exists()
    events = list((trained / "tensorboard").iterdir())
    assert len(events) == 1
    assert b"validation/AP_all" in events[0].read_bytes()
    assert not any(name.startswith("tensorboard") for name in read_stage(trained).files)


_KILLED = """
import sys
sys.path[:0] = [{tests!r}, {root!r}]
from pathlib import Path
from nlcli.training.loop import pace
from nlcli.training.pretrain_backbone import pretrain_backbone
pace.IMAGE_CHECKPOINT_SECONDS = 0.0
pace.BLOCK_SECONDS = 1e-9
pace.FIRST_BLOCK = 1
from worlds.drawn_images import config
pretrain_backbone(config(Path({dataset!r}), Path({output!r})))
"""


def test_killed_and_resumed_without_its_images_in_memory_it_ends_the_same(
    dataset: Path, trained: Path, tmp_path: Path
) -> None:
    """SIGKILL between two evaluations; the rest is done with other blocks, decoding as it goes."""
    output, tests = tmp_path / "killed", Path(__file__).parents[1]
    code = _KILLED.format(tests=str(tests), root=str(tests.parent), dataset=str(dataset), output=str(output))
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    checkpoint = tmp_path / "killed.partial" / CHECKPOINT
    step, deadline = 0, time.monotonic() + 120
    while not 10 < step < 30:
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
        if checkpoint.exists():
            with np.load(checkpoint) as arrays:  # it is replaced as a whole, never written in place
                step = json.loads(str(arrays["position"]))["step"]
    process.send_signal(signal.SIGKILL)
    process.wait()
    resumed = pretrain_backbone(config(dataset, output, memory=1e-4))
    assert read_stage(resumed).summary["in_memory"] is False
    assert read_stage(resumed).fingerprint == read_stage(trained).fingerprint
    assert (resumed / "metrics.jsonl").read_bytes() == (trained / "metrics.jsonl").read_bytes()


def test_fine_tuning_the_last_layer_starts_from_the_saved_one_and_changes_nothing_else(
    dataset: Path, trained: Path, tmp_path: Path
) -> None:
    made = pretrain_backbone(
        config(
            dataset,
            tmp_path / "last",
            weights=str(trained),
            trainable="last",
            labels="verified",
            clean_fraction=0.2,
            steps=4,
            eval_every=4,
            seed=3,
            learning_rate=1e-5,
        )
    )
    before, after = load_backbone(trained), load_backbone(made)
    first = json.loads((made / "metrics.jsonl").read_text().splitlines()[0])
    chosen = read_json(trained / "result.json")["selected_by"]["value"]
    assert first["validation"]["AP_all"] == pytest.approx(chosen, abs=1e-6)
    differs = [
        v.path
        for v, w in zip(before.model.weights, after.model.weights, strict=True)
        if not np.array_equal(v.numpy(), w.numpy())
    ]
    assert set(differs) <= {"logits/kernel", "logits/bias"}
    result, table = read_json(made / "result.json"), read_dataset(dataset)
    assert result["last_layer"] == "kept"
    rows = choose_clean(table, 0.2, 3)
    assert result["clean"] == clean_set_record(table, rows) | {"fraction": 0.2, "seed": 3}
    assert result["training_images"] == len(rows) == 18
    assert len(after.history) == len(before.history) + 1


def test_a_last_layer_follows_its_classes_or_is_made_anew(dataset: Path, trained: Path, tmp_path: Path) -> None:
    table, settings = read_dataset(dataset), config(dataset, tmp_path, weights=str(trained))
    kernel = load_backbone(trained).last_layer.kernel
    turned, kept = starting_backbone(settings, replace(table, classes=("c2", "c0", "c1")))
    assert kept
    assert turned.classes == ("c2", "c0", "c1")
    np.testing.assert_array_equal(turned.last_layer.kernel, kernel[:, [2, 0, 1]])
    fresh, kept = starting_backbone(settings, replace(table, classes=("c0", "c1", "other")))
    assert not kept
    assert fresh.classes == ("c0", "c1", "other")
    np.testing.assert_array_equal(
        fresh.model.get_layer("conv2").kernel.numpy(), turned.model.get_layer("conv2").kernel.numpy()
    )
    _, kept = starting_backbone(settings, replace(table, task="single-label"))
    assert not kept  # a layer trained as sigmoids is no softmax


def test_single_label_data_get_a_softmax_and_are_chosen_by_accuracy(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=120)
    given = np.where(rng.random(120) < 0.2, (truth + 1) % 3, truth)
    made = make_dataset(
        tmp_path,
        task="single-label",
        present=matrix_from_lists([[c] for c in truth], 3),
        noisy=matrix_from_lists([[c] for c in given], 3, [[1.0]] * 120),
    )
    output = pretrain_backbone(config(made, tmp_path / "out", optimizer="adam", flip="horizontal", patience=1))
    backbone, table = load_backbone(output), read_dataset(made)
    assert backbone.activation == "softmax"
    result = read_json(output / "result.json")
    assert result["selected_by"]["metric"] == "top_1"
    rows = table.rows("validation")
    batch = next(iterate_images([table.image_path(row) for row in rows], backbone.preprocessing, len(rows)))
    scores = backbone.inference(output="probabilities")(batch.images).numpy()
    assert (scores.argmax(axis=1) == truth[rows]).mean() == pytest.approx(result["selected_by"]["value"], abs=0.04)
    assert result["selected_by"]["value"] > 0.8


def test_weights_that_do_not_fit_are_refused_in_a_sentence(dataset: Path, trained: Path, tmp_path: Path) -> None:
    for options, words in (
        ({"backbone": "small_cn"}, "unknown network 'small_cn'; did you mean 'small_cnn'"),
        ({"weights": "imagenett"}, "there are no weights imagenett"),
        ({"weights": str(trained), "backbone": "alexnet"}, "are of a small_cnn, not of a alexnet"),
        ({"weights": str(trained / "last_layer.npz")}, "cannot be read as HDF5"),
        ({"weights": str(dataset)}, "is a dataset directory; expected a backbone"),
        ({"devices": 99}, "--devices 99, but there are"),
    ):
        with pytest.raises(NlcliError, match=words):
            pretrain_backbone(config(dataset, tmp_path / "out", **options), force=True)


def test_a_loss_that_is_no_number_stops_between_two_steps(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(NlcliError, match=r"between steps \d+ and \d+ of phase 'noisy'; lower the learning rate"):
        pretrain_backbone(config(dataset, tmp_path / "out", optimizer="sgd", learning_rate=3e38, eval_every=30))


def test_a_data_set_without_labels_of_the_kind_is_refused(dataset: Path, tmp_path: Path) -> None:
    table = read_dataset(dataset)
    settings = config(dataset, tmp_path)
    with pytest.raises(NlcliError, match="has a noisy label; pass --labels verified"):
        training_rows(settings, replace(table, noisy=matrix_from_lists([[]] * 120, 3, [[]] * 120)))
    with pytest.raises(NlcliError, match="the clean set is empty"):
        training_rows(
            config(dataset, tmp_path, labels="verified"), replace(table, verification=np.zeros(120, np.uint8))
        )


# --- images ----------------------------------------------------------------------------------


@pytest.mark.parametrize("memory", [1.0, 1e-4])
def test_broken_images_are_left_out_counted_and_listed(tmp_path: Path, memory: float) -> None:
    made = make_dataset(tmp_path)
    table = read_dataset(made)
    labelled = table.rows("train")[np.diff(table.noisy.indptr)[table.rows("train")] > 0]
    broken = [int(labelled[0]), int(labelled[40]), int(table.rows("validation")[5])]
    table.image_path(broken[0]).write_bytes(b"")
    table.image_path(broken[1]).unlink()
    table.image_path(broken[2]).write_bytes(b"no image")
    output = pretrain_backbone(config(made, tmp_path / "out", memory=memory, steps=2, eval_every=2))
    with open(output / "unreadable.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["key"] for line in lines] == table.keys[broken].tolist()
    assert [line["split"] for line in lines] == ["train", "train", "validation"]
    assert [line["reason"] for line in lines] == [
        "the file is empty",
        "there is no such file",
        "not an image in a known format",
    ]
    result = read_json(output / "result.json")
    assert result["unreadable_images"] == {"train": 2, "validation": 1}
    assert result["training_images"] == len(labelled) - 2
    assert result["validation"]["images"] == 29
    assert not [path.name for path in output.iterdir() if path.name.startswith("seen")]


def test_without_a_readable_image_it_says_so(dataset: Path, tmp_path: Path) -> None:
    nowhere = published(replace(read_dataset(dataset), image_root=tmp_path / "moved"), tmp_path / "dataset")
    with pytest.raises(NlcliError, match=r"the pictures of .* are gone: there is no folder .*/moved; put them back"):
        pretrain_backbone(config(nowhere, tmp_path / "out"))
    (tmp_path / "moved").mkdir()
    with pytest.raises(NlcliError, match=r"none of the \d+ training images can be read; the first is .*moved"):
        pretrain_backbone(config(nowhere, tmp_path / "out"))


def image_table(table: LabelTable, folder: Path, budget: int, rows: np.ndarray | None = None) -> ImageTable:
    wanted = table.rows("train") if rows is None else rows
    return ImageTable(table, wanted, PRE, workers=2, budget=budget, seen=folder / "seen.json", title="training")


def test_images_kept_or_decoded_when_needed_are_the_same(dataset: Path, tmp_path: Path) -> None:
    table = read_dataset(dataset)
    phase = Phase("noisy", "noisy", 50, {"network": Schedule(0.1)})
    sources = []
    for budget in (1 << 30, 1000):
        images = image_table(table, tmp_path, budget)
        assert (images.pixels is None) == (budget == 1000)
        sources.append(ImageSource(table, images, 7, 0, 10**6))
        assert np.concatenate([part for _, part in images.parts(33)]).shape == (90, SIZE, SIZE, 3)
    kept, streamed = (source.block(phase, 5, 5) for source in sources)
    pixels = [np.asarray(block.table)[block.rows] for block in (kept, streamed)]
    np.testing.assert_array_equal(pixels[0], pixels[1])
    assert len(np.unique(kept.rows)) == len(kept.rows.ravel())  # within an epoch no image comes twice
    for name in ("noisy", "draws"):
        np.testing.assert_array_equal(getattr(kept, name), getattr(streamed, name))
    # A step's rows, labels and draws do not depend on the block that it is in.
    again = sources[0].block(phase, 7, 1)
    np.testing.assert_array_equal(again.rows[0], kept.rows[2])
    np.testing.assert_array_equal(again.draws[0], kept.draws[2])  # type: ignore[index]
    np.testing.assert_array_equal(again.noisy[0], kept.noisy[2])
    other = ImageSource(table, image_table(table, tmp_path, 1 << 30), 7, 1, 10**6).block(phase, 7, 1)
    assert not np.array_equal(other.draws[0], again.draws[0])  # type: ignore[index]


def test_an_image_lost_while_training_is_named(dataset: Path, tmp_path: Path) -> None:
    table = read_dataset(dataset)
    rows = table.rows("validation")
    shown = replace(table, image_root=tmp_path)
    draw_images(shown, tmp_path)
    images = image_table(shown, tmp_path, 1000, rows)
    shown.image_path(int(rows[3])).unlink()
    with pytest.raises(NlcliError, match=rf"{table.paths[rows[3]]} could be read when training began, but no longer"):
        images.read(np.array([1, 3]), images.empty(2))
    with pytest.raises(NlcliError, match="no longer: there is no such file"):
        list(images.parts(4))


def test_looking_at_images_goes_on_where_it_was_stopped(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = replace(read_dataset(dataset), image_root=tmp_path)
    draw_images(table, tmp_path)
    rows = table.rows("train")
    table.image_path(int(rows[2])).write_bytes(b"")
    monkeypatch.setattr(pace, "CHECKED_SECONDS", 0.0)
    monkeypatch.setattr(pace, "CHECKED_IMAGES", 20)
    seen: list[int] = []

    def stops(sources: Any, pre: Any, size: int, workers: int, start: int) -> Any:
        for batch in iterate_images(sources, pre, size, workers, start):
            if len(seen) == 2 and start == 0:
                raise KeyboardInterrupt
            seen.append(int(batch.rows[0]))
            yield batch

    monkeypatch.setattr(image_source, "iterate_images", stops)
    with pytest.raises(KeyboardInterrupt):
        image_table(table, tmp_path, 1000)
    images = image_table(table, tmp_path, 1000)
    assert seen == [0, 20, 40, 60, 80]
    assert images.errors == {int(rows[2]): "the file is empty"}
    assert len(images) == 89


# --- augmentation ----------------------------------------------------------------------------


def test_flips_are_those_of_the_draws() -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 6, 6, 3), np.uint8)
    draws = np.full((4, DRAWS), 0.9, np.float32)
    draws[1, 0] = draws[2, 1] = draws[3, :2] = 0.1
    both = Augmentation("both")(tf.constant(images), tf.constant(draws)).numpy()
    np.testing.assert_array_equal(both[0], images[0])
    np.testing.assert_array_equal(both[1], images[1, :, ::-1])
    np.testing.assert_array_equal(both[2], images[2, ::-1])
    np.testing.assert_array_equal(both[3], images[3, ::-1, ::-1])
    horizontal = Augmentation("horizontal")(tf.constant(images), tf.constant(draws)).numpy()
    np.testing.assert_array_equal(horizontal[2], images[2])
    np.testing.assert_array_equal(horizontal[3], images[3, :, ::-1])
    assert Augmentation("none").does_nothing


def test_crops_enlarge_the_square_that_the_draws_name() -> None:
    size = 65
    ramp = np.broadcast_to(np.arange(size, dtype=np.uint8)[None, :, None], (size, size, 3))
    images = np.stack([ramp, ramp.transpose(1, 0, 2), ramp])
    draws = np.full((3, DRAWS), 0.9, np.float32)
    draws[:, 2:] = [[1.0, 0.0, 1.0], [1.0, 1.0, 0.0], [0.0, 0.5, 0.5]]
    cut = Augmentation("none", 0.5)(tf.constant(images), tf.constant(draws)).numpy()
    assert cut.dtype == np.uint8
    # Half the side, at the right: columns 32 to 64 spread over 65 pixels.
    np.testing.assert_allclose(cut[0, 0, :, 0].astype(float), np.linspace(32, 64, size), atol=0.51)
    np.testing.assert_allclose(cut[1, :, 0, 0].astype(float), np.linspace(32, 64, size), atol=0.51)
    np.testing.assert_array_equal(cut[2], images[2])  # the whole side: nothing is cut off


# --- the copy that is trained ----------------------------------------------------------------


def tiny_network(dropout: float = 0.25) -> keras.Model:
    inputs = layers.Input((16, 16, 3))
    make = keras.initializers.HeNormal
    x = layers.Conv2D(8, 3, 2, use_bias=False, kernel_initializer=make(1), name="conv")(inputs)
    x = layers.Activation("relu")(layers.BatchNormalization(momentum=0.9, name="norm")(x))
    x = layers.Dropout(dropout, name="drop")(x)
    features = layers.GlobalAveragePooling2D(name="pool")(x)
    dense = layers.Dense(2, kernel_initializer=make(2), name="logits")
    return keras.Model(inputs, {"features": features, "logits": dense(features)})


@pytest.mark.parametrize(("scale", "center"), [(True, True), (False, True), (False, False)])
def test_fused_norm_is_keras_norm(scale: bool, center: bool) -> None:
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(2.0, 3.0, (6, 5, 4, 7)).astype(np.float32))
    weight = tf.constant(rng.normal(size=x.shape).astype(np.float32))
    results = []
    for cls in (layers.BatchNormalization, FusedBatchNorm):
        norm = cls(momentum=0.8, scale=scale, center=center)
        norm.build(x.shape)
        for v, value in zip(norm.weights, rng.uniform(0.5, 2.0, 28).reshape(4, 7), strict=False):
            v.assign(np.linspace(0.5, 2.0, 7) + 0 * value)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = norm(x, training=True)
            loss = tf.reduce_sum(y * weight)
        gradients = tape.gradient(loss, [x, *[v.value for v in norm.trainable_variables]])
        results.append([y, *gradients, *[v.numpy() for v in norm.weights], norm(x, training=False)])
    for expected, value in zip(*results, strict=True):
        np.testing.assert_allclose(value, expected, rtol=2e-4, atol=2e-4)


def network(precision: Any = "float32", part: Any = "all", dropout: float = 0.25) -> Network:
    return Network(training_copy(tiny_network(dropout), precision, steps=1000), "unit", "multi-label", part)


def run_steps(net: Network, settings: Settings, count: int = 12, first: int = 0) -> np.ndarray:
    """Losses of steps on 8 images that are bright where class 0 is there."""
    rng = np.random.default_rng(0)
    y = np.tile([[0, 1], [1, 0]], (4, 1)).astype(np.uint8)
    images = (rng.integers(0, 80, (8, 16, 16, 3)) + 150 * y[:, :1, None, None]).astype(np.uint8)
    rows = np.tile(np.arange(8, dtype=np.int32), (count, 1))
    none = np.zeros((count, 0, 2), np.uint8)
    phase = Phase("noisy", "noisy", 100, {"network": Schedule(0.02)})
    optimizer = OPTIMIZERS["adam"](list(net.groups()["network"]))
    steps = StepFunction(net, phase, optimizer, 0, settings)
    block = Block(images, rows, np.tile(y, (count, 1, 1)), none, none)
    return steps(block, np.full((count, 1), 0.02, np.float32), first)[:, 0]


def test_lower_precision_trains_float32_weights_to_nearly_the_same() -> None:
    full = network()
    losses = run_steps(full, Settings(1))
    assert losses[-1] < 0.5 * losses[0]
    for precision, scale in (("bfloat16", None), ("float16", 2.0**15)):
        low = network(precision)
        model = low.model
        assert model.get_layer("conv").compute_dtype == model.get_layer("norm").compute_dtype == precision
        assert model.get_layer("pool").compute_dtype == model.get_layer("logits").compute_dtype == "float32"
        assert {v.dtype for v in model.weights} == {"float32"}
        others = run_steps(low, Settings(1, loss_scale=scale))
        np.testing.assert_allclose(others, losses, rtol=0.1, atol=0.02)
        assert all(np.isfinite(v.numpy()).all() for v in model.weights)
        assert np.abs(model.get_layer("norm").moving_mean.numpy()).max() > 0.01


def test_xla_trains_the_same_network() -> None:
    nets = [network(dropout=0.0), network(dropout=0.0)]  # XLA draws other random numbers
    losses = [run_steps(net, Settings(1, xla=xla), 4) for net, xla in zip(nets, (False, True), strict=True)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-3)
    for a, b in zip(nets[0].model.weights, nets[1].model.weights, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=5e-3)


def test_dropout_and_statistics_are_part_of_what_a_checkpoint_holds() -> None:
    whole, parts = network(), network()
    weights = whole.weights()
    assert sorted(name.split("/")[1] for name in weights) == sorted(
        ["kernel", "gamma", "beta", "moving_mean", "moving_variance", "seed_generator_state", "kernel", "bias"]
    )
    np.testing.assert_array_equal(run_steps(whole, Settings(1), 6), run_steps(parts, Settings(1), 6))
    resumed = Network(training_copy(tiny_network(), steps=1000, seed=9), "unit", "multi-label", "all")
    for name, variable in resumed.weights().items():
        variable.assign(whole.weights()[name].numpy())
    np.testing.assert_array_equal(run_steps(whole, Settings(1), 6, 6), run_steps(resumed, Settings(1), 6, 6))


def test_a_frozen_network_keeps_its_statistics_and_is_trained_as_in_inference() -> None:
    net = network(part="last")
    assert set(net.weights()) == {"0000/kernel", "0001/bias"}
    before = [v.numpy() for v in net.model.variables]
    images = tf.constant(np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8))
    expected = net.probabilities(images)
    batch = Batch(0, tf.ones((4, 2)), tf.zeros((0, 2)), tf.zeros((0, 2)))
    loss = float(net.losses("noisy", images, batch)["loss"])
    assert loss == pytest.approx(float(-np.log(expected).mean()), rel=1e-5)
    for v, value in zip(net.model.variables, before, strict=True):
        np.testing.assert_array_equal(v.numpy(), value)


@pytest.mark.parametrize("folded", [True, False])
def test_a_folded_network_is_trained_with_its_statistics_fixed(folded: bool) -> None:
    """Weights whose BatchNorm sits in the convolutions (mean 0, variance 1, shifts) must not be normalised anew."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, use_bias=False)(inputs)
    norm = layers.BatchNormalization()
    x = layers.GlobalAveragePooling2D(name="features")(layers.ReLU()(norm(x)))
    model = keras.Model(inputs, {"features": x, "logits": layers.Dense(2, name="logits")(x)})
    if folded:
        norm.beta.assign([0.5, -0.2, 0.1, 0.3])
    assert is_folded(model) is folded
    copy = training_copy(model, "float32", steps=100)
    images = tf.random.stateless_uniform((6, 8, 8, 3), (1, 2), -5, 5)
    as_scored, as_trained = (copy(images, training=training)["features"].numpy() for training in (False, True))
    assert np.allclose(as_scored, model(images, training=False)["features"].numpy(), atol=1e-5)
    assert np.allclose(as_scored, as_trained, atol=1e-6) is folded
    assert is_folded(copy) is folded  # its statistics were not touched
    if folded:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(copy(images, training=True)["logits"])
        assert all(g is not None for g in tape.gradient(loss, [v.value for v in copy.trainable_variables]))


def test_only_verified_entries_of_clean_rows_count() -> None:
    net = network(part="last")
    images = tf.constant(np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8))
    p = net.probabilities(images)
    v, m = tf.constant([[1.0, 0.0], [0.0, 0.0]]), tf.constant([[1.0, 0.0], [0.0, 1.0]])
    loss = float(net.losses("verified", images, Batch(2, tf.zeros((0, 2)), v, m))["loss"])
    assert loss == pytest.approx(-(np.log(p[0, 0]) + np.log(1 - p[1, 1])) / 2, rel=1e-4)


def test_running_statistics_average_over_a_twentieth_of_a_short_training_at_most() -> None:
    for steps, momentum in ((20_000, 0.9), (200, 0.9), (100, 0.8), (10, 0.5)):
        assert training_copy(tiny_network(), steps=steps).get_layer("norm").momentum == pytest.approx(momentum)


_TWO_DEVICES = """
import sys
sys.path[:0] = [{tests!r}, {root!r}]
import tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2)
from pathlib import Path
from nlcli.errors import NlcliError
from nlcli.training.pretrain_backbone import pretrain_backbone, starting_backbone, training_rows
from worlds.drawn_images import config
dataset, folder = Path({dataset!r}), Path({folder!r})
options = dict(steps=4, eval_every=4, optimizer="sgd", learning_rate=1e-2)
for devices in (1, 2):
    pretrain_backbone(config(dataset, folder / str(devices), devices=devices, **options))
for options in (dict(batch_size=15), dict(xla=True)):
    try:
        pretrain_backbone(config(dataset, folder / "3", **options), force=True)
    except NlcliError as error:
        print(error)
"""


@pytest.mark.slow
def test_two_devices_train_as_one(dataset: Path, tmp_path: Path) -> None:
    tests = Path(__file__).parents[1]
    code = _TWO_DEVICES.format(tests=str(tests), root=str(tests.parent), dataset=str(dataset), folder=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "a batch of 15 cannot be shared equally by 2 devices" in done.stdout
    assert "--xla works on one device, and there are 2" in done.stdout
    one, two = (load_backbone(tmp_path / name).model.weights for name in ("1", "2"))
    for a, b in zip(one, two, strict=True):
        # Rounding differs and grows from step to step; statistics of half a batch would differ ten times more.
        assert np.abs(a.numpy() - b.numpy()).max() < 5e-3 * np.abs(a.numpy()).max() + 1e-4
    losses = [json.loads((tmp_path / n / "metrics.jsonl").read_text().splitlines()[-1])["train"]["loss"] for n in "12"]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert BackboneRecord.of(tmp_path / "2").preprocessing.size == SIZE
