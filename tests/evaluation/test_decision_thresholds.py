"""Thresholds chosen on verified entries, against values by hand and by brute force."""

from __future__ import annotations

import numpy as np
import pytest

from nlcli.evaluation.decision_thresholds import FEWEST, best_f1, choose_thresholds
from nlcli.evaluation.scored_images import Answers, Entries, ScoredImages


def scored(labels: np.ndarray, scores: np.ndarray, mask: np.ndarray | None = None) -> ScoredImages:
    """Images whose entries are verified where ``mask`` says."""
    image, column = np.nonzero(np.ones(labels.shape) if mask is None else mask)
    entries = Entries(image, column, labels[image, column].astype(bool), scores[image, column].astype(np.float32))
    nobody = np.full(len(labels), -1)
    keys = np.array([str(i) for i in range(len(labels))], object)
    classes = tuple(f"c{c}" for c in range(labels.shape[1]))
    return ScoredImages(classes, keys, entries, Answers.of(nobody, scores.astype(np.float32)))


def test_by_hand() -> None:
    # Called from 0.9 on: F1 2/3; from 0.7: 2*2/(3+2) = 0.8; from 0.6 on 2*2/(4+2).
    assert best_f1(np.array([1, 0, 1, 0], bool), np.array([0.9, 0.8, 0.7, 0.5])) == pytest.approx(0.6)
    assert best_f1(np.array([1, 1], bool), np.array([0.25, 0.75])) == 0.25  # all are called, nothing is below
    # Equal scores are called together or not at all.
    assert best_f1(np.array([1, 0, 0, 0], bool), np.array([0.5, 0.5, 0.5, 0.25])) == pytest.approx(0.375)


def test_no_other_threshold_has_a_better_f1() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        label = rng.random(40) < 0.3
        label[0] = True
        score = np.round(rng.random(40) + 0.3 * label, 1)

        def f1(threshold: float, label: np.ndarray = label, score: np.ndarray = score) -> float:
            called = score >= threshold
            return 2 * (called & label).sum() / (called.sum() + label.sum())

        assert f1(best_f1(label, score)) == pytest.approx(max(f1(t) for t in np.arange(0, 1.4, 0.05)))


def test_a_class_has_its_own_where_enough_is_verified() -> None:
    rng = np.random.default_rng(1)
    labels = np.zeros((60, 3), int)
    labels[:20, 0] = labels[: FEWEST - 1, 1] = 1
    labels[: 60 - FEWEST, 2] = 1
    scores = np.clip(0.5 * labels + rng.random(labels.shape) * [0.2, 0.6, 0.4], 0, 1)
    chosen = choose_thresholds(scored(labels, scores))
    assert [t.chosen_on for t in chosen.by_class] == ["class", "all classes", "class"]
    assert [t.positives for t in chosen.by_class] == [20, FEWEST - 1, 60 - FEWEST]
    assert chosen.by_class[0].value == pytest.approx(best_f1(labels[:, 0] == 1, scores[:, 0]), abs=1e-6)
    assert chosen.by_class[1].value == pytest.approx(best_f1(labels.ravel() == 1, scores.ravel()), abs=1e-6)
    assert chosen.images == 60


def test_unverified_entries_have_no_part() -> None:
    rng = np.random.default_rng(2)
    labels, mask = rng.random((80, 2)) < 0.4, rng.random((80, 2)) < 0.7
    scores = rng.random((80, 2))
    other = np.where(mask, labels, ~labels)
    assert choose_thresholds(scored(labels, scores, mask)) == choose_thresholds(scored(other, scores, mask))


def test_precision_and_recall_are_of_images_that_chose_nothing() -> None:
    """Scores of chance: what chooses the thresholds looks better than it is, what is measured does not."""
    rng = np.random.default_rng(3)
    labels, scores = rng.random((2000, 4)) < 0.2, rng.random((2000, 4))
    chosen = choose_thresholds(scored(labels, scores))
    low, high = chosen.precision.interval
    assert low < 0.2 < high
    perfect = choose_thresholds(scored(labels, labels * 0.5 + 0.25 * rng.random(labels.shape)))
    assert (perfect.precision.value, perfect.recall.value) == (1.0, 1.0)
    assert perfect.recall.rests_on == labels.sum()


def test_nothing_that_is_there_chooses_nothing() -> None:
    chosen = choose_thresholds(scored(np.zeros((5, 2)), np.full((5, 2), 0.9)))
    assert [(t.value, t.chosen_on) for t in chosen.by_class] == [(0.5, "nothing")] * 2
    assert chosen.recall.value is None
