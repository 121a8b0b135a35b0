"""The log of a training for TensorBoard says what metrics.jsonl says, each step once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from nlcli.stages.stage import read_stage
from nlcli.training.loop.history import Evaluation, read_history, write_history
from nlcli.training.tensorboard import LOG, TensorBoard, write_solved
from nlcli.training.train_head import train_head
from worlds.heads import Work, table_of

TWO_PHASES = [
    Evaluation(phase="noisy", step=0, validation={"mAP": 0.25}),
    Evaluation(phase="noisy", step=10, train={"loss": 2.0}, validation={"mAP": 0.5}),
    Evaluation(phase="clean/1", step=0, validation={"mAP": 0.5}),
    Evaluation(phase="clean/1", step=4, train={"loss": 1.5}, validation={"mAP": 0.75}),
]


def scalars(folder: Path) -> list[tuple[int, str, float]]:
    """(step, tag, value) of all events of a folder."""
    return [
        (event.step, value.tag, float(tf.make_ndarray(value.tensor)))
        for path in sorted(folder.glob("events*"))
        for event in tf.compat.v1.train.summary_iterator(str(path))
        for value in event.summary.value
    ]


def test_phases_stand_one_behind_the_other(tmp_path: Path) -> None:
    board = TensorBoard(tmp_path)
    for evaluation in TWO_PHASES:
        board(evaluation)
    board.close()
    assert scalars(tmp_path / LOG) == [
        (0, "validation/mAP", 0.25),
        (10, "train/loss", 2.0),
        (10, "validation/mAP", 0.5),
        (10, "validation/mAP", 0.5),
        (14, "train/loss", 1.5),
        (14, "validation/mAP", 0.75),
    ]


def test_a_resumed_training_has_each_step_once(tmp_path: Path) -> None:
    """Killed behind its second evaluation: the log is written anew from what metrics.jsonl kept."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
    board = TensorBoard(whole)
    for evaluation in TWO_PHASES:
        board(evaluation)
    first = TensorBoard(killed)
    for evaluation in TWO_PHASES[:2]:
        first(evaluation)
    second = TensorBoard(killed)
    write_history(killed, TWO_PHASES[:3])
    second(TWO_PHASES[2])
    second(TWO_PHASES[3])
    assert scalars(killed / LOG) == scalars(whole / LOG)


def test_candidates_of_a_solved_head_stand_beside_each_other(tmp_path: Path) -> None:
    write_solved(tmp_path / LOG, TWO_PHASES)
    assert sorted(path.name for path in (tmp_path / LOG).iterdir()) == ["0-noisy", "1-clean-1"]
    assert scalars(tmp_path / LOG / "1-clean-1") == [
        (0, "validation/mAP", 0.5),
        (4, "train/loss", 1.5),
        (4, "validation/mAP", 0.75),
    ]


def test_heads_that_take_steps_and_heads_that_are_solved_have_one(tmp_path: Path) -> None:
    work = Work(tmp_path, table_of(400))
    for run, folder in (
        (train_head(work.config("steps", method="residual", steps=20)), LOG),
        (train_head(work.config("solved", method="noisy", steps=None, learning_rate=None)), f"{LOG}/0-noisy"),
    ):
        history = read_history(run)
        assert history
        told = [(e.step, f"validation/{name}", value) for e in history for name, value in e.validation.items()]
        logged = [entry for entry in scalars(run / folder) if entry[1].startswith("validation/")]
        assert [entry[:2] for entry in logged] == [entry[:2] for entry in told]
        np.testing.assert_allclose([entry[2] for entry in logged], [entry[2] for entry in told], rtol=1e-6)
        assert not any(name.startswith(LOG) for name in read_stage(run).files)  # it holds times: no part of the result
