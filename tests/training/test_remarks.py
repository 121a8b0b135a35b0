"""What a stage says of a result that should not be taken as it is."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nlcli.data.labels import LabelTable, single_label_table
from nlcli.training.loop.contract import Outcome
from nlcli.training.loop.history import Evaluation
from nlcli.training.remarks import classifier_remarks, step_remark


def outcome(chosen: int, stopped: str = "steps", selected_by: str | None = "top_1") -> Outcome:
    """Four looks at steps 0 to 30 of one phase, of which ``chosen`` was the best."""
    history = [Evaluation(phase="main", step=step, validation={"top_1": 0.5}) for step in (0, 10, 20, 30)]
    return Outcome(history, "main", chosen, selected_by, 0.5, 30, stopped, 1.0)


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (outcome(0), "the best step is the first one, 0 of phase 'main' .*lower the learning rate"),
        (outcome(30), "the best step is the last one, 30 .*more steps may make it better"),
    ],
)
def test_the_first_and_the_last_step_are_told(made: Outcome, told: str) -> None:
    assert re.match(told, step_remark(made) or "")


@pytest.mark.parametrize("made", [outcome(10), outcome(30, "patience"), outcome(30, selected_by=None)])
def test_other_steps_are_not(made: Outcome) -> None:
    assert step_remark(made) is None


def table(truth: list[int], noisy: list[int]) -> LabelTable:
    keys = [f"k{i}" for i in range(len(truth))]
    split = np.ones(len(truth), np.int8)
    right = np.full(len(truth), -1, np.int8)
    return single_label_table(("a", "b", "c"), keys, keys, Path("/"), split, np.array(noisy), np.array(truth), right)


def test_no_better_than_believing_every_label() -> None:
    made = table([0, 0, 1, 1, 2, -1], [0, 1, 1, 1, 2, 0])  # 4 of 5 noisy labels are right
    rows = np.arange(6)
    assert classifier_remarks(made, rows, np.array([0, 0, 1, 1, 2, 0]), "test") == []
    (remark,) = classifier_remarks(made, rows, np.array([0, 0, 1, 0, 2, 0]), "test")
    assert remark == (
        "no better than believing every label: of the 5 images of test whose true and noisy class are known, it is right "
        "on 80.0 %, and their noisy labels are on 80.0 %"
    )
    # Where no label is wrong, believing them is not to be beaten.
    clean = table([0, 1, 2], [0, 1, 2])
    assert classifier_remarks(clean, np.arange(3), np.array([0, 1, 2]), "test") == []


def test_classes_that_are_never_predicted() -> None:
    made = table([0, 0, 1, 2], [0, 2, 1, 2])
    assert classifier_remarks(made, np.arange(4), np.array([0, 0, 0, 2]), "validation") == [
        "no better than believing every label: of the 4 images of validation whose true and noisy class are known, it is "
        "right on 75.0 %, and their noisy labels are on 75.0 %",
        "on 4 images of validation it never predicts 1 class that their true labels, or the training images' noisy labels "
        "often enough, have: 'b'",
    ]


@pytest.mark.parametrize(("scored", "told"), [(9, True), (8, False)])
def test_a_class_of_training_labels_that_is_never_predicted(scored: int, told: bool) -> None:
    """A third of the training labels are 'c': of 9 images 3 should be, of 8 fewer than 3; no scored label says so."""
    made = table([-1] * 6 + [0] * scored, [0, 0, 0, 1, 2, 2] + [0] * scored)
    made = replace(made, split=np.array([0] * 6 + [1] * scored, np.int8))
    remarks = classifier_remarks(made, 6 + np.arange(scored), np.array([0, 1] * 5)[:scored], "test")
    assert any("never predicts 1 class" in remark and remark.endswith("'c'") for remark in remarks) is told
