"""``weight_decay`` means the same in every method: half of it times the squares of kernels, an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nlcli.data.labels import Task
from nlcli.methods import METHODS, get_method
from nlcli.training.checks import LEARNT, Case
from nlcli.training.planted import TRAIN

QUICK: dict[str, dict[str, Any]] = {"residual": {"hidden": 16}, "teacher-student": {"hidden": 16, "pretrain_steps": 50}}


@pytest.mark.parametrize("task", ["single-label", "multi-label"])
def test_what_is_solved_is_where_steps_would_end_at_the_same_weight_decay(task: Task, tmp_path: Path) -> None:
    """The gradient of what steps minimise is zero at the solution, so that both decays are an image's."""
    import tensorflow as tf

    case = Case(get_method("noisy"), task)
    method = case.build(get_method("noisy").Config(solver="solved", feature_scale="unit", weight_decay=0.01))
    case.solve(method, tmp_path)
    (phase,) = method.phases()
    images = np.diff(case.planted.table.noisy.indptr)[:TRAIN] > 0
    features, batch = case.batch(method, phase, rows=int(images.sum()))  # every labelled training image once
    kernel, bias = (variable.value for variable in method.classifier.trainable_variables)

    def gradients(decay: float) -> list[float]:
        with tf.GradientTape() as tape:
            loss = method.losses(phase.name, method.scale(features), batch)["loss"] + decay * tf.nn.l2_loss(kernel)
        return [float(np.abs(gradient).max()) for gradient in tape.gradient(loss, [kernel, bias])]

    assert max(gradients(phase.weight_decay)) < 2e-5
    assert max(gradients(0.0)) > 1e-3


@pytest.mark.parametrize("task", ["single-label", "multi-label"])
@pytest.mark.parametrize("name", ["noisy", "residual"])
def test_none_collapses_up_to_a_thousandth(name: str, task: Task, tmp_path: Path) -> None:
    method, case = _trained(name, task, 1e-3, tmp_path)
    metric, least = LEARNT[task]
    assert method > least, f"{name} falls to {metric} {method:.3f}; {case}"


@pytest.mark.slow
@pytest.mark.parametrize("task", ["single-label", "multi-label"])
@pytest.mark.parametrize("decay", [1e-5, 1e-4, 1e-3])
@pytest.mark.parametrize(
    "name",
    [name for name in METHODS.ours if get_method(name).stepped and not get_method(name).whole_network],
)
def test_none_collapses_in_the_range_that_the_docs_give(name: str, decay: float, task: Task, tmp_path: Path) -> None:
    if task in get_method(name).tasks:
        assert _trained(name, task, decay, tmp_path)[0] > 0.9 * LEARNT[task][1]


def _trained(name: str, task: Task, decay: float, folder: Path) -> tuple[float, Case]:
    case = Case(get_method(name), task, QUICK.get(name, {}) | {"weight_decay": decay})
    outcome = case.train(case.build(), folder)
    return outcome.metrics()[LEARNT[task][0]], case
