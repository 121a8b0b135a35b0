"""CleanNet: its equations by hand, its network against NumPy, and what it is for on planted noise."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.linear_model import LogisticRegression

from nlcli.detection import make_detector
from nlcli.detection.base import Data
from nlcli.detection.cleannet_arrays import ArrayMatching, reference_basis, transformed
from nlcli.detection.cleannet_matching import MatchingNetwork, entered
from nlcli.detection.cleannet_network import (
    ReferenceEncoder,
    attention,
    cosine,
    matching_loss,
    reconstruction_error,
    self_reinforcing_loss,
    total_loss,
)
from nlcli.detection.cleannet_options import CleanNetConfig, matching_phase
from nlcli.detection.detectors import cleannet as cleannet_detector
from nlcli.detection.detectors.cleannet import CleanNetDetector
from nlcli.detection.references import References
from nlcli.detection.threshold import best_threshold
from nlcli.errors import NlcliError
from nlcli.methods.base.contract import Batch, Problem
from nlcli.metrics.ranking import roc_area
from nlcli.training.loop import contract as training
from nlcli.training.loop.array_steps import ArraySteps
from nlcli.training.loop.contract import Settings
from worlds.detection import data_of, rates_of
from worlds.noisy import detection_data


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def numbers(tensor: object) -> list[float]:
    return np.asarray(tensor, np.float64).ravel().tolist()


# --- equations -------------------------------------------------------------------------------


def test_attention_by_hand() -> None:
    # u.context is log 3 and 0: weights 3/4 and 1/4 (eq. 3), h = 3/4 h_1 + 1/4 h_2 (eq. 4).
    projected = np.array([[[np.log(3), 5.0], [0.0, 7.0]]], np.float32)
    representations = np.array([[[4.0, 0.0, 1.0], [0.0, 8.0, 1.0]]], np.float32)
    alpha, h = attention(representations, projected, np.array([1.0, 0.0], np.float32), np.ones((1, 2), np.float32))
    np.testing.assert_allclose(alpha, [[0.75, 0.25]], rtol=1e-6)
    np.testing.assert_allclose(h, [[3.0, 2.0, 1.0]], rtol=1e-6)


def test_attention_counts_only_what_is_there_and_does_not_overflow() -> None:
    projected = np.array([[[900.0], [900.0], [2000.0]], [[1.0], [1.0], [1.0]]], np.float32)
    representations = np.array([[[1.0], [3.0], [50.0]], [[1.0], [1.0], [1.0]]], np.float32)
    mask = np.array([[1, 1, 0], [0, 0, 0]], np.float32)
    alpha, h = attention(representations, projected, np.ones(1, np.float32), mask)
    np.testing.assert_allclose(alpha, [[0.5, 0.5, 0], [0, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(h, [[2.0], [0.0]], atol=1e-6)


def test_cosine_by_hand() -> None:
    a = np.array([[3.0, 4.0], [1.0, 0.0], [0.0, 0.0]], np.float32)
    b = np.array([[6.0, 8.0], [-1.0, 1.0], [1.0, 0.0]], np.float32)
    np.testing.assert_allclose(cosine(a, b), [1.0, -np.sqrt(0.5), 0.0], atol=1e-6)
    zero = tf.zeros((1, 2))
    with tf.GradientTape() as tape:
        tape.watch(zero)
        value = cosine(zero, b[:1])
    assert np.isfinite(tape.gradient(value, zero).numpy()).all()


def test_matching_loss_by_hand() -> None:
    similarity = np.array([0.7, -0.2, 0.7, 0.1, 0.05, -0.9], np.float32)
    label = np.array([1, 1, 0, 0, 0, 0], np.float32)
    found = matching_loss(similarity, label, margin=0.1, negative_weight=5.0)
    np.testing.assert_allclose(found, [0.3, 1.2, 3.0, 0, 0, 0], atol=1e-6)


def test_self_reinforcing_loss_by_hand() -> None:
    similarity = tf.constant([0.25, 0.5, 0.2, -0.9])
    with tf.GradientTape() as tape:
        tape.watch(similarity)
        found = self_reinforcing_loss(similarity, margin=0.25)
    np.testing.assert_allclose(found, [0.75, 0.5, 0, 0])  # cos = rho counts as relevant (eq. 8)
    assert numbers(tape.gradient(found, similarity)) == [-1, -1, 0, 0]


def test_reconstruction_error_is_a_sum_over_dimensions() -> None:
    found = reconstruction_error(np.array([[1.0, 2, 3], [0, 0, 0]]), np.array([[1.0, 0, 0], [1, 1, 1]]))
    assert numbers(found) == [13, 3]


def test_total_loss_is_the_mean_of_equation_9() -> None:
    matching, error, other = (tf.constant(part) for part in ([1.0, 3.0], [2.0, 4.0, 6.0, 8.0], [0.5, 0.0]))
    found = total_loss(matching, error, other, beta=0.1, gamma=0.2)
    rows = [1 + 0.2, 3 + 0.4, 0.6 + 0.2 * 0.5, 0.8]  # eq. 9, image by image
    assert {name: pytest.approx(float(value)) for name, value in found.items()} == {
        "loss": np.mean(rows),
        "L_cos": 1.0,
        "L_r": 5.0,
        "L_unsup": 0.125,
    }
    alone = total_loss(matching, error[:2], other[:0], beta=0.1, gamma=0.2)
    assert float(alone["loss"]) == pytest.approx(2.0 + 0.1 * 3.0)


# --- the network -----------------------------------------------------------------------------


def encoder(dropout: float = 0.2) -> ReferenceEncoder:
    layer = ReferenceEncoder(
        lambda name: keras.initializers.GlorotUniform(seed=len(name)), dropout, 3, name="reference"
    )
    layer.build((None, 6))
    return layer


def test_attention_of_the_encoder_sums_to_one_and_knows_no_order() -> None:
    layer, references = encoder(), rng().normal(size=(4, 7, 6)).astype(np.float32)
    mask = np.array([[1] * 7, [1] * 7, [1] * 5 + [0] * 2, [0] * 7], np.float32)
    alpha, _ = layer.attend(references, mask, training=False)
    np.testing.assert_allclose(np.sum(alpha, axis=1), [1, 1, 1, 0], atol=1e-6)
    assert np.std(alpha[0]) > 1e-3  # it attends to some more than to others
    order = rng(1).permutation(7)
    shuffled = layer(references[:, order], mask[:, order])
    np.testing.assert_allclose(layer(references, mask), shuffled, atol=1e-5)
    absent = references.copy()
    absent[2, 5:] = 100.0
    np.testing.assert_array_equal(layer(references, mask)[2], layer(absent, mask)[2])
    assert np.isfinite(layer(references, mask)).all()


def test_dropout_is_for_training_alone_and_follows_a_weight() -> None:
    one, other = encoder(), encoder()
    references, mask = rng().normal(size=(2, 7, 6)).astype(np.float32), np.ones((2, 7), np.float32)
    np.testing.assert_array_equal(one(references, mask), one(references, mask))
    first, second = one(references, mask, training=True), one(references, mask, training=True)
    assert np.abs(first - second).max() > 1e-4
    np.testing.assert_array_equal(other(references, mask, training=True), first)
    state = {variable.path: variable.numpy() for variable in one.variables}
    fresh = encoder()
    for variable in fresh.variables:
        variable.assign(state[variable.path])
    np.testing.assert_array_equal(fresh(references, mask, training=True), one(references, mask, training=True))
    dropless = encoder(0.0)
    np.testing.assert_array_equal(dropless(references, mask, training=True), one(references, mask))


def network(classes: int, width: int = 6, **options: object) -> ArrayMatching:
    references = References(rng(3).random((classes, 5, width), np.float32), rng(4).integers(2, 6, classes))
    vectors = references.vectors * references.mask[:, :, None]
    config = CleanNetConfig(references=5, **options)
    references = References(vectors, references.counts)
    basis = reference_basis(references, config.transform)
    return ArrayMatching(config, Problem(width, tuple(map(str, range(classes))), "single-label"), references, 2, basis)


def by_hand(method: ArrayMatching, features: np.ndarray, noisy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosine to the own class, and squared reconstruction error, image by image and reference by reference."""
    weights = {name: variable.numpy().astype(np.float64) for name, variable in method.weights().items()}

    def dense(x: np.ndarray, name: str, linear: bool = False) -> np.ndarray:
        out = x @ weights[f"{name}/kernel"] + weights[f"{name}/bias"]
        return out if linear else np.tanh(out)

    similarity, error = [], []
    for x, c in zip(np.log(1 + features.astype(np.float64)), noisy, strict=True):
        h = [
            dense(dense(np.log(1 + v), "reference/first"), "reference/second")
            for v in method.raw.vectors[c, : method.raw.counts[c]].astype(np.float64)
        ]
        match = np.exp([dense(h_i, "reference/attention") @ weights["reference/context"] for h_i in h])
        own = dense(sum(a * h_i for a, h_i in zip(match / match.sum(), h, strict=True)), "reference/embedding")
        query = dense(dense(x, "query/first"), "query/embedding")
        back = dense(dense(query, "query/back"), "query/output", linear=True)
        similarity.append(own @ query / np.linalg.norm(own) / np.linalg.norm(query))
        error.append(((x - back) ** 2).sum())
    return np.array(similarity), np.array(error)


