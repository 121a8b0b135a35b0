"""A path's points are solutions of their own, whatever they were started from; what is taken is near the best."""

from __future__ import annotations

import numpy as np
import pytest

from nlcli.estimation.design import ArrayBlocks
from nlcli.estimation.linear_model import Task
from nlcli.estimation.objective import Term
from nlcli.estimation.path import STRENGTHS, clearly_worse, path_values, simplest_near_best, solve_path
from nlcli.estimation.preconditioner import Preconditioner
from nlcli.estimation.solver import Solution, solve
from nlcli.seeds import stream


def test_a_path_is_its_points_and_does_not_know_the_features_unit() -> None:
    random = stream(0, "path")
    features, classes = random.normal(size=(60, 4)) + 5.0, random.integers(0, 3, size=60)
    term = Term(np.eye(3)[classes])
    values = path_values(features)
    assert values[0] == pytest.approx(STRENGTHS[0] * features.var(axis=0).sum())
    assert len(values) == 9
    assert values[0] / values[-1] == pytest.approx(1e4)
    tenfold = path_values(10.0 * features)
    both = zip(
        solve_path(features, term, "single-label", 3, values[:3], tolerance=1e-13),
        solve_path(10.0 * features, term, "single-label", 3, tenfold[:3], tolerance=1e-13),
        values,
        strict=False,
    )
    for one, other, l2 in both:
        alone = solve(features, term, "single-label", 3, l2, tolerance=1e-13)
        assert one.l2 == l2
        np.testing.assert_allclose(one.model.kernel, alone.model.kernel, atol=1e-5)
        np.testing.assert_allclose(one.model.kernel, 10.0 * other.model.kernel, atol=1e-5)


@pytest.mark.parametrize("task", ["single-label", "multi-label"])
def test_a_solution_goes_on_where_another_ended(task: Task) -> None:
    """What it comes to is what it would have come to alone; the first look at the data is spared."""
    random = stream(1, "path")
    features, towards = random.normal(size=(80, 4)) + 5.0, random.normal(size=(4, 3))
    targets = np.eye(3)[random.integers(0, 3, size=80)] if task == "single-label" else random.random((80, 3)) < 0.4
    term, values = Term(targets), path_values(features)

    def alone(l2: float) -> Solution:
        return solve(features, term, task, 3, l2, towards=towards, tolerance=1e-13, keep=True)

    path = list(solve_path(features, term, task, 3, values[:5], towards=towards, tolerance=1e-13))
    for resumed, l2 in zip(path, values, strict=False):
        other = alone(l2)
        np.testing.assert_allclose(resumed.model.kernel, other.model.kernel, atol=1e-5)
        np.testing.assert_allclose(resumed.model.bias, other.model.bias, atol=1e-5)
        assert resumed.loss == pytest.approx(other.loss, rel=1e-12)
    assert sum(one.evaluations for one in path[1:]) < sum(alone(l2).evaluations for l2 in values[1:5])

    preconditioner = Preconditioner(ArrayBlocks(features))
    first = solve(features, term, task, 3, values[2], tolerance=1e-6, keep=True, preconditioner=preconditioner)
    again = solve(features, term, task, 3, values[2], tolerance=1e-6, after=first, preconditioner=preconditioner)
    assert again.evaluations == again.iterations == 0
    np.testing.assert_array_equal(again.model.kernel, first.model.kernel)
    assert again.loss == pytest.approx(first.loss, rel=1e-14)
    assert again.progress is None


def test_the_simplest_within_a_standard_error() -> None:
    best = np.array([0.0, 1.0, 0.0, 1.0])
    # 0.1 worse with a standard error of 0.2 / sqrt(3) = 0.115 of the paired difference; 0.3 worse with the same.
    near, far = best + 0.1 + 0.2 * np.array([1, -1, 1, -1]), best + 0.3 + 0.2 * np.array([1, -1, 1, -1])
    assert simplest_near_best(np.array([far, near, best])) == 1
    assert simplest_near_best(np.array([far, near, best]), standard_errors=0.0) == 2
    assert simplest_near_best(np.array([far, near, best]), standard_errors=3.0) == 0
    assert simplest_near_best(np.array([best, best])) == 0


def test_a_path_ends_when_two_points_are_clearly_worse() -> None:
    best = np.array([0.0, 1.0, 0.0, 1.0])
    worse = best + 0.3 + 0.2 * np.array([1, -1, 1, -1])  # 2.6 standard errors
    assert clearly_worse(np.array([best, worse, worse]))
    assert not clearly_worse(np.array([worse, best, worse]))
    assert not clearly_worse(np.array([best, worse, best]))
    assert not clearly_worse(np.array([worse, worse, best]))
