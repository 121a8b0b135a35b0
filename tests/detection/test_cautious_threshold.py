"""The threshold where no verified label chooses one, on scores made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from nlcli.detection.cautious_threshold import CautiousThreshold, cautious_threshold

SUSPECTS = [0.1, 0.2, 0.3, 0.4, 0.45]


def threshold(against: int, agreeing: int = 3) -> CautiousThreshold:
    """Five labels look wrong; of those believed so many are believed against the classifier."""
    score = np.array(SUSPECTS[::-1] + [0.8] * against + [0.9] * agreeing)
    differs = np.array([True] * (len(SUSPECTS) + against) + [False] * agreeing)
    return cautious_threshold(score, differs)


@pytest.mark.parametrize(
    ("against", "called", "value"),
    [(0, 5, 0.5), (1, 4, 0.425), (3, 4, 0.425), (4, 3, 0.35), (9, 2, 0.25), (12, 1, 0.15), (13, 0, 0.0), (99, 0, 0.0)],
)
def test_one_for_every_three_labels_believed_against_the_classifier_is_taken_off(
    against: int, called: int, value: float
) -> None:
    """5 - 4 / 3 = 3.7, three for certain; the threshold is halfway to the first that is believed."""
    found = threshold(against)
    assert (found.suspects, found.against, found.called) == (5, against, called)
    assert found.value == pytest.approx(value)
    assert int((np.array(SUSPECTS) < found.value).sum()) == called


def test_what_the_classifier_says_of_labels_that_look_wrong_counts_for_nothing() -> None:
    score = np.array([*SUSPECTS, 0.5, 0.9])
    none = cautious_threshold(score, np.zeros(7, bool))
    assert none == cautious_threshold(score, np.array([True] * 5 + [False] * 2))
    assert cautious_threshold(score, np.ones(7, bool)).against == 2


def test_equal_scores_fall_on_one_side() -> None:
    """Four of five are wrong for certain, and the third to the fifth are equal: none of these is called wrong."""
    score = np.array([0.1, 0.2, 0.3, 0.3, 0.3, 0.8, 0.8])
    found = cautious_threshold(score, np.ones(7, bool))
    assert (found.value, found.called) == (pytest.approx(0.3), 2)


def test_its_sentence() -> None:
    start = "cautious, as no verified label chooses it: 5 labels look wrong, and "
    assert threshold(3).meaning == f"{start}3 are believed against the classifier, so that 4 are called wrong"
    assert threshold(15).meaning == f"{start}15 are believed against the classifier, so that none is called wrong"


def test_nothing_to_judge_calls_nothing_wrong() -> None:
    assert cautious_threshold(np.empty(0), np.empty(0, bool)).value == 0.0