def a_batch(classes: int, clean: int, width: int = 6) -> tuple[np.ndarray, np.ndarray, np.ndarray, Batch]:
    """Features and noisy classes of 8 images, of the first ``clean`` which are right, and the batch of them."""
    features, noisy = rng(5).random((8, width), np.float32), rng(6).integers(classes, size=8)
    right = np.array([1, 0, 1, 0, 0, 0, 1, 1])[:clean]
    one_hot = np.eye(classes, dtype=np.float32)[noisy]
    # A mislabelled image's true class may be known, too: what counts is its noisy label.
    verified = np.where(right[:, None] > 0, one_hot[:clean], np.roll(one_hot[:clean], 1, axis=1))
    return features, noisy, right, Batch(clean, one_hot, verified, np.ones_like(verified))


LOSSES = {"margin": 0.02, "negative_weight": 3, "reconstruction": 0.3, "reinforcement": 0.7}


@pytest.mark.parametrize("classes", [3, 40])  # fewer and more than rows of a batch
@pytest.mark.parametrize("clean", [4, 8])  # half of the batch verified, or all of it
def test_losses_agree_with_images_one_by_one(classes: int, clean: int) -> None:
    method = network(classes, dropout=0, **LOSSES)
    features, noisy, right, batch = a_batch(classes, clean)
    similarity, error = by_hand(method, features, noisy)
    np.testing.assert_allclose(method.score(features)[np.arange(8), noisy], similarity, atol=1e-5)
    expected = 0.3 * error
    for i, cos in enumerate(similarity):
        if i < clean:
            expected[i] += 1 - cos if right[i] else 3 * max(0, cos - 0.02)
        elif cos >= 0.02:
            expected[i] += 0.7 * (1 - cos)
    assert similarity.max() > 0.02 > similarity.min()  # both sides of the margin are there
    assert method.gradients("matching", features, batch, 0)[0]["loss"] == pytest.approx(expected.mean(), 1e-4)


