"""Accuracies, confusion and thresholds against hand-computed values and against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics as reference

from nlcli.metrics.decisions import (
    classes_ahead,
    confusion_matrix,
    macro_accuracy,
    macro_recall,
    threshold_metrics,
    top_k_accuracy,
    top_k_correct,
)
from worlds.random_scores import EXACT, random_case


def test_top_k_and_confusion_by_hand():
    scores = np.array([[0.1, 0.7, 0.2], [0.5, 0.5, 0.0], [0.2, 0.3, 0.5], [0.5, 0.5, 0.1]])
    labels = np.array([1, 1, 0, 0])
    assert top_k_correct(labels, scores, 1).tolist() == [True, False, False, True]
    assert top_k_correct(labels, scores, 2).tolist() == [True, True, False, True]
    assert top_k_accuracy(labels, scores, 3) == 1.0
    table = confusion_matrix(labels, scores.argmax(axis=1), 3)
    np.testing.assert_array_equal(table, [[1, 0, 1], [1, 1, 0], [0, 0, 0]])
    assert macro_accuracy(table) == macro_recall(labels, scores.argmax(axis=1)) == 0.5
    assert math.isnan(macro_recall(np.zeros(0, int), np.zeros(0, int)))
    assert math.isnan(top_k_accuracy(np.zeros(0, int), np.zeros((0, 3))))


def test_top_k_is_scikit_learns():
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 9, 400), rng.random((400, 9))
    for k in (1, 5):
        expected = reference.top_k_accuracy_score(labels, scores, k=k)
        assert top_k_accuracy(labels, scores, k) == pytest.approx(expected, abs=EXACT)


def test_threshold_metrics_are_scikit_learns():
    labels, scores, mask = random_case()
    measured = threshold_metrics(labels, scores, threshold=0.3)
    called = scores >= 0.3
    for average, prefix in (("micro", "micro"), ("macro", "macro")):
        precision, recall, f1, _ = reference.precision_recall_fscore_support(labels, called, average=average)
        assert getattr(measured, f"{prefix}_precision") == pytest.approx(precision, abs=EXACT)
        assert getattr(measured, f"{prefix}_recall") == pytest.approx(recall, abs=EXACT)
        if average == "micro":
            assert measured.micro_f1 == pytest.approx(f1, abs=EXACT)
    masked = threshold_metrics(labels, scores, mask, threshold=0.3)
    keep = mask.astype(bool)
    assert masked.micro_precision == pytest.approx(reference.precision_score(labels[keep], called[keep]), abs=EXACT)


def test_classes_ahead_by_hand():
    scores = np.array([[0.5, 0.5, 0.1], [0.5, 0.5, 0.1], [0.2, 0.9, 0.4]], np.float32)
    assert classes_ahead([0, 1, 0], scores).tolist() == [0, 1, 2]
