"""Which images a queue holds, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2

from nlcli.suggestion.candidates import Candidates
from nlcli.suggestion.choice import Choice, choose

NAN = float("nan")


def of(expected: list[float], doubt: list[float] | None = None, group: list[int] | None = None) -> Candidates:
    """Candidate ``i`` is row ``10 + i`` of the table."""
    count = len(expected)
    return Candidates(
        row=np.arange(count) + 10,
        expected=np.array(expected),
        doubt=np.zeros(count) if doubt is None else np.array(doubt),
        group=np.zeros(count, np.int64) if group is None else np.array(group),
        given=np.ones(count, np.int64),
    )


def by_score(choice: Choice) -> list[int]:
    return choice.chosen[~choice.at_random].tolist()


def test_most_expected_errors_come_first_and_ties_by_key() -> None:
    choice = choose(of([0.1, 0.9, NAN, 0.5, 0.9, 0.0]), "clean", 4, 0.0, 0, {})
    assert choice.chosen.tolist() == [1, 4, 3, 0]
    assert not choice.at_random.any()


def test_what_has_no_probability_is_drawn_at_random_alone() -> None:
    assert by_score(choose(of([NAN, 0.2, NAN]), "clean", 3, 0.0, 0, {})) == [1]
    assert sorted(choose(of([NAN, 0.2, NAN]), "clean", 3, 1.0, 0, {}).chosen.tolist()) == [0, 1, 2]


def test_near_duplicates_are_asked_once() -> None:
    choice = choose(of([0.9, 0.8, 0.7, 0.6]), "clean", 2, 0.0, 0, {10: [11, 12], 11: [10], 12: [10]})
    assert choice.chosen.tolist() == [0, 3]
    assert choice.passed_over == 2


def test_uncertain_ones_come_in_proportion_to_classes() -> None:
    """Four images of class 0, two of class 1: at (j + 1/2) / 4 and (j + 1/2) / 2 of the way."""
    doubt = [0.4, 0.1, 0.3, 0.2, 0.05, 0.01]
    choice = choose(of([0.5] * 6, doubt, [0, 0, 0, 0, 1, 1]), "train", 6, 0.0, 0, {})
    # class 0: 1 (1/8), 3 (3/8), 2 (5/8), 0 (7/8); class 1: 5 (1/4), 4 (3/4)
    assert choice.chosen.tolist() == [1, 5, 3, 2, 4, 0]


def test_random_ones_stand_evenly_among_the_others() -> None:
    choice = choose(of(np.linspace(0, 1, 100).tolist()), "clean", 20, 0.25, 3, {})
    assert choice.at_random.sum() == 5
    assert len(set(choice.chosen.tolist())) == 20
    # 15 at (i + 1/2) / 15 and 5 at (i + 1/2) / 5: one after every third, the middle one of three
    assert np.flatnonzero(choice.at_random).tolist() == [2, 6, 10, 14, 18]


@pytest.mark.parametrize("goal", ["clean", "train"])
def test_each_candidate_is_as_likely_to_be_drawn(goal: str) -> None:
    """Chi-square of how often 20 images are drawn over 1,000 seeds; draws without replacement vary less."""
    candidates = of([0.05 * i for i in range(20)], [abs(0.05 * i - 0.5) for i in range(20)], [i % 3 for i in range(20)])
    drawn = np.zeros(20)
    for seed in range(1000):
        choice = choose(candidates, goal, 8, 0.5, seed, {})  # type: ignore[arg-type]
        assert len(set(choice.chosen.tolist())) == 8
        drawn[choice.chosen[choice.at_random]] += 1
    assert drawn.sum() == 4000
    assert np.sum((drawn - 200) ** 2 / 200) < chi2.ppf(0.999, 19)


def test_a_longer_queue_draws_the_same_ones_first() -> None:
    candidates = of([0.1] * 50)
    short, long = (choose(candidates, "clean", count, 1.0, 4, {}).chosen.tolist() for count in (5, 30))
    assert long[:5] == short
