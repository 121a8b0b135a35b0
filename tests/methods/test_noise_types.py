"""The label noise model of Xiao 2015: its posterior, its gradient, and what it does at the extremes."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from nlcli.methods import configure, get_method
from nlcli.methods.base.contract import Batch, Problem
from nlcli.methods.base.finetuning import FINETUNE
from nlcli.methods.base.losses import cross_entropy
from nlcli.methods.base.transition import confusing_noise, noise_types
from nlcli.methods.noise_types import label_probabilities, noise_type_targets, posterior
from nlcli.training.head_on_features import MethodOnFeatures


def softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def some_noise(classes: int, seed: int = 0) -> np.ndarray:
    """A matrix C whose last class has no confusing noise."""
    counts = np.random.default_rng(seed).integers(0, 100, (classes, classes)) ** 2
    counts[-1] = np.eye(classes)[-1]
    return confusing_noise(counts)


@pytest.fixture
def rows() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Logits of classes and types, noisy labels and C of seven rows and five classes, float64."""
    rng = np.random.default_rng(1)
    return rng.normal(size=(7, 5)), rng.normal(size=(7, 3)), np.eye(5)[rng.integers(5, size=7)], some_noise(5)


def by_definition(classes: np.ndarray, types: np.ndarray, noisy: np.ndarray, confusing: np.ndarray) -> np.ndarray:
    """p(n, y, z | x) (eq. 1 and 2), one number at a time."""
    p, q, count = softmax(classes), softmax(types), classes.shape[1]
    computed = np.empty((*classes.shape, 3))
    for row, n in enumerate(noisy.argmax(axis=1)):
        for y in range(count):
            of_label = [float(n == y), float(n != y) / (count - 1), confusing[n, y]]
            computed[row, y] = p[row, y] * q[row] * of_label
    return computed


def test_label_probabilities_sum_to_one() -> None:
    confusing = some_noise(6)
    every = label_probabilities(tf.eye(6, dtype="float64"), tf.constant(confusing)).numpy()  # [noisy, true, type]
    np.testing.assert_allclose(every.sum(axis=0)[:, :2], 1)
    np.testing.assert_allclose(every.sum(axis=0)[:, 2], [1, 1, 1, 1, 1, 0])
    np.testing.assert_array_equal(every[:, :, 2], confusing)


def expected_labels(classes: tf.Tensor, types: tf.Tensor, noisy: tf.Tensor, confusing: tf.Tensor) -> tf.Tensor:
    return posterior(classes, types, label_probabilities(noisy, confusing))


def m_step(classes: tf.Tensor, types: tf.Tensor, noisy: tf.Tensor, confusing: tf.Tensor) -> tf.Tensor:
    """What the method minimises on noisy rows: both nets' cross-entropy with the posterior, held constant."""
    expected = tf.stop_gradient(expected_labels(classes, types, noisy, confusing))
    of_classes = cross_entropy(classes, tf.reduce_sum(expected, axis=2))
    return tf.reduce_mean(of_classes + cross_entropy(types, tf.reduce_sum(expected, axis=1)))


def test_the_posterior_is_that_of_the_equations(rows: tuple) -> None:
    joint = by_definition(*rows)
    computed = expected_labels(*(tf.constant(a) for a in rows)).numpy()
    np.testing.assert_allclose(computed, joint / joint.sum(axis=(1, 2), keepdims=True), rtol=1e-12, atol=1e-300)
    assert (computed == 0).sum() == (joint == 0).sum() > 0


def test_the_gradient_of_em_is_that_of_the_marginal_likelihood(rows: tuple) -> None:
    """Eq. (7) against ``-log sum_{y,z} p(n|y,z) p(y|x) p(z|x)``, by automatic and by finite differences."""
    classes, types, noisy, confusing = (tf.constant(a) for a in rows)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([classes, types])
        em = m_step(classes, types, noisy, confusing)
        joint = (
            label_probabilities(noisy, confusing) * tf.nn.softmax(classes)[:, :, None] * tf.nn.softmax(types)[:, None]
        )
        likelihood = -tf.reduce_mean(tf.math.log(tf.reduce_sum(joint, axis=(1, 2))))
    gradients = tape.gradient(em, [classes, types])
    for one, other in zip(gradients, tape.gradient(likelihood, [classes, types]), strict=True):
        assert np.abs(one - other).max() < 1e-10
        assert np.abs(one).max() > 1e-3

    def marginal(*logits: np.ndarray) -> float:
        return float(-np.log(by_definition(*logits, *rows[2:]).sum(axis=(1, 2))).mean())

    step = 1e-5
    for which in (0, 1):
        for row, column in np.ndindex(rows[which].shape):
            moved = [[a.copy() for a in rows[:2]] for _ in range(2)]
            moved[0][which][row, column] += step
            moved[1][which][row, column] -= step
            numeric = (marginal(*moved[0]) - marginal(*moved[1])) / (2 * step)
            assert numeric == pytest.approx(float(gradients[which][row, column]), abs=1e-10)