@pytest.mark.parametrize(
    ("classes", "width", "transform"), [(3, 30, "log"), (9, 50, "none"), (40, 6, "l2")]
)  # all classes in a basis, some of them in one, and without one
@pytest.mark.parametrize("clean", [4, 8])
def test_gradients_are_those_that_tensorflow_derives(classes: int, width: int, transform: str, clean: int) -> None:
    method = network(classes, width, dropout=0, transform=transform, **LOSSES)
    assert (method.basis is not None) == (width > 6)
    features, _, _, batch = a_batch(classes, clean, width)
    losses, gradients = method.gradients("matching", features, batch, 0)
    by_tape = MatchingNetwork(method)
    held = by_tape.weights()
    variables = [held[name].value for name in method.weights()]
    tensors = Batch(clean, *(tf.constant(part) for part in (batch.noisy, batch.verified, batch.mask)))
    with tf.GradientTape() as tape:
        expected = by_tape.losses("matching", tf.constant(features), tensors)
    assert losses == {name: pytest.approx(float(value), 1e-5, 1e-6) for name, value in expected.items()}
    for name, found, tensor in zip(
        method.weights(), gradients, tape.gradient(expected["loss"], variables), strict=True
    ):
        scale = np.abs(tensor.numpy()).max()
        assert scale > 0, name
        np.testing.assert_allclose(found, tensor, atol=1e-5 * scale, err_msg=name)
    np.testing.assert_allclose(by_tape.score(tf.constant(features), "similarity"), method.score(features), atol=1e-5)


