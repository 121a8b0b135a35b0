"""Images with their labels before and after: which are shown, and what is said of them."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nlcli.cleaning.cleaned_examples import PLOT, TABLE, cleaned_examples, meaning, write_cleaned_examples
from nlcli.cleaning.plan import KEPT, RULES, Plan
from nlcli.cleaning.proposals import NONE, Proposals, make_proposals
from worlds.stage_builders import small_table

A, B, C = 0, 1, 2
LOWEST = {"add": 0.8, "remove": None}


def planned(changes: Proposals, rules: list[str]) -> Plan:
    rule = np.array([RULES.index(name) for name in rules])
    reason = np.where(rule == RULES.index(KEPT), 3, -1)  # of what is kept: not sure enough
    return Plan(changes, rule, reason, np.full(len(rule), 0.8), (), (), (), None)


# w (train) has a and c, x (train) has b, y (validation) none, z (test) c.
OURS = make_proposals([0, 0, 1], [NONE, C, B], [B, NONE, NONE], [0.9, 0.7, 0.95])
JUDGED = make_proposals([2, 2, 2], [NONE, NONE, A], [A, B, NONE], [0.85, 0.75, 0.99], [1, 0, 1])


def both() -> Proposals:
    from nlcli.cleaning.proposals import joined

    return joined([OURS, JUDGED])


def test_labels_before_and_after_by_hand() -> None:
    plan = planned(OURS, ["detector", "kept", "verified"])
    first, judged = cleaned_examples(small_table(), both(), plan, LOWEST, 4)
    # What a person decided is no example of cleaning, and what is kept is none either.
    assert (first.key, first.split, first.before, first.after, first.present) == (
        "w",
        "train",
        ("a", "c"),
        ("a", "c", "b"),
        None,
    )
    assert [(c.told, c.verdict, c.made) for c in first.changes] == [("+ b  0.90", "unverified", True)]
    # y is checked: what would be done there is told with whether it is right, the likeliest first.
    assert (judged.key, judged.split, judged.before, judged.after, judged.present) == (
        "y",
        "validation",
        (),
        ("a",),
        (),
    )
    assert [(c.told, c.verdict, c.made) for c in judged.changes] == [
        ("\u2212 a  0.99", "right", False),  # no threshold was found for taking tags away
        ("+ a  0.85", "right", True),
        ("+ b  0.75", "wrong", False),
    ]


def test_a_label_that_becomes_another_is_one_change() -> None:
    changes = make_proposals([0], [A], [B], [0.9])
    plan = planned(changes, ["detector"])
    (only,) = cleaned_examples(small_table(), changes, plan, LOWEST, 4)
    assert [c.told for c in only.changes] == ["a \u2192 b  0.90"]
    assert only.after == ("c", "b")


def test_proposals_that_the_policy_only_lists_are_shown() -> None:
    plan = planned(OURS, ["kept", "kept", "kept"])
    assert cleaned_examples(small_table(), OURS, plan, LOWEST, 4) == []
    listed = replace(plan, reason=np.zeros(3, np.int64))
    assert [e.key for e in cleaned_examples(small_table(), OURS, listed, LOWEST, 4)] == ["w", "x"]
    of_person = replace(listed, changes=replace(OURS, right=np.array([-1, -1, 1], np.int8)))
    assert [e.key for e in cleaned_examples(small_table(), OURS, of_person, LOWEST, 4)] == ["w"]


@pytest.mark.parametrize(("count", "split"), [(1, {"validation"}), (2, {"train", "validation"}), (0, set())])
def test_half_of_them_are_checked(count: int, split: set[str]) -> None:
    plan = planned(OURS, ["detector", "detector", "detector"])
    assert {e.split for e in cleaned_examples(small_table(), both(), plan, LOWEST, count)} == split


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ([A, A], [B, C], "a → b becomes another, with"),
        ([NONE, A], [B, NONE], "− goes, + comes, with"),
        ([NONE, NONE], [B, C], "+ comes, with"),
    ],
)
def test_the_legend_explains_the_signs_that_there_are(old: list[int], new: list[int], told: str) -> None:
    changes = make_proposals([0, 1], old, new, [0.9, 0.9])
    examples = cleaned_examples(small_table(), changes, planned(changes, ["detector", "detector"]), LOWEST, 4)
    assert meaning(examples).startswith(told)


def test_the_files(tmp_path: Path) -> None:
    Image.new("RGB", (40, 30), (9, 200, 9)).save(tmp_path / "w.jpg")
    plan = planned(OURS, ["detector", "kept", "kept"])
    table = small_table(tmp_path)
    examples = cleaned_examples(table, both(), plan, LOWEST, 4)
    write_cleaned_examples(tmp_path, [replace(e, path=tmp_path / "gone.jpg") for e in examples])
    assert not (tmp_path / PLOT).exists()
    write_cleaned_examples(tmp_path, [replace(e, path=tmp_path / "w.jpg") for e in examples])
    with open(tmp_path / TABLE, encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[:2] == [
        ["key", "split", "old", "new", "probability", "verdict", "made"],
        ["w", "train", "", "b", "0.900000", "unverified", "1"],
    ]
    assert len(rows) == 5
    with Image.open(tmp_path / PLOT) as picture:
        assert picture.getpixel((40, 290)) == pytest.approx((9, 200, 9), abs=12)
