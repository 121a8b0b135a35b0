"""Each method on a planted problem whose answer is known does what its paper says it does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from nlcli.methods import configure
from nlcli.methods.base.contract import Batch, Problem
from nlcli.methods.base.method import Method
from nlcli.methods.misra import Misra
from nlcli.metrics.ranking import average_precision
from nlcli.networks.linear_layer import LinearLayer
from nlcli.training.loop.contract import Outcome, Settings
from nlcli.training.loop.train import train
from worlds.small_training import ArraySource, Planted, make, planted, validation


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def fit(method: Method, data: Planted, folder: Path, eval_every: int = 10_000) -> Outcome:
    """Train; without validation unless ``eval_every`` is given."""
    folder.mkdir(exist_ok=True)
    evaluate = validation(method, data) if eval_every < 10_000 else None
    return train(method, method.phases(), ArraySource(data, block_steps=200), evaluate, Settings(eval_every), folder)


def scores(method: Method, data: Planted, name: str | None = None) -> np.ndarray:
    return method.score(tf.constant(data.features), name or method.offered()[0]).numpy()


# --- veit ------------------------------------------------------------------------------------


def label_rules(images: int, seed: int) -> Planted:
    """Class 1 is there whenever class 0 is labelled; class 2 is not there where class 3 is labelled.

    Features say nothing: only the labels tell.
    """
    rng = np.random.default_rng(seed)
    noisy = (rng.random((images, 6)) < 0.4).astype(np.uint8)
    true = noisy.copy()
    true[:, 1] |= noisy[:, 0]
    true[:, 2] &= 1 - noisy[:, 3]
    return Planted(rng.normal(size=(images, 4)).astype(np.float32), true, noisy, np.arange(images // 4))


VEIT = {"embedding": 8, "hidden": 16, "cleaning_rate": 3e-3, "pretrain_rate": 3e-3, "learning_rate": 3e-3}


def test_veit_starts_with_the_noisy_labels_as_they_are() -> None:
    data = planted(50)
    method = make("veit", data, **VEIT)
    labels = data.noisy.astype(np.float32)
    np.testing.assert_array_equal(method.cleaned(labels, data.features), labels)


@pytest.mark.parametrize("variant", ["joint", "pretrained"])
def test_veits_cleaning_net_learns_a_rule_between_labels(variant: str, tmp_path: Path) -> None:
    data, unseen = label_rules(2000, 0), label_rules(500, 1)
    steps = {"joint": {"steps": 600}, "pretrained": {"steps": 1, "pretrain_steps": 600}}[variant]
    method = make("veit", data, variant=variant, **VEIT, **steps)
    fit(method, data, tmp_path)
    cleaned = method.cleaned(unseen.noisy.astype(np.float32), unseen.features).numpy()
    before, after = (np.abs(labels - unseen.true).mean(axis=0) for labels in (unseen.noisy, cleaned))
    assert (before[1:3] > 0.14).all()
    assert before[[0, 3, 4, 5]].max() == 0
    assert after.max() < 0.05


def test_veits_pretraining_ends_when_the_validation_loss_stops_falling(tmp_path: Path) -> None:
    data = label_rules(1000, 0)
    method = make("veit", data, variant="pretrained", pretrain_steps=5000, pretrain_patience=2, steps=10, **VEIT)
    outcome = fit(method, data, tmp_path, eval_every=50)
    alone = [line.validation["L_clean"] for line in outcome.history if line.phase == "cleaning"]
    assert 4 < len(alone) < 101
    assert min(alone[-2:]) >= min(alone) == alone[-3]
    assert outcome.selected_by == "AP_all"


def test_veits_classifier_learns_from_cleaned_labels(tmp_path: Path) -> None:
    """Where class 0 is labelled, class 1 is as well, but wrongly: only the cleaning net knows."""
    rng = np.random.default_rng(2)
    true = (rng.random((2000, 3)) < 0.4).astype(np.uint8)
    noisy = true.copy()
    noisy[:, 1] |= true[:, 0]
    true[:, 1] &= 1 - true[:, 0]
    features = (noisy @ rng.normal(size=(3, 12)) + 0.3 * rng.normal(size=(2000, 12))).astype(np.float32)
    data = Planted(features, true, noisy, np.arange(100))
    method = make("veit", data, steps=600, **VEIT)
    noisy_method = make("noisy", data, steps=600, learning_rate=3e-3)
    fit(method, data, tmp_path / "veit")
    fit(noisy_method, data, tmp_path / "noisy")
    wrong = (noisy != true)[:, 1]
    assert wrong.sum() > 500
    assert np.median(scores(noisy_method, data)[wrong, 1]) > 0.7
    assert np.median(scores(method, data)[wrong, 1]) < 0.3


# --- misra -----------------------------------------------------------------------------------


def dropped(images: int, seed: int) -> tuple[Planted, np.ndarray]:
    """Labels of visible classes are dropped at a rate that the image decides; returns that rate, too."""
    rng = np.random.default_rng(seed)
    classes, salience = np.random.default_rng(5).normal(size=(4, 16)), np.random.default_rng(6).normal(size=(1, 16))
    true = (rng.random((images, 4)) < 0.3).astype(np.uint8)
    unsaid = rng.normal(size=(images, 1))
    rate = sigmoid(4 * unsaid)
    noisy = true & (rng.random((images, 4)) > rate)
    features = true @ classes + unsaid @ salience + 0.1 * rng.normal(size=(images, 16))
    return Planted(features.astype(np.float32), true, noisy.astype(np.uint8), np.arange(10)), rate[:, 0]


def test_misras_visual_classifier_sees_what_is_left_unsaid(tmp_path: Path) -> None:
    data, _ = dropped(3000, 0)
    unseen, rate = dropped(1000, 1)
    misra = make("misra", data, visual_steps=500, steps=1000, learning_rate=1e-2, relevance_rate=1e-2)
    noisy = make("noisy", data, steps=1500, learning_rate=1e-2)
    fit(misra, data, tmp_path / "misra")
    fit(noisy, data, tmp_path / "noisy")
    z, h, baseline = scores(misra, unseen, "visual"), scores(misra, unseen, "relevance"), scores(noisy, unseen)
    there = unseen.true == 1
    unsaid = there & (rate > 0.9)[:, None]
    assert unsaid.sum() > 200
    assert np.median(z[unsaid]) > 0.8
    assert max(np.median(h[unsaid]), np.median(baseline[unsaid]), np.quantile(z[~there], 0.95)) < 0.2
    ap_visual, ap_baseline = (average_precision(there.ravel(), given.ravel()) for given in (z, baseline))
    assert ap_visual > 0.99 > 0.97 > ap_baseline
    # p(labelled | image) of the visible classes is 1 - rate
    said = np.broadcast_to(1 - rate[:, None], there.shape)
    assert np.abs(h - said)[there].mean() < 0.08


def test_misra_starts_with_what_the_layer_says() -> None:
    data = planted(50)
    layer = LinearLayer(np.random.default_rng(0).normal(size=(24, 5)).astype(np.float32), np.zeros(5, np.float32))
    started = Misra(configure("misra"), Problem(24, data.classes), layer)
    expected = sigmoid(data.features @ layer.kernel)
    np.testing.assert_allclose(scores(started, data, "visual"), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(scores(started, data, "relevance"), 0.9 * expected + 0.01 * (1 - expected), rtol=1e-4)
    assert [phase.name for phase in started.phases()] == ["joint"]
    assert [phase.name for phase in make("misra", data).phases()] == ["visual", "joint"]


# --- teacher-student -------------------------------------------------------------------------


@pytest.mark.parametrize("targets", ["hard", "soft"])
def test_the_student_reproduces_its_teacher(targets: str, tmp_path: Path) -> None:
    """Labels are half chance, so that there is a teacher to follow and not only the truth."""
    data, unseen = (planted(2000, num_features=12, classes=4, seed=0) for _ in range(2))
    rng = np.random.default_rng(3)
    data.true = (rng.random(data.true.shape) < 0.15 + 0.6 * data.true).astype(np.uint8)
    method = make(
        "teacher-student",
        data,
        targets=targets,
        hidden=16,
        steps=800,
        learning_rate=1e-2,
        teacher_rate=1e-2,
        pretrain="none",
    )
    fit(method, data, tmp_path)
    student, teacher = (scores(method, unseen, name) for name in ("student", "teacher"))
    assert (np.abs(teacher - 0.5) < 0.4).mean() > 0.7  # it is unsure of most
    if targets == "hard":
        assert ((student > 0.5) == (teacher > 0.4)).mean() > 0.95
        assert (np.abs(student - 0.5) < 0.4).mean() < 0.25  # which its decisions do not show
    else:
        assert np.abs(student - teacher).mean() < 0.03


@pytest.mark.parametrize("targets", ["hard", "soft"])
def test_the_student_teaches_nothing_to_its_teacher(targets: str) -> None:
    data = planted(40)
    method = make("teacher-student", data, targets=targets, hidden=4)
    labels = (tf.constant(part, tf.float32) for part in (data.noisy[8:], data.true[:8], np.ones((8, 5))))
    with tf.GradientTape() as tape:
        loss = method.losses("joint", tf.constant(data.features), Batch(8, *labels))["L_classify"]
    groups = method.groups()
    gradients = tape.gradient(loss, {name: [v.value for v in groups[name]] for name in ("teacher", "student")})
    assert all(gradient is None for gradient in gradients["teacher"])
    assert all(float(tf.reduce_max(tf.abs(gradient))) > 0 for gradient in gradients["student"])


@pytest.mark.parametrize(
    ("pretrain", "trained"),
    [("none", ()), ("teacher", ("teacher",)), ("student", ("student",)), ("both", ("teacher", "student"))],
)
def test_which_nets_are_first_trained_on_noisy_labels(pretrain: str, trained: tuple[str, ...]) -> None:
    method = make("teacher-student", planted(20), pretrain=pretrain)
    *first, joint = method.phases()
    assert [(phase.rows, tuple(phase.rates)) for phase in first] == ([("noisy", trained)] if trained else [])
    assert (joint.rows, set(joint.rates)) == ("mixed", {"teacher", "student"})


# --- residual --------------------------------------------------------------------------------


def test_residuals_g_recovers_posteriors_that_h_alone_does_not(tmp_path: Path) -> None:
    """p(v | x) is known; labels are lost, and others added, as the image has it."""
    rng = np.random.default_rng(4)
    features = rng.normal(size=(5000, 8))
    posterior = sigmoid(features @ rng.normal(size=(8, 4)))
    true = rng.random(posterior.shape) < posterior
    change = sigmoid(2 * features @ rng.normal(size=(8, 4)))  # that a label is dropped, or added
    added = np.array([True, False, True, False])
    noisy = np.where(added, true | (rng.random(true.shape) < change), true & (rng.random(true.shape) > change))
    data = Planted(features.astype(np.float32), true.astype(np.uint8), noisy.astype(np.uint8), np.arange(500))
    errors = {}
    for variant in ("joint", "noise-only"):
        method = make("residual", data, train=variant, hidden=32, steps=1000, learning_rate=3e-3)
        fit(method, data, tmp_path / variant)
        errors[variant] = np.abs(scores(method, data) - posterior).mean(axis=0)
    assert errors["joint"].max() < 0.13
    assert errors["noise-only"].min() > 0.17
    assert (errors["noise-only"] > 2.5 * errors["joint"]).all()
