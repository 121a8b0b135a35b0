"""Losses against values worked out by hand, their masks, and their gradients at the extremes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from nlcli.methods.base.losses import (
    binary_cross_entropy,
    clipped_absolute_error,
    masked_mean,
    mixture_cross_entropy,
    softmax_cross_entropy,
    transition_cross_entropy,
    verified_softmax_cross_entropy,
)


def tensor(values: object) -> tf.Tensor:
    return tf.constant(values, tf.float32)


def test_binary_cross_entropy_by_hand() -> None:
    # p = 1/2, 3/4, 1/4: -log(1/2), -log(3/4), -log(3/4)
    logits = tensor([[0.0, math.log(3.0), -math.log(3.0)]])
    loss = binary_cross_entropy(logits, tensor([[1, 1, 0]]))
    assert float(loss) == pytest.approx((math.log(2) + 2 * math.log(4 / 3)) / 3, rel=1e-6)


def test_binary_cross_entropy_has_its_second_half() -> None:
    # The printed equations of Hu 2018 drop (1 - t) log(1 - p): an absent label would cost nothing.
    assert float(binary_cross_entropy(tensor([[2.0]]), tensor([[0.0]]))) == pytest.approx(math.log1p(math.exp(2.0)))


def test_binary_cross_entropy_takes_soft_targets() -> None:
    loss = binary_cross_entropy(tensor([[math.log(3.0)]]), tensor([[0.4]]))
    assert float(loss) == pytest.approx(-(0.4 * math.log(0.75) + 0.6 * math.log(0.25)), rel=1e-6)


def test_masked_entries_have_no_influence_and_the_mean_is_over_the_others() -> None:
    logits, targets, mask = tensor([[0.0, 50.0], [1.0, -7.0]]), tensor([[1, 0], [0, 1]]), tensor([[1, 0], [1, 0]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = binary_cross_entropy(logits, targets, mask)
    assert float(loss) == pytest.approx((math.log(2) + math.log1p(math.e)) / 2, rel=1e-6)
    # d/dx = (sigmoid(x) - t) / 2 on the two verified entries
    expected = [[-0.25, 0.0], [0.5 / (1 + math.exp(-1)), 0.0]]
    np.testing.assert_allclose(tape.gradient(loss, logits), expected, rtol=1e-6)


def test_a_batch_without_verified_entries_costs_nothing() -> None:
    logits = tensor([[3.0, -2.0]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = binary_cross_entropy(logits, tensor([[1, 1]]), tensor([[0, 0]]))
    assert float(loss) == 0.0
    np.testing.assert_array_equal(tape.gradient(loss, logits), [[0.0, 0.0]])


@pytest.mark.parametrize(("logit", "target"), [(1e4, 0.0), (-1e4, 1.0), (1e4, 1.0), (-1e4, 0.0)])
def test_extreme_logits_stay_finite(logit: float, target: float) -> None:
    logits = tensor([[logit]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = binary_cross_entropy(logits, tensor([[target]]))
    wrong = (logit > 0) != (target > 0)
    assert float(loss) == pytest.approx(1e4 if wrong else 0.0)
    assert float(tape.gradient(loss, logits)[0, 0]) == pytest.approx(math.copysign(1.0, logit) if wrong else 0.0)


def test_softmax_cross_entropy_by_hand() -> None:
    logits = tensor([[math.log(1), math.log(2), math.log(5)], [0, 0, 0]])
    targets = tensor([[0, 1, 0], [0, 0, 1]])
    assert float(softmax_cross_entropy(logits, targets)) == pytest.approx((math.log(4) + math.log(3)) / 2, rel=1e-6)
    assert float(softmax_cross_entropy(logits, targets, tensor([1, 0]))) == pytest.approx(math.log(4), rel=1e-6)


def test_rows_on_which_no_class_was_named_are_left_out() -> None:
    logits = tensor([[math.log(1), math.log(3)], [9.0, 0.0]])
    verified, mask = tensor([[0, 1], [0, 0]]), tensor([[1, 1], [1, 0]])
    assert float(verified_softmax_cross_entropy(logits, verified, mask)) == pytest.approx(math.log(4 / 3), rel=1e-6)


def test_masked_mean_without_mask() -> None:
    assert float(masked_mean(tensor([[1.0, 2.0], [3.0, 6.0]]))) == 3.0


def test_clipped_absolute_error_by_hand() -> None:
    values, targets = tensor([[1.3, 1.3, -0.2, -0.2, 0.4, 1.0]]), tensor([[1, 0, 0, 1, 1, 0]])
    with tf.GradientTape() as tape:
        tape.watch(values)
        loss = clipped_absolute_error(values, targets)
    assert float(loss) == pytest.approx((0 + 1 + 0 + 1 + 0.6 + 1) / 6, rel=1e-6)
    # Clipped entries that are wrong are pulled back, those that are right are left alone.
    np.testing.assert_allclose(tape.gradient(loss, values) * 6, [[0, 1, 0, -1, -1, 1]], rtol=1e-6)
    half = clipped_absolute_error(values, targets, tensor([[1, 1, 0, 0, 1, 0]]))
    assert float(half) == pytest.approx(1.6 / 3, rel=1e-6)
    assert float(clipped_absolute_error(values * 1e30, targets)) == pytest.approx((1 + 1 + 1) / 6)


def test_mixture_cross_entropy_by_hand() -> None:
    # z = 3/4, r1 = 1/2, r0 = 1/4: h = 3/8 + 1/16 = 7/16
    z, r1, r0 = (tensor([[x, x]]) for x in (math.log(3.0), 0.0, -math.log(3.0)))
    loss = mixture_cross_entropy(z, r1, r0, tensor([[1, 0]]))
    assert float(loss) == pytest.approx(-(math.log(7 / 16) + math.log(9 / 16)) / 2, rel=1e-6)


def test_mixture_of_equal_parts_has_its_whole_gradient() -> None:
    # All logits 0: h = 1/2, dh/dz = r1 - r0 = 0 and dh/dr1 = z = 1/2, each times r(1 - r) = 1/4, over h
    logits = [tensor([[0.0]]) for _ in range(3)]
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = mixture_cross_entropy(*logits, tensor([[1]]))
    np.testing.assert_allclose([g[0, 0] for g in tape.gradient(loss, logits)], [0, -0.25, -0.25], atol=1e-7)


@pytest.mark.parametrize("target", [0.0, 1.0])
def test_mixture_stays_finite(target: float) -> None:
    for signs in np.ndindex(2, 2, 2):
        logits = [tensor([[1e4 if sign else -1e4]]) for sign in signs]
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = mixture_cross_entropy(*logits, tensor([[target]]))
        h = signs[1] if signs[0] else signs[2]
        assert float(loss) == pytest.approx(0.0 if h == target else 1e4, abs=1.0)
        assert all(np.isfinite(g.numpy()).all() for g in tape.gradient(loss, logits))


# --- transition_cross_entropy ----------------------------------------------------------------

NOISE = np.array([[0.5, 0.0, 0.1], [0.5, 1.0, 0.1], [0.0, 0.0, 0.8]])  # [noisy, true]


def test_transition_cross_entropy_by_hand() -> None:
    # p = 1/8, 2/8, 5/8: p(n = 0) = (0.5 + 0.5) / 8, p(n = 2) = 4 / 8
    logits = tensor([[math.log(1), math.log(2), math.log(5)]] * 2)
    loss = transition_cross_entropy(logits, tensor([[1, 0, 0], [0, 0, 1]]), tensor(NOISE))
    assert float(loss) == pytest.approx((math.log(8) + math.log(2)) / 2, rel=1e-6)
    right = transition_cross_entropy(logits, tensor([[1, 0, 0], [0, 0, 1]]), tf.eye(3))
    assert float(right) == pytest.approx(float(softmax_cross_entropy(logits, tensor([[1, 0, 0], [0, 0, 1]]))))


def test_labels_that_cannot_be_say_nothing() -> None:
    logits = tensor([[0.3, 0.1, -0.4]] * 3)
    never = tensor([[0.5, 0, 0.1], [0.5, 1, 0.9], [0, 0, 0]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = transition_cross_entropy(logits, tensor([[0, 1, 0], [0, 0, 1], [0, 0, 0]]), never)
    alone = transition_cross_entropy(logits[:1], tensor([[0, 1, 0]]), never)
    assert float(loss) == pytest.approx(float(alone), rel=1e-6)
    gradient = tape.gradient(loss, logits).numpy()
    np.testing.assert_array_equal(gradient[1:], 0)
    assert np.abs(gradient[0]).max() > 0.1


@pytest.mark.parametrize("scale", [1e2, 1e4, 1e8])
def test_transition_cross_entropy_stays_finite(scale: float) -> None:
    for logit in (*np.eye(3), *-np.eye(3)):
        logits = tensor(np.tile(logit * scale, (3, 1)))
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = transition_cross_entropy(logits, tf.eye(3), tensor(NOISE))
        assert 0 <= float(loss) < 2 * scale
        gradient = tape.gradient(loss, logits).numpy()
        assert np.isfinite(gradient).all()
        # A label that only class 2 can have pulls towards it, however sure the others are.
        assert gradient[2, 2] < 0 or logits[2, 2] >= logits[2, 0]


def test_losses_over_verified_labels_by_entries_and_by_images() -> None:
    """Hu 2019, eq. (6), divides by images: with 12 of 6,012 classes verified, entries weigh 501 times as much."""
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(size=(4, 6012)).astype(np.float32), rng.integers(0, 2, (4, 6012)).astype(np.float32)
    mask = np.zeros((4, 6012), np.float32)
    mask[:, :12] = 1.0
    losses = np.log1p(np.exp(logits.astype(np.float64))) - targets * logits
    by_images = (losses * mask).sum(axis=1).mean() / 6012  # eq. (6), over the number of classes as eq. (5) is here
    assert float(binary_cross_entropy(logits, targets, mask, "images")) == pytest.approx(by_images, rel=1e-5)
    assert float(binary_cross_entropy(logits, targets, mask)) == pytest.approx(501 * by_images, rel=1e-5)
    own = float(clipped_absolute_error(logits, targets, mask))
    assert own == pytest.approx(501 * float(clipped_absolute_error(logits, targets, mask, "images")), rel=1e-5)
    whole = np.ones_like(mask)
    assert float(binary_cross_entropy(logits, targets, whole, "images")) == pytest.approx(
        float(binary_cross_entropy(logits, targets, whole)), rel=1e-6
    )


@pytest.mark.parametrize("name", ["residual", "veit", "teacher-student"])
def test_methods_that_learn_from_partly_verified_labels_offer_both(name: str) -> None:
    from nlcli.methods import configure, get_method
    from nlcli.methods.base.contract import Batch, Problem

    rng = np.random.default_rng(1)
    mask = np.zeros((4, 8), np.float32)
    mask[0, :2] = 1.0  # an eighth of the entries of V
    batch = Batch(2, *(rng.integers(0, 2, (4, 8)).astype(np.float32), mask[:2] * 1.0, mask[:2]))
    parts = {}
    for normalise in ("entries", "images"):
        method = get_method(name)(configure(name, {"normalise": normalise}), Problem(5, tuple("abcdefgh")))
        features = np.random.default_rng(2).normal(size=(4, 5)).astype(np.float32)
        if name == "residual":
            batch = Batch(2, batch.noisy[-2:], batch.verified, batch.mask)
        parts[normalise] = {k: float(v) for k, v in method.losses("joint", features, batch).items()}
    assert parts["entries"]["L_clean"] == pytest.approx(8 * parts["images"]["L_clean"], rel=1e-5)
    if name != "residual":  # one mean over rows of V and T: 2 + 16 labelled entries of 32, whoever labelled them
        assert parts["entries"]["L_classify"] == pytest.approx(32 / 18 * parts["images"]["L_classify"], rel=1e-5)