def test_steps_drop_units_and_scores_do_not() -> None:
    method = network(3, dropout=0.25)
    features, _, _, batch = a_batch(3, 4)
    first, second, again = (method.gradients("matching", features, batch, step)[0]["L_cos"] for step in (0, 1, 0))
    assert first == again
    assert abs(first - second) > 1e-4
    np.testing.assert_array_equal(method.score(features), method.score(features))
    dropped = method._dropped(3, 0)
    assert set(np.unique(dropped)) == {0, np.float32(4 / 3)}
    assert (dropped == 0).mean() == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / dropped.size))


def test_class_embeddings_are_what_scores_compare_with() -> None:
    method = network(40)  # more than are encoded at a time
    features = rng(5).random((3, 6), np.float32)
    own = cosine(method.query(features)[:, None], method.class_embeddings()[None])
    np.testing.assert_allclose(method.score(features), own, atol=1e-5)
    np.testing.assert_allclose(method.attention().sum(axis=1), np.ones(40), atol=1e-6)


def test_a_gpu_gives_back_what_it_learned() -> None:
    method = network(3)
    on_gpu = MatchingNetwork(method)
    held = on_gpu.weights()
    for name in method.weights():
        held[name].assign(held[name].value + 0.01)
    features = rng(5).random((3, 6), np.float32)
    before = method.score(features)
    assert on_gpu.give_back() is method
    assert np.abs(method.score(features) - before).max() > 1e-3
    np.testing.assert_allclose(method.score(features), on_gpu.score(tf.constant(features), "similarity"), atol=1e-5)


def test_features_enter_by_their_logarithm_their_direction_or_as_they_are() -> None:
    features = np.array([[3.0, 0.0, 4.0, 0.0], [0.0, 0.0, 0.0, 0.0]], np.float32)
    np.testing.assert_allclose(transformed(features, "log"), np.log1p(features), rtol=1e-6)
    np.testing.assert_allclose(transformed(features, "l2"), [[1.2, 0, 1.6, 0], [0, 0, 0, 0]], rtol=1e-6)
    np.testing.assert_array_equal(transformed(features, "none"), features)
    for how in ("log", "l2", "none"):
        np.testing.assert_allclose(entered(tf.constant(features), how), transformed(features, how), rtol=1e-6)


def test_schedule_and_batches_are_the_papers() -> None:
    phase = matching_phase(CleanNetConfig(steps=60_000, optimizer="sgd", learning_rate=0.01))
    rates = phase.rates["head"].at(np.array([0, 29_999, 30_000, 59_999]), 1.0)
    np.testing.assert_allclose(rates, [0.01, 0.01, 0.001, 0.001])
    assert (phase.optimizer, phase.weight_decay, phase.clean_share) == ("sgd", 1e-4, 0.5)


def test_by_default_adam_slows_down_in_eight_stairs() -> None:
    phase = matching_phase(CleanNetConfig())
    rates = phase.rates["head"].at(np.array([0, 124, 125, 999]), 1.0)
    np.testing.assert_allclose(rates, 0.0015 * np.array([1, 1, 0.7, 0.7**7]), rtol=1e-6)
    assert (phase.optimizer, phase.steps) == ("adam", 1000)


# --- planted noise ---------------------------------------------------------------------------

CLASSES, PER_CLASS, WIDTH = 24, 60, 32
HELD_OUT = np.arange(0, CLASSES, 4)
PAPER = {"optimizer": "sgd", "batch_size": 64}
QUICK = {"steps": 300, "references": 10, "learning_rate": 0.03, **PAPER}


