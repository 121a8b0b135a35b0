"""A path's points are solutions of their own, whatever they were started from; what is taken is near the best."""

from __future__ import annotations

import numpy as np
import pytest

from nlcli.estimation.objective import Term
from nlcli.estimation.path import STRENGTHS, clearly_worse, path_values, simplest_near_best, solve_path
from nlcli.estimation.solver import solve
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
