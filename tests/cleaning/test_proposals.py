"""Proposals and plans of small tables, by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nlcli.cleaning.label_changes import confidences, rewritten
from nlcli.cleaning.plan import REASONS, RULES, Limits, make_plan
from nlcli.cleaning.proposals import (
    NONE,
    Proposals,
    joined,
    make_proposals,
    persons_changes,
    rejections,
    replacements,
    tag_changes,
)
from nlcli.data.labels import FULL, LabelTable, matrix_from_lists, single_label_table
from worlds.stage_builders import small_table

TRAIN = np.array([0], np.int64)


def limits(**changes: object) -> Limits:
    known = {"policy": "fix", "precision": 0.0, "max_changes": 1.0, "splits": TRAIN, "kept": np.zeros(0, np.int64)}
    return Limits(**(known | changes))  # type: ignore[arg-type]


def told_of(proposals: Proposals) -> list[tuple[int, int, int, float, int]]:
    columns = (proposals.row, proposals.old, proposals.new, proposals.probability.round(6), proposals.right)
    return sorted(zip(*(column.tolist() for column in columns), strict=True))


def single() -> LabelTable:
    """Classes a, b, c; image 0 is known to be b, 1 right, 2 wrong; 3 and 4 are not checked, 5 is known to be a."""
    known = np.array([1, -1, -1, -1, -1, 0])
    right = np.array([-1, 1, 0, -1, -1, -1])
    noisy = np.array([0, 0, 1, 2, 1, 0])
    keys = [f"k{i}" for i in range(6)]
    return single_label_table(("a", "b", "c"), keys, keys, Path("/i"), np.zeros(6), noisy, known, right)


def test_a_persons_word_on_single_labels() -> None:
    assert told_of(persons_changes(single(), np.arange(6))) == [(0, 0, 1, 1.0, 1), (2, 1, NONE, 1.0, 1)]
    assert told_of(persons_changes(single(), np.array([1, 3]))) == []


def test_a_persons_word_on_several_labels() -> None:
    """Image w: a is absent, c confirmed. x is fully verified with a alone, and has b."""
    expected = [(0, 0, NONE, 1.0, 1), (1, NONE, 0, 1.0, 1), (1, 1, NONE, 1.0, 1)]
    assert told_of(persons_changes(small_table(), np.arange(4))) == expected


def test_a_word_on_an_image_that_was_chosen_by_its_score_judges_nothing() -> None:
    """Of images 0, 2, 2 and 3 a person spoke; 2 was asked about because it looked wrong."""
    spoken = make_proposals([0, 2, 2, 3], 0, 1, 0.9, [1, 1, 0, 0])
    judged = spoken.judged_without(np.array([False, False, True, False]))
    assert judged.right.tolist() == [1, -1, -1, 0]
    assert judged.row.tolist() == [0, 2, 2, 3]
    assert judged.right.dtype == np.int8


def test_replacements() -> None:
    own = np.array([0.2, 0.9, 0.1, 0.4, np.nan, 0.5])
    suggested = np.array([1, 1, 0, 1, 2, NONE])
    probability = np.array([0.7, 0.1, 0.8, 0.3, 0.6, 0.5])
    told = np.ones(6, bool)
    proposed = replacements(single(), np.arange(6), own, suggested, probability, told)
    # 1 and 3 are likelier as they are, 5 has no other class; of 2 nobody knows the true class.
    assert told_of(proposed) == [(0, 0, 1, 0.7, 1), (2, 1, 0, 0.8, -1), (4, 1, 2, 0.6, -1)]
    unseen = replacements(single(), np.arange(6), own, suggested, probability, np.zeros(6, bool))
    assert (unseen.right == -1).all()


def test_rejections() -> None:
    own = np.array([0.2, 0.4, 0.1, 0.4, 0.6, np.nan])
    word = np.array([0, 1, 0, -1, -1, 1])
    expected = [(0, 0, NONE, 0.8, 1), (1, 0, NONE, 0.6, 0), (2, 1, NONE, 0.9, 1), (3, 2, NONE, 0.6, -1)]
    assert told_of(rejections(single(), np.arange(6), own, word)) == expected


def test_tag_changes() -> None:
    row, of_class = np.array([0, 0, 1, 1, 2]), np.array([0, 1, 0, 2, 1])
    given = np.array([True, False, True, False, True])
    probability, word = np.array([0.1, 0.9, 0.8, 0.4, 0.3]), np.array([1, 1, 0, -1, 0])
    proposed = tag_changes(row, of_class, given, probability, word)
    assert told_of(proposed) == [(0, NONE, 1, 0.9, 1), (0, 0, NONE, 0.9, 0), (2, 1, NONE, 0.7, 1)]
    assert proposed.kind.tolist() == [1, 2, 1]


def test_rewritten_labels_of_several() -> None:
    table = small_table()
    row, gone, come = np.array([0, 0, 2]), np.array([0, NONE, NONE]), np.array([NONE, 1, 2])
    after = rewritten(table, row, gone, come, np.array([np.nan, 0.75, 0.5]))
    np.testing.assert_allclose(after.toarray(), [[0, 0.75, 0.25], [0, 1, 0], [0, 0, 0.5], [0, 0, 0.75]])
    old = confidences(table, row, gone)
    np.testing.assert_allclose(old, [0.5, np.nan, np.nan])
    back = rewritten(replace(table, noisy=after), row, come, gone, old)
    for name in ("indptr", "indices", "data"):
        np.testing.assert_array_equal(getattr(back, name), getattr(table.noisy, name))


def test_a_random_table_comes_back() -> None:
    rng = np.random.default_rng(0)
    given = rng.random((200, 7)) < 0.3
    weights = rng.random((200, 7)).astype(np.float32)
    lists = [np.flatnonzero(row).tolist() for row in given]
    table = LabelTable(
        task="multi-label",
        classes=tuple("abcdefg"),
        keys=np.array([f"k{i}" for i in range(200)], object),
        paths=np.array([f"k{i}" for i in range(200)], object),
        image_root=Path("/i"),
        split=np.zeros(200, np.int8),
        noisy=matrix_from_lists(lists, 7, [weights[i, row].tolist() for i, row in enumerate(lists)]),
        present=matrix_from_lists([[]] * 200, 7),
        absent=matrix_from_lists([[]] * 200, 7),
        verification=np.zeros(200, np.uint8),
    )
    change = rng.random((200, 7)) < 0.2
    row, of_class = np.nonzero(change)
    gone, come = np.where(given[change], of_class, NONE), np.where(given[change], NONE, of_class)
    after = rewritten(table, row, gone, come, rng.random(len(row)))
    np.testing.assert_array_equal(after.toarray() > 0, given ^ change)
    back = rewritten(replace(table, noisy=after), row, come, gone, confidences(table, row, gone))
    np.testing.assert_array_equal(back.toarray(), np.where(given, weights, 0))


# --- plans -----------------------------------------------------------------------------------


def many(images: int = 100) -> LabelTable:
    """Images of several labels, all with tag a; the first half is fully verified."""
    return LabelTable(
        task="multi-label",
        classes=("a", "b"),
        keys=np.array([f"k{i}" for i in range(images)], object),
        paths=np.array([f"k{i}" for i in range(images)], object),
        image_root=Path("/i"),
        split=np.zeros(images, np.int8),
        noisy=matrix_from_lists([[0]] * images, 2, [[1.0]] * images),
        present=matrix_from_lists([[]] * images, 2),
        absent=matrix_from_lists([[]] * images, 2),
        verification=np.where(np.arange(images) < images // 2, FULL, 0).astype(np.uint8),
    )


def both_kinds(right_removed: int, right_added: int) -> Proposals:
    """For every image: a goes with 0.9, b comes with 0.8; of the verified 50 so many are right."""
    row = np.arange(100)
    known = row < 50
    removed = make_proposals(row, 0, NONE, 0.9, np.where(known, row < right_removed, -1))
    added = make_proposals(row, NONE, 1, 0.8, np.where(known, row < right_added, -1))
    return joined([removed, added])


def test_each_kind_has_its_own_threshold() -> None:
    told = np.arange(100) < 50
    plan = make_plan(many(), both_kinds(48, 10), make_proposals([], [], [], []), told, limits(precision=0.75))
    assert plan.refusal is None
    claims = {claim.kind: claim for claim in plan.claims}
    assert (claims["remove"].threshold, claims["remove"].changed, claims["remove"].right) == (0.9, 50, 48)
    assert (claims["add"].threshold, claims["add"].changed) == (None, 0)
    assert any("no change that would add a tag is made" in remark for remark in plan.remarks)
    made = plan.changes.where(plan.made)
    assert set(made.row.tolist()) == set(range(50, 100))
    assert {REASONS[i] for i in plan.reason[~plan.made]} == {"threshold"}


def test_a_plan_that_no_kind_reaches_is_refused() -> None:
    told = np.arange(100) < 50
    plan = make_plan(many(), both_kinds(10, 10), make_proposals([], [], [], []), told, limits(precision=0.75))
    assert plan.refusal is not None
    assert plan.refusal.startswith("no label is changed")
    assert not plan.made.any()


def test_tags_that_come_count_as_changes_of_their_class() -> None:
    table = many()
    table = replace(table, noisy=matrix_from_lists([[0, 1]] * 40 + [[0]] * 60, 2, [[1.0, 1.0]] * 40 + [[1.0]] * 60))
    row = np.arange(60, 80)
    added = make_proposals(row, NONE, 1, 0.9)
    for most, refused in ((0.5, False), (0.48, False), (0.47, True)):
        plan = make_plan(table, added, make_proposals([], [], [], []), np.zeros(100, bool), limits(max_changes=most))
        assert (plan.refusal is not None) == refused
    assert plan.refusal is not None
    assert "of class 'b' 50 % of its 40 labels would change" in plan.refusal
    assert "--max-changes 0.5" in plan.refusal


@pytest.mark.parametrize(("most", "allowed"), [(0.2, 1), (0.25, 1), (0.26, 2), (0.0, 0), (1.0, 4)])
def test_the_most_changes_are_rounded_up(most: float, allowed: int) -> None:
    keys = [f"k{i}" for i in range(8)]
    unknown = np.full(8, -1)
    table = single_label_table(("a", "b"), keys, keys, Path("/i"), np.zeros(8), np.repeat([0, 1], 4), unknown)
    for changes in range(4):
        proposals = make_proposals(np.arange(changes), 0, 1, 0.9)
        plan = make_plan(table, proposals, make_proposals([], [], [], []), np.zeros(8, bool), limits(max_changes=most))
        assert (plan.refusal is not None) == (changes > allowed)


def test_rules_and_reasons() -> None:
    table = single()
    table.split[4] = 1
    proposals = make_proposals([0, 3, 4, 2], [0, 2, 1, 1], [2, 0, 2, 2], [0.9, 0.8, 0.7, 0.6])
    told = np.array([True, True, False, False, False, True])
    word = persons_changes(table, np.flatnonzero(told))
    plan = make_plan(table, proposals, word, told, limits(kept=np.array([1])))
    told_of_rows = {
        int(row): (RULES[rule], REASONS[reason] if reason >= 0 else None)
        for row, rule, reason in zip(plan.changes.row, plan.rule, plan.reason, strict=True)
    }
    # Image 0 is told, so no machine's word counts, and a person's is of class b, which is kept.
    assert told_of_rows == {3: ("detector", None), 4: ("kept", "split"), 2: ("kept", "class")}
