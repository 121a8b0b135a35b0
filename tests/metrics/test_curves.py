"""Curves against hand-computed values and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from nlcli.metrics.curves import POINTS, precision_recall_curve, roc_curve
from worlds.random_scores import EXACT, random_case


def test_curve_by_hand():
    curve = precision_recall_curve([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1])
    np.testing.assert_allclose(curve.precision, [1, 1 / 2, 2 / 3])
    np.testing.assert_allclose(curve.recall, [1 / 2, 1 / 2, 1])
    np.testing.assert_allclose(curve.threshold, [0.9, 0.8, 0.7])
    assert len(precision_recall_curve([0, 0], [0.1, 0.2]).recall) == 0


@pytest.mark.parametrize("levels", [None, 3])
def test_curve_is_scikit_learns(levels):
    labels, scores, _ = random_case(2000, 1, levels=levels)
    curve = precision_recall_curve(labels[:, 0], scores[:, 0])
    precision, recall, threshold = reference.precision_recall_curve(labels[:, 0], scores[:, 0])
    points = np.flatnonzero(recall[:-1] == 1)[-1:]  # the first threshold of full recall, seen from above
    kept = slice(points[0], -1)
    np.testing.assert_allclose(curve.precision, precision[kept][::-1], atol=EXACT)
    np.testing.assert_allclose(curve.recall, recall[kept][::-1], atol=EXACT)
    np.testing.assert_allclose(curve.threshold, threshold[points[0] :][::-1])
    thin = curve.thinned(50)
    assert len(thin.recall) <= 51
    assert thin.recall[-1] == 1
    assert thin.threshold[0] == curve.threshold[0]


def test_roc_curve_by_hand() -> None:
    curve = roc_curve(np.array([True, False, True, False]), np.array([0.9, 0.1, 0.1, 0.5], np.float32))
    assert curve.rejected.tolist() == [0, 0.5, 0.5, 1]
    assert curve.caught.tolist() == [0, 0.5, 1, 1]
    assert curve.precision.tolist() == [1, 0.5, 2 / 3, 0.5]
    assert curve.threshold.tolist() == pytest.approx([0.1, 0.5, 0.9, np.inf])
    many = roc_curve(np.arange(5000) % 3 > 0, np.linspace(0, 1, 5000))
    assert len(many.caught) <= POINTS
    assert (many.rejected[-1], many.caught[-1]) == (1, 1)