class World:
    """Right images of a class lie around a point in one half of the features, wrong ones in the other.

    Both points are the class's own: only what is known of other classes tells which half is which. A
    third to two thirds of a class's labels are wrong.
    """

    def __init__(self, seed: int = 0) -> None:
        random, half = rng(seed), WIDTH // 2
        self.noisy = random.permutation(np.repeat(np.arange(CLASSES), PER_CLASS))
        rate = random.permutation(np.linspace(0.35, 0.65, CLASSES))
        self.right = (random.random(len(self.noisy)) >= rate[self.noisy]).astype(np.int8)
        points = random.normal(size=(2, CLASSES, half))
        features = 0.3 * random.normal(size=(len(self.noisy), WIDTH))
        features[self.right == 1, :half] += points[0, self.noisy[self.right == 1]]
        features[self.right == 0, half:] += points[1, self.noisy[self.right == 0]]
        self.features = np.maximum(features, 0).astype(np.float32)
        self.split = random.choice(3, size=len(self.noisy), p=[0.6, 0.15, 0.25])
        seen = (random.random(len(self.noisy)) < 0.5) & (self.split < 2)
        self.label = np.where(seen, self.right, -1)
        self.held_out = np.isin(self.noisy, HELD_OUT)

    def data(self, folder: Path, label: np.ndarray) -> Data:
        return detection_data(folder, self.features, self.noisy, label, CLASSES, self.split)

    def error(self, score: np.ndarray, label: np.ndarray, which: np.ndarray) -> float:
        """Average error rate on the test images ``which``, with the threshold of verified validation images."""
        chosen = (self.split == 1) & (label >= 0)
        delta, _ = best_threshold(score[chosen], label[chosen], self.noisy[chosen])
        measured = which & (self.split == 2)
        verdict = (score >= delta).astype(np.int8)
        return rates_of(verdict[measured], self.right[measured], self.noisy[measured]).average


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def fitted(name: str, data: Data, folder: Path, **options: object) -> object:
    detector, work = make_detector("cleannet" if name == "trusting" else name, options), folder / name
    work.mkdir()
    detector.fit(data, 0, work)
    return detector


@pytest.mark.slow
def test_cleannet_finds_noise_in_classes_that_nobody_verified(world: World, tmp_path: Path) -> None:
    label = np.where(world.held_out, -1, world.label)
    data = world.data(tmp_path, label)
    cleannet, average = (
        fitted(name, data, tmp_path, **options)
        for name, options in (("cleannet", {"steps": 200, "references": 10}), ("average", {"references": 10}))
    )
    # A label passes the classification filter where it is among the top K of a classifier of noisy labels.
    train = world.split == 0
    likely = LogisticRegression(max_iter=500).fit(world.features[train], world.noisy[train])
    likely = likely.predict_proba(world.features)
    rank = (likely > likely[np.arange(len(likely)), world.noisy][:, None]).sum(axis=1)
    scores = [found.score(world.features, world.noisy) for found in (cleannet, average)] + [-rank]
    errors = [world.error(score, label, world.held_out) for score in scores]
    assert errors[0] < 0.12
    assert min(errors[1:]) > 0.3


@pytest.mark.slow
def test_cleannet_is_near_the_best_supervised_detector_where_all_classes_are_verified(
    world: World, tmp_path: Path
) -> None:
    cleannet = fitted("cleannet", world.data(tmp_path, world.label), tmp_path, **QUICK)
    every = np.ones(len(world.noisy), bool)
    # The best there is: one linear classifier of right and wrong on all images, which knows that all
    # classes share which half of the features is which.
    known = (world.split == 0) & (world.label >= 0)
    best = LogisticRegression(max_iter=500).fit(world.features[known], world.label[known])
    errors = [
        world.error(score, world.label, every)
        for score in (cleannet.score(world.features, world.noisy), best.decision_function(world.features))
    ]
    assert errors[0] < 0.03
    assert errors[0] < errors[1] + 0.02


