"""The label noise model of Xiao 2015: its posterior, its gradient, and what it does at the extremes."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from nlcli.methods.noise_types import (
    label_probabilities,
    log_joint,
    negative_log_likelihood,
    noise_type_targets,
    posterior,
)
from nlcli.transition import confusing_noise, noise_types


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
    found = np.empty((*classes.shape, 3))
    for row, n in enumerate(noisy.argmax(axis=1)):
        for y in range(count):
            of_label = [float(n == y), float(n != y) / (count - 1), confusing[n, y]]
            found[row, y] = p[row, y] * q[row] * of_label
    return found


def test_label_probabilities_sum_to_one() -> None:
    confusing = some_noise(6)
    every = label_probabilities(tf.eye(6, dtype="float64"), tf.constant(confusing)).numpy()  # [noisy, true, type]
    np.testing.assert_allclose(every.sum(axis=0)[:, :2], 1)
    np.testing.assert_allclose(every.sum(axis=0)[:, 2], [1, 1, 1, 1, 1, 0])
    np.testing.assert_array_equal(every[:, :, 2], confusing)


def test_joint_posterior_and_likelihood_are_those_of_the_equations(rows: tuple) -> None:
    tensors = [tf.constant(a) for a in rows]
    joint = by_definition(*rows)
    np.testing.assert_allclose(np.exp(log_joint(*tensors)), joint, rtol=1e-12, atol=1e-300)
    total = joint.sum(axis=(1, 2))
    np.testing.assert_allclose(posterior(*tensors), joint / total[:, None, None], rtol=1e-12, atol=1e-300)
    assert float(negative_log_likelihood(*tensors)) == pytest.approx(-np.log(total).mean(), rel=1e-12)
    no_label = [tensors[0], tensors[1], tensors[2] * np.eye(7)[:, :1], tensors[3]]
    assert float(negative_log_likelihood(*no_label)) == pytest.approx(-np.log(total[0]), rel=1e-12)


def test_the_gradient_is_that_of_em(rows: tuple) -> None:
    """Eq. (7): cross-entropies of both nets with the posterior held constant; and finite differences."""
    classes, types, noisy, confusing = (tf.constant(a) for a in rows)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([classes, types])
        likelihood = negative_log_likelihood(classes, types, noisy, confusing)
        expected = tf.stop_gradient(posterior(classes, types, noisy, confusing))
        of_classes = tf.reduce_sum(tf.reduce_sum(expected, axis=2) * tf.nn.log_softmax(classes), axis=1)
        of_types = tf.reduce_sum(tf.reduce_sum(expected, axis=1) * tf.nn.log_softmax(types), axis=1)
        em = -tf.reduce_mean(of_classes + of_types)
    gradients = tape.gradient(likelihood, [classes, types])
    for one, other in zip(gradients, tape.gradient(em, [classes, types]), strict=True):
        assert np.abs(one - other).max() < 1e-15
        assert np.abs(one).max() > 1e-3
    step, marginal = 1e-5, lambda a, b: -np.log(by_definition(a, b, *rows[2:]).sum(axis=(1, 2))).mean()
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
                found = posterior(*(tf.constant(a, tf.float32) for a in (classes, types, label, confusing))).numpy()
                assert found[0, 4, 2] == 0.0
                assert found.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("scale", [1e2, 1e4, 1e8])
def test_values_and_gradients_stay_finite(scale: float) -> None:
    """Whatever class and type are certain, and whatever the label: also where all of it is impossible."""
    confusing = tf.constant(some_noise(4), tf.float32)
    for classes in (*np.eye(4), *-np.eye(4)):
        for types in (*np.eye(3), *-np.eye(3)):
            logits = [tf.constant(np.tile(a, (4, 1)) * scale, tf.float32) for a in (classes, types)]
            with tf.GradientTape() as tape:
                tape.watch(logits)
                loss = negative_log_likelihood(*logits, tf.eye(4), confusing)
            assert np.isfinite(float(loss))
            assert float(loss) < 10 * scale
            assert all(np.isfinite(g.numpy()).all() for g in tape.gradient(loss, logits))
            assert np.isfinite(posterior(*logits, tf.eye(4), confusing)).all()


def test_noise_types_of_pairs() -> None:
    confusing = some_noise(6, seed=3)
    noisy, true = (part.ravel() for part in np.mgrid[:6, :6])
    found = noise_type_targets(
        tf.constant(np.eye(6)[noisy]), tf.constant(np.eye(6)[true]), tf.constant(confusing)).numpy()
    np.testing.assert_array_equal(found, np.eye(3)[noise_types(confusing)[noisy, true]])
    assert (found.sum(axis=0) > 3).all()


def test_a_pair_that_lacks_a_label_has_no_noise_type() -> None:
    labels, none = tf.eye(6, dtype="float64"), tf.zeros((6, 6), "float64")
    for noisy, true in ((none, labels), (labels, none), (none, none)):
        np.testing.assert_array_equal(noise_type_targets(noisy, true, tf.constant(some_noise(6))), np.zeros((6, 3)))
