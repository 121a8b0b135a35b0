"""Our optimizers give the updates of Keras's, with fused kernels and without."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from nlcli.methods.base.array_layers import ArrayVariable
from nlcli.methods.base.contract import Phase, Schedule
from nlcli.training.loop import array_steps
from nlcli.training.loop.array_steps import ARRAY_OPTIMIZERS, ArrayOptimizer, ArraySteps
from nlcli.training.loop.contract import Block
from nlcli.training.loop.optimizers import OPTIMIZERS

KERAS = {
    "adam": keras.optimizers.Adam,
    "rmsprop": keras.optimizers.RMSprop,
    "sgd": lambda rate: keras.optimizers.SGD(rate, momentum=0.9),
}


def variables(seed: int = 0) -> list[keras.Variable]:
    rng = np.random.default_rng(seed)
    return [keras.Variable(rng.normal(size=shape).astype("float32")) for shape in ((5, 3), (3,))]


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("fused", [True, False])
def test_equal_to_keras(name: str, fused: bool) -> None:
    assert set(KERAS) == set(OPTIMIZERS)
    ours, theirs = variables(), variables()
    optimizer = OPTIMIZERS[name](ours, fused=fused)
    reference = KERAS[name](0.01)
    rng = np.random.default_rng(1)
    for step in range(30):
        gradients = [tf.constant(rng.normal(size=v.shape) * 10.0 ** rng.integers(-4, 3), tf.float32) for v in ours]
        optimizer.apply(gradients, tf.constant([0.01]), tf.constant(step))
        reference.apply(gradients, theirs)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine.numpy(), other.numpy(), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", ARRAY_OPTIMIZERS)
def test_arrays_in_parts_are_updated_alike(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_steps, "_PART", 4)  # the kernel has 15 weights
    ours, theirs = [ArrayVariable("", v.numpy().copy()) for v in variables()], variables()
    optimizer, reference = ARRAY_OPTIMIZERS[name](ours, [0, 1]), OPTIMIZERS[name](theirs, [0, 1])
    rng, rates, decay = np.random.default_rng(1), np.array([0.01, 0.002], np.float32), 0.1
    for step in range(30):
        gradients = [(rng.normal(size=v.shape) * 10.0 ** rng.integers(-4, 3)).astype(np.float32) for v in ours]
        added = [gradients[0] + np.float32(decay) * theirs[0].numpy(), gradients[1].copy()]  # of kernels alone
        optimizer.apply(gradients, rates, step, decay)
        reference.apply([tf.constant(gradient) for gradient in added], tf.constant(rates), tf.constant(step))
        if step == 14:  # what it is resumed from
            state = [slot.numpy().copy() for slot in optimizer.state]
            optimizer = ARRAY_OPTIMIZERS[name](ours, [0, 1])
            for slot, value in zip(optimizer.state, state, strict=True):
                slot.assign(value)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine.numpy(), other.numpy(), rtol=2e-5, atol=2e-6)


def test_averages_of_steps_on_arrays_by_hand() -> None:
    """Weights 0, then 1, 2, 3, 4 after steps: the mean of the first two is 1.5, then it goes half of the way each time."""
    weight = ArrayVariable("w", np.zeros(1, np.float32))

    class Moving(ArrayOptimizer):
        moments = 0

        def _update(self, weights: np.ndarray, slope: np.ndarray, *rest: Any) -> None:
            weights -= slope

    class Model:
        arrays = True

        def gradients(self, *given: Any) -> tuple[dict[str, float], list[np.ndarray]]:
            return {"loss": 0.0}, [np.array([-1.0], np.float32)]

    steps = ArraySteps(Model(), Phase("all", "noisy", 4, {}, average=2), Moving([weight], [0]), 0)  # type: ignore[arg-type]
    rows, none = np.zeros((1, 1), np.int32), np.zeros((1, 0, 1), np.uint8)
    block = Block(np.zeros((1, 1), np.float32), rows, none, none, none)
    seen = []
    for step in range(4):
        steps(block, np.ones((1, 1), np.float32), step)
        seen.append(float(steps.averages[0].value[0]))
    assert seen == [1.0, 1.5, 2.25, 3.125]
    assert weight.value == [4.0]


def test_first_adam_step_by_hand() -> None:
    # m = 0.1 g, v = 0.001 g^2, corrected to g and g^2: the step is rate * sign(g).
    variable = keras.Variable(np.array([1.0, -2.0], "float32"))
    OPTIMIZERS["adam"]([variable]).apply([tf.constant([4.0, -0.5])], tf.constant([0.1]), tf.constant(0))
    np.testing.assert_allclose(variable.numpy(), [0.9, -1.9], rtol=1e-5)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("fused", [True, False])
def test_groups_have_their_own_rates_and_none_is_left_alone(name: str, fused: bool) -> None:
    first, second, untouched = (keras.Variable(np.ones(2, "float32")) for _ in range(3))
    optimizer = OPTIMIZERS[name]([first, second, untouched], [0, 1, 1], fused=fused)
    gradient = tf.constant([1.0, -1.0])
    optimizer.apply([gradient, gradient, None], tf.constant([0.1, 0.001]), tf.constant(0))
    moved = [v.numpy() - 1.0 for v in (first, second, untouched)]
    np.testing.assert_allclose(moved[0], 100 * moved[1], rtol=1e-3)
    assert (moved[2] == 0).all()
    assert (optimizer.state[-1].numpy() == 0).all()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_state_is_all_there_is_to_resume(name: str) -> None:
    rng = np.random.default_rng(2)
    gradients = [[tf.constant(rng.normal(size=v.shape), tf.float32) for v in variables()] for _ in range(6)]
    whole = variables()
    optimizer = OPTIMIZERS[name](whole)
    for step in range(6):
        if step == 3:
            weights = [v.numpy().copy() for v in whole]
            state = [v.numpy().copy() for v in optimizer.state]
        optimizer.apply(gradients[step], tf.constant([0.01]), tf.constant(step))
    resumed = variables(9)
    other = OPTIMIZERS[name](resumed)
    for variable, value in zip([*resumed, *other.state], [*weights, *state], strict=True):
        variable.assign(value)
    for step in range(3, 6):
        other.apply(gradients[step], tf.constant([0.01]), tf.constant(step))
    for mine, theirs in zip(whole, resumed, strict=True):
        assert np.array_equal(mine.numpy(), theirs.numpy())


def test_schedules() -> None:
    steps = np.array([0, 9, 10, 19, 20])
    np.testing.assert_array_equal(Schedule(0.5).at(steps, 7.0), np.full(5, 0.5, np.float32))
    by_steps = Schedule(1.0, 0.1, 10).at(steps, 7.0)
    np.testing.assert_allclose(by_steps, [1, 1, 0.1, 0.1, 0.01], rtol=1e-6)
    # 0.94 every 2 epochs of 5 steps each
    by_epochs = Schedule(1.0, 0.94, 2.0, "epochs").at(steps, 5.0)
    np.testing.assert_allclose(by_epochs, [1, 1, 0.94, 0.94, 0.94**2], rtol=1e-6)
    assert by_epochs.dtype == np.float32