def test_a_class_without_confusing_noise_is_never_confused() -> None:
    confusing = some_noise(5)
    assert confusing[:, 4].sum() == 0
    rng = np.random.default_rng(0)
    certain = np.array([[0.0, 0.0, 1e4]])  # of the third type, and of the class that has none of it
    for noisy in range(5):
        for classes in (rng.normal(size=(1, 5)), np.eye(5)[4:] * 50.0, np.eye(5)[4:] * 1e4):
            for types in (np.zeros((1, 3)), certain):
                label = np.eye(5)[noisy : noisy + 1]
                computed = expected_labels(
                    *(tf.constant(a, tf.float32) for a in (classes, types, label, confusing))
                ).numpy()
                assert computed[0, 4, 2] == 0.0
                assert computed.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("scale", [1e2, 1e4, 1e8])
def test_values_and_gradients_stay_finite(scale: float) -> None:
    """Whatever class and type are certain, and whatever the label: also where all of it is impossible."""
    confusing = tf.constant(some_noise(4), tf.float32)
    signed = [(classes, types) for classes in (*np.eye(4), *-np.eye(4)) for types in (*np.eye(3), *-np.eye(3))]
    logits = [
        tf.constant(np.repeat(np.stack(part), 4, axis=0) * scale, tf.float32) for part in zip(*signed, strict=True)
    ]
    noisy = tf.tile(tf.eye(4), (len(signed), 1))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = m_step(*logits, noisy, confusing)
    assert 0 < float(loss) < 10 * scale
    assert all(np.isfinite(g.numpy()).all() for g in tape.gradient(loss, logits))
    computed = expected_labels(*logits, noisy, confusing).numpy()
    np.testing.assert_allclose(computed.sum(axis=(1, 2)), 1, rtol=1e-5)


def test_noise_types_of_pairs() -> None:
    confusing = some_noise(6, seed=3)
    noisy, true = (part.ravel() for part in np.mgrid[:6, :6])
    of_label = label_probabilities(tf.constant(np.eye(6)[noisy]), tf.constant(confusing))
    computed = noise_type_targets(tf.constant(np.eye(6)[true]), of_label).numpy()
    np.testing.assert_array_equal(computed, np.eye(3)[noise_types(confusing)[noisy, true]])
    assert (computed.sum(axis=0) > 3).all()


@pytest.mark.parametrize("phase", ["pretrain", "fixed-types", "em", FINETUNE])
def test_what_steps_in_numpy_follow_is_the_gradient_of_the_losses(phase: str) -> None:
    rng = np.random.default_rng(3)
    count, width, classes, clean = 9, 6, 5, 9 if phase in ("pretrain", FINETUNE) else 4
    problem = Problem(width, tuple("abcde"), "single-label", rng.integers(1, 50, (classes, classes)))
    settings = configure("noise-types", {"type_weight": 0.7, "z_gradient": 0.3, "clean_weight": 0.9})
    method = get_method("noise-types")(settings, problem)
    features = rng.normal(size=(count, width)).astype(np.float32)
    noisy, verified = (np.eye(classes, dtype=np.float32)[rng.integers(classes, size=n)] for n in (count, clean))
    mask = np.ones_like(verified)
    verified[1] = 0.0  # nobody named its class
    mask[1] = noisy[1]
    noisy[2] = 0.0  # it has no noisy label

    tensors = Batch(clean, *map(tf.constant, (noisy, verified, mask)), weights=tf.ones(count - clean))
    layers = {name: method.layers[name] for name in ("classifier", "types")}
    with tf.GradientTape() as tape:
        losses = method.losses(phase, tf.constant(features), tensors)
    variables = [v for group in method.groups().values() for v in group]
    expected = tape.gradient(losses["loss"], [v.value for v in variables])

    arrays = get_method("noise-types")(settings, problem, arrays=True)
    for name, layer in layers.items():
        arrays.layers[name].set_weights(layer.get_weights())
    arrays.constants["C"].assign(method.constants["C"].numpy())
    batch = Batch(clean, noisy, verified, mask, weights=np.ones(count - clean, np.float32))
    ours, gradients = MethodOnFeatures(arrays).gradients(phase, features, batch, 0)
    assert list(ours) == list(losses)
    np.testing.assert_allclose([float(v) for v in ours.values()], [float(v) for v in losses.values()], rtol=1e-5)
    moved = [g for g in expected if g is not None]
    assert len(gradients) == (2 if phase in ("fixed-types", FINETUNE) else 4)
    for gradient, by_tensorflow in zip(gradients, moved, strict=False):
        np.testing.assert_allclose(gradient, by_tensorflow, rtol=1e-4, atol=1e-7)