# --- training --------------------------------------------------------------------------------

SHORT = {"steps": 30, "references": 4, "batch_size": 16}


def small(folder: Path, label: np.ndarray | None = None, sign: float = 1.0) -> tuple[Data, np.ndarray, np.ndarray]:
    """60 images of 3 classes, 12 of them validation, most of them verified."""
    noisy = np.arange(60) % 3
    features = sign * np.abs(rng().normal(size=(60, 6)) + 2 * np.eye(6)[noisy]).astype(np.float32)
    label = rng(1).integers(-1, 2, 60) if label is None else label
    return detection_data(folder, features, noisy, label, 3, np.arange(60) // 48), features, noisy


@dataclass(frozen=True)
class Learned:
    """What is fitted once on ``small`` with the options ``SHORT`` and seed 0; ``history`` are its evaluations."""

    data: Data
    features: np.ndarray
    noisy: np.ndarray
    detector: CleanNetDetector
    history: list[dict[str, Any]]

    @property
    def score(self) -> np.ndarray:
        return self.detector.score(self.features, self.noisy)


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Learned:
    folder = tmp_path_factory.mktemp("learned")
    data, features, noisy = small(folder)
    detector = fitted("cleannet", data, folder, **SHORT)
    return Learned(data, features, noisy, detector, history(folder / "cleannet"))


def history(work: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (work / "metrics.jsonl").read_text().splitlines()]


def test_a_killed_training_ends_with_the_same_scores(
    learned: Learned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = learned.data
    block, calls = ArraySteps.__call__, []

    def killed(self, *arguments):
        calls.append(arguments[2])
        if len(calls) == 4:
            raise KeyboardInterrupt
        return block(self, *arguments)

    monkeypatch.setattr(training, "Settings", partial(Settings, checkpoint_seconds=0.0))
    monkeypatch.setattr(ArraySteps, "__call__", killed)
    cut = make_detector("cleannet", SHORT)
    (tmp_path / "cut").mkdir()
    with pytest.raises(KeyboardInterrupt):
        cut.fit(data, 0, tmp_path / "cut")
    taken_up = make_detector("cleannet", SHORT)
    taken_up.fit(data, 0, tmp_path / "cut")
    assert calls[4] > 0  # not from the beginning
    np.testing.assert_array_equal(taken_up.score(learned.features, learned.noisy), learned.score)
    assert taken_up.notes["best_step"] <= taken_up.notes["steps"] == 30


def test_saved_and_loaded_it_scores_the_same(tmp_path: Path) -> None:
    data, features, noisy = small(tmp_path)
    detector = fitted("cleannet", data, tmp_path, transform="l2", **SHORT)
    detector.save(tmp_path / "cleannet.npz")
    loaded = CleanNetDetector.load(tmp_path / "cleannet.npz")
    np.testing.assert_array_equal(loaded.score(features, noisy), detector.score(features, noisy))
    assert loaded.natural_threshold == detector.natural_threshold == 0.1
    (tmp_path / "cut.npz").write_bytes((tmp_path / "cleannet.npz").read_bytes()[:-100])
    with pytest.raises(NlcliError, match=r"cut\.npz is not a saved CleanNet"):
        CleanNetDetector.load(tmp_path / "cut.npz")


def wide(folder: Path) -> tuple[Data, np.ndarray, np.ndarray]:
    """As ``small``, with 40 features: more than 3 classes have references."""
    noisy = np.arange(60) % 3
    features = np.abs(rng().normal(size=(60, 40)) + 2 * np.eye(40)[noisy]).astype(np.float32)
    label = rng(1).integers(-1, 2, 60)
    return detection_data(folder, features, noisy, label, 3, np.arange(60) // 48), features, noisy


def test_in_the_span_of_the_references_sgd_learns_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, features, noisy = wide(tmp_path)
    places = {name: tmp_path / name for name in ("in-plain", "in-narrow")}
    for place in places.values():
        place.mkdir()
    monkeypatch.setattr(cleannet_detector, "reference_basis", lambda *_: None)
    plain = fitted("cleannet", data, places["in-plain"], **SHORT | {"optimizer": "sgd", "learning_rate": 0.01})
    assert plain.network.weights()["reference/first/kernel"].shape == (40, 512)
    monkeypatch.undo()
    narrow = fitted("cleannet", data, places["in-narrow"], **SHORT | {"optimizer": "sgd", "learning_rate": 0.01})
    assert narrow.network.weights()["reference/first/kernel"].shape == (12, 512)
    losses, expected = (
        [[line["train"][part] for part in ("L_cos", "L_r", "L_unsup")] for line in history(place / "cleannet")[1:]]
        for place in (places["in-narrow"], places["in-plain"])
    )
    np.testing.assert_allclose(losses, expected, rtol=1e-3, atol=1e-5)
    assert expected[-1][0] < 0.9 * expected[0][0]  # it has learned
    score = narrow.score(features, noisy)
    np.testing.assert_allclose(score, plain.score(features, noisy), atol=1e-4)
    narrow.save(tmp_path / "narrow.npz")
    np.testing.assert_array_equal(CleanNetDetector.load(tmp_path / "narrow.npz").score(features, noisy), score)
    plain.save(tmp_path / "plain.npz")  # as 0.1.0 wrote it
    expected = plain.score(features, noisy)
    np.testing.assert_array_equal(CleanNetDetector.load(tmp_path / "plain.npz").score(features, noisy), expected)


def test_a_basis_keeps_all_of_the_references() -> None:
    vectors = rng(8).random((2, 3, 9), np.float32)
    vectors[1, 2] = 0.0  # a class with two references
    basis = reference_basis(References(vectors, np.array([3, 2])), "none")
    assert basis is not None
    assert basis.shape == (9, 6)
    np.testing.assert_allclose(basis.T @ basis, np.eye(6), atol=1e-6)
    np.testing.assert_allclose(vectors @ basis @ basis.T, vectors, atol=1e-6)
    assert reference_basis(References(vectors[..., :6], np.array([3, 2])), "none") is None  # as many as features


def test_scores_are_cosines_to_the_own_class(learned: Learned) -> None:
    data, detector, features, noisy = learned.data, learned.detector, learned.features, learned.noisy
    every = detector.network.score(features)
    score = detector.score(features, noisy)
    # The best step is kept: its error on validation is the one that the kept weights have.
    best = min(line["validation"]["average_error"] for line in learned.history)
    chosen = data.validation.verified
    of_kept = score[data.validation.rows[chosen]]
    error = best_threshold(of_kept, data.validation.label[chosen], data.validation.noisy[chosen])[1]
    assert error == pytest.approx(best) == pytest.approx(detector.notes["validation"]["average_error"])
    np.testing.assert_allclose(score, every[np.arange(60), noisy], atol=1e-5)
    assert np.abs(every).max() <= 1 + 1e-6
    assert score.dtype == np.float32
    assert detector.score(features[:0], noisy[:0]).shape == (0,)


def test_it_shows_the_attention_of_its_references(learned: Learned, tmp_path: Path) -> None:
    learned.detector.write_more(learned.data, 0, tmp_path)
    lines = (tmp_path / "attention.csv").read_text(encoding="utf-8").splitlines()[1:]
    told = [line.split(",") for line in lines]
    assert len(told) == 3 * 4
    train = learned.data.train
    of_key = dict(zip(learned.data.table.keys[train.rows].tolist(), train.noisy.tolist(), strict=True))
    for c, name in enumerate(learned.data.classes):
        own = [line for line in told if line[0] == name]
        expected = np.sort(learned.detector.network.attention()[c])[::-1]
        np.testing.assert_allclose([float(line[2]) for line in own], expected, atol=1e-6)
        assert {of_key[line[3]] for line in own} == {c}
    assert (tmp_path / "attention.png").exists()


def test_it_trains_where_every_training_image_is_verified(learned: Learned, tmp_path: Path) -> None:
    data, features, noisy = small(tmp_path, rng(1).integers(0, 2, 60))
    detector = fitted("cleannet", data, tmp_path, **SHORT)
    some, every = (
        [line["train"]["L_unsup"] for line in lines[1:]] for lines in (learned.history, history(tmp_path / "cleannet"))
    )
    assert max(some) > 0
    assert set(every) == {0.0}
    assert np.isfinite(detector.score(features, noisy)).all()


def test_without_verified_validation_images_the_last_step_is_kept(tmp_path: Path) -> None:
    label = np.where(np.arange(60) < 48, rng(1).integers(-1, 2, 60), -1)
    detector = fitted("cleannet", small(tmp_path, label)[0], tmp_path, **SHORT)
    assert detector.notes["best_step"] == 30
    assert detector.natural_threshold == 0.1


def test_a_class_may_be_unverified_or_empty(tmp_path: Path) -> None:
    noisy, label = np.arange(60) % 2, np.where(np.arange(60) % 2, -1, rng(1).integers(0, 2, 60))
    features = rng().random((60, 6), np.float32)
    data = detection_data(tmp_path, features, noisy, label, 3, np.arange(60) // 48)
    detector = fitted("cleannet", data, tmp_path, **SHORT)
    assert detector.notes["classes_without_images"] == ["c2"]
    assert np.isfinite(detector.score(features, np.full(60, 2))).all()


def test_it_says_what_it_lacks(tmp_path: Path) -> None:
    data, *_ = small(tmp_path, np.full(60, -1))
    with pytest.raises(NlcliError, match="learns from verified noisy labels"):
        fitted("cleannet", data, tmp_path, **SHORT)


def test_features_below_zero_have_no_logarithm(learned: Learned, tmp_path: Path) -> None:
    data, features, noisy = small(tmp_path, sign=-1.0)
    with pytest.raises(NlcliError, match="reach below zero; pass --set transform=l2"):
        fitted("cleannet", data, tmp_path, **SHORT)
    (tmp_path / "l2").mkdir()
    detector = fitted("cleannet", data, tmp_path / "l2", transform="l2", **SHORT)
    assert np.isfinite(detector.score(features, noisy)).all()
    with pytest.raises(NlcliError, match="reach below zero"):
        learned.detector.score(features, noisy)


def test_the_seed_decides(learned: Learned, tmp_path: Path) -> None:
    found = []
    for seed in (0, 1):
        detector, work = make_detector("cleannet", SHORT), tmp_path / str(seed)
        work.mkdir()
        detector.fit(learned.data, seed, work)
        found.append(detector.score(learned.features, learned.noisy))
    np.testing.assert_array_equal(found[0], learned.score)
    assert np.abs(found[1] - learned.score).max() > 1e-3


@pytest.mark.slow
def test_what_does_not_hold_for_other_classes_gives_way_to_the_margin(tmp_path: Path) -> None:
    """Wrong images of a class are right ones of others: of classes left out the network says nothing, or the contrary."""
    from worlds.detection import make_world

    made = make_world(tmp_path)
    label = np.where(made.verified & (made.split < 2) & (made.noisy > 1), made.right, -1)
    data = data_of(made, label)
    cleannet = fitted("cleannet", data, tmp_path, steps=60, references=8, learning_rate=0.03, **PAPER)
    assert cleannet.notes["transfer"]["holds"] is False
    assert cleannet.notes["transfer"]["area"] < cleannet.notes["transfer"]["area_of_margin"]
    (remark,) = cleannet.remarks
    assert remark.startswith("what it learns of verified classes does not hold for others (area under the ROC curve 0.")
    rows = np.flatnonzero((made.noisy < 2) & (made.split == 0))
    score = cleannet.score(made.features[rows], made.noisy[rows], rows)
    trusting = fitted("trusting", data, tmp_path, steps=60, references=8, learning_rate=0.03, transfer="trust", **PAPER)
    alone = trusting.score(made.features[rows], made.noisy[rows], rows)
    assert roc_area(made.right[rows], score) > max(0.8, roc_area(made.right[rows], alone) + 0.05)
    others = np.flatnonzero(made.noisy > 1)
    np.testing.assert_array_equal(
        cleannet.score(made.features[others], made.noisy[others], others),
        trusting.score(made.features[others], made.noisy[others], others),
    )
    assert trusting.remarks == []
