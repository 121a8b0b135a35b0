"""What is said of images that are left out, where labels are drawn by lot: nobody can know them who has not seen them.

There are more features than images, so that a classifier of all of them fits every label, and one that began at it
need not move to fit the others.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from nlcli.estimation.candidates import FORWARD, NOISY, POSTERIOR, PRUNED, Candidates
from nlcli.estimation.checking_curve import checking_curve
from nlcli.estimation.contest import _Board
from nlcli.estimation.cross_fitting import Beginning, out_of_fold_path, stratified_folds
from nlcli.estimation.design import ArrayBlocks
from nlcli.estimation.images import Images
from nlcli.estimation.linear_model import Task
from nlcli.estimation.objective import Term
from nlcli.estimation.preconditioner import Preconditioner
from nlcli.estimation.pruning import looks_wrong
from nlcli.estimation.solver import solve

COUNT, WIDTH, CLASSES = 300, 900, 2
CHANCE = 0.5 + 3.5 * 0.5 / COUNT**0.5
"""What a toss of a coin stays below."""


def _unit(rng: np.random.Generator, count: int) -> np.ndarray:
    features = rng.normal(size=(count, WIDTH))
    return (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)


def _by_lot(task: Task, *, checked: bool = True, seed: int = 0) -> Images:
    """As many images of which the noisy label is known alone, and nothing of it is true."""
    rng = np.random.default_rng(seed)
    every = 2 * COUNT
    which = (np.arange(every) < COUNT) & checked

    def drawn() -> np.ndarray:
        if task == "single-label":
            return np.eye(CLASSES)[rng.integers(CLASSES, size=every)]
        return (rng.random((every, CLASSES)) < 0.5).astype(np.float64)

    noisy, true = drawn(), drawn()
    known = np.ones((every, CLASSES)) * which[:, None]
    return Images(
        ArrayBlocks(_unit(rng, every)),
        task,
        CLASSES,
        csr_array(noisy),
        np.ones(every),
        csr_array(true * which[:, None]),
        csr_array(known),
        which,
    )


def _right(logits: np.ndarray, labels: np.ndarray, task: Task) -> float:
    if task == "single-label":
        return float(np.mean(logits.argmax(axis=1) == labels.argmax(axis=1)))
    return float(np.mean((logits > np.median(logits, axis=0)) == (labels > 0)))


@pytest.mark.parametrize("value", [1e-3, 1e-7, 1e-12])
@pytest.mark.parametrize(
    ("task", "name"),
    [
        ("multi-label", "weight 1"),
        ("multi-label", "weight 20"),
        ("single-label", "weight 5"),
        ("single-label", FORWARD),
        ("single-label", POSTERIOR),
        ("single-label", PRUNED),
    ],
)
def test_candidates_do_not_know_what_is_verified(task: Task, name: str, value: float) -> None:
    board = _Board(Candidates(_by_lot(task)), None)
    board._cross({name: (value,)})
    assert _right(board._logits[name][value][:COUNT], board.verified, task) < CHANCE


@pytest.mark.parametrize("task", ["multi-label", "single-label"])
def test_classifiers_of_noisy_labels_do_not_know_them(task: Task) -> None:
    images = _by_lot(task, checked=False)
    candidates = Candidates(images)
    candidates.l2 = 1e-12
    assert _right(candidates.noisy_logits, images.noisy.toarray(), task) < CHANCE


def test_witnesses_do_not_know_their_noisy_labels() -> None:
    candidates = Candidates(_by_lot("single-label"))
    board = _Board(candidates, None)
    value = 1e-12
    board._cross({NOISY: (value,)})
    rows = board._witnesses
    said, labels = board._logits[NOISY][value][COUNT:], candidates.images.noisy.toarray()[rows]
    assert _right(said, labels, "single-label") < CHANCE


def test_labels_that_are_left_are_not_known_either() -> None:
    """Of labels by lot half look wrong to whoever has not seen them."""
    images = _by_lot("single-label", checked=False)
    candidates = Candidates(images)
    candidates.l2 = 1e-12
    assert (candidates.left == 0).mean() > 0.3
    sure = np.where(images.noisy.toarray() > 0, 0.9, 0.1)
    assert not looks_wrong(sure, images.noisy_class).any()


@pytest.mark.parametrize("task", ["multi-label", "single-label"])
def test_the_curve_of_checking_is_level(task: Task) -> None:
    curve = checking_curve(_by_lot(task), seed=0)
    assert curve is not None
    assert all(point.value < (CHANCE if task == "single-label" else 0.62) for point in curve.points)


def test_what_begins_at_a_classifier_begins_without_the_fold() -> None:
    images = _by_lot("single-label")
    rows = np.flatnonzero(images.checked)
    features = np.concatenate([part for _, part in images.design.blocks()])[rows]
    labels = images.verified.toarray()[rows]
    term, folds = Term(labels), stratified_folds(labels.argmax(axis=1), 5)
    whole = solve(features, term, "single-label", CLASSES, 1e-12).model
    assert _right(whole.logits(features), labels, "single-label") == 1.0
    design = ArrayBlocks(features)
    begins = Beginning(whole, [term], 1e-12).without(design, folds, 1e-4, Preconditioner(design))
    (crossed,) = out_of_fold_path(features, term, "single-label", CLASSES, [1e-12], folds, start=begins, tolerance=1e-4)
    assert _right(crossed, labels, "single-label") < CHANCE
    (known,) = out_of_fold_path(features, term, "single-label", CLASSES, [1e-12], folds, start=whole, tolerance=1e-4)
    assert _right(known, labels, "single-label") > 0.9, "what began at a classifier of all would have known them"
