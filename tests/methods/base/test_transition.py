"""Noise matrices against brute force, values by hand, and planted matrices they are sampled from."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from nlcli.methods.base.transition import (
    NOISE_TYPES,
    confusing_noise,
    confusion,
    noise_types,
    sample_rows,
    transition,
    transition_from_anchors,
)
from nlcli.metrics.decisions import confusion_matrix


def likelihood(wrong: np.ndarray, support: tuple[int, ...]) -> float:
    """Eq. (10) of one column at its best c: labels in ``support`` confusing, all others random."""
    inside = wrong[list(support)]
    inside = inside[inside > 0]
    return float((inside * np.log(inside / inside.sum())).sum() - (wrong.sum() - inside.sum()) * np.log(len(wrong) - 1))


def likelihood_of_column(wrong: np.ndarray, column: np.ndarray) -> float:
    """Eq. (10) of a given column: each label has the more likely of the two types."""
    alpha = 1 / (len(wrong) - 1)
    return float((wrong * np.log(np.maximum(column, alpha))).sum())


@pytest.mark.parametrize("classes", [2, 3, 4, 5, 6])
def test_confusing_noise_is_the_best_of_all_supports(classes: int) -> None:
    rng = np.random.default_rng(classes)
    confused = 0
    for trial in range(60):
        counts = rng.integers(0, 40, (classes, classes)) ** rng.integers(1, 4, (classes, classes))
        counts = np.where(rng.random(counts.shape) < 0.2 * (trial % 3), 0, counts)
        matrix = confusing_noise(counts)
        for true in range(classes):
            wrong = counts[true].astype(float)
            wrong[true] = 0
            others = [c for c in range(classes) if c != true]
            best = max(
                likelihood(wrong, support)
                for k in range(classes)
                for support in combinations(others, k)
                if not support
                or min(wrong[list(support)]) > max(wrong[[c for c in others if c not in support]], default=0)
            )
            support = tuple(np.flatnonzero(matrix[:, true]))
            assert likelihood(wrong, support) == pytest.approx(best, rel=1e-12, abs=1e-12)
            assert likelihood_of_column(wrong, matrix[:, true]) == pytest.approx(best, rel=1e-12, abs=1e-12)
            assert matrix[true, true] == 0
            assert matrix[:, true].sum() == pytest.approx(1.0 if support else 0.0)
            if support:
                confused += 1
                np.testing.assert_allclose(
                    matrix[list(support), true], wrong[list(support)] / wrong[list(support)].sum()
                )
                assert (matrix[list(support), true] > 1 / (classes - 1)).all()  # lemma 1
    assert (confused > 0) == (classes > 2)  # with two classes wrong labels are as likely by chance


def test_confusing_noise_by_hand() -> None:
    # L = 5, alpha = 1/4. Class 0, 60, 30, 5, 5: {60} gives 40 log 1/4 = -55.5; {60, 30} 60 log 2/3 + 30 log 1/3
    # + 10 log 1/4 = -71.1; {60, 30, 5} -83.8; all -96.7; {} -138.6: the first alone is kept.
    # Class 1, 50, 49, 1: {50} gives 50 log 1/4 = -69.3; {50, 49} -68.6 - 1.4 = -70.0.
    # Class 2, 2, 1: {2} gives log 1/4 = -1.4; {2, 1} 2 log 2/3 + log 1/3 = -1.9.
    counts = np.zeros((5, 5), int)
    counts[0] = [900, 5, 60, 30, 5]
    counts[1] = [49, 7, 50, 0, 1]
    counts[2, :2] = [1, 2]
    expected = np.zeros((5, 5))
    expected[2, 0] = expected[2, 1] = expected[1, 2] = 1
    np.testing.assert_array_equal(confusing_noise(counts), expected)
    # L = 11, alpha = 1/10: 60, 30 and 5, 5: {60} 40 log 1/10 = -92; {60, 30} -57.3 - 23.0 = -80.3;
    # {60, 30, 5} 60 log 60/95 + 30 log 30/95 + 5 log 5/95 - 11.5 = -88.4: the first two are kept.
    wide = np.zeros((11, 11), int)
    wide[3, [3, 7, 0, 10, 9]] = [900, 60, 30, 5, 5]
    expected = np.zeros((11, 11))
    expected[[7, 0], 3] = [2 / 3, 1 / 3]
    np.testing.assert_allclose(confusing_noise(wide), expected)
    types = noise_types(confusing_noise(wide))
    assert [NOISE_TYPES[types[noisy, 3]] for noisy in (3, 7, 0, 10, 1)] == [
        "noise-free",
        "confusing",
        "confusing",
        "random",
        "random",
    ]
    assert [NOISE_TYPES[types[noisy, 4]] for noisy in (4, 7, 0)] == ["noise-free", "random", "random"]


def test_classes_without_wrong_labels() -> None:
    np.testing.assert_array_equal(confusing_noise(np.diag([5, 0, 7])), np.zeros((3, 3)))
    types = noise_types(np.zeros((3, 3)))
    np.testing.assert_array_equal(types, 1 - np.eye(3, dtype=int))


def test_the_order_of_the_classes_decides_nothing() -> None:
    """The alphabet does not say what is confusing: classes in another order, the same matrix in that order."""
    rng = np.random.default_rng(11)
    tied = 0
    for _ in range(200):
        counts = rng.integers(0, 4, (8, 8)) * rng.integers(1, 4)
        order = rng.permutation(8)
        matrix = confusing_noise(counts)
        np.testing.assert_array_equal(confusing_noise(counts[np.ix_(order, order)]), matrix[np.ix_(order, order)])
        tied += bool((matrix > 0).any())
    assert tied > 100


@pytest.mark.parametrize("count", [1, 3, 7, 10, 12345])
def test_equal_counts(count: int) -> None:
    # All wrong labels alike, L = 9: k = 3 would be the best of -k log k - (8 - k) log 8, and the alphabet would choose.
    np.testing.assert_array_equal(confusing_noise(np.full((9, 9), count)), np.zeros((9, 9)))
    # {2} and {2, 2} of 2, 2, 0, 0 are equally likely at L = 5, as log 1/4 = 2 log 1/2: both are taken.
    counts = np.zeros((5, 5), int)
    counts[0, [2, 4]] = count
    np.testing.assert_array_equal(confusing_noise(counts)[:, 0], [0, 0, 0.5, 0, 0.5])
    # With two classes a wrong label is as likely by chance as by confusion.
    np.testing.assert_array_equal(confusing_noise(np.full((2, 2), count)), np.zeros((2, 2)))


def test_which_class_is_which_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    counts = rng.permutation(100)[:49].reshape(7, 7) ** 2  # no ties
    order = rng.permutation(7)
    moved = confusing_noise(counts[np.ix_(order, order)])
    np.testing.assert_allclose(moved, confusing_noise(counts)[np.ix_(order, order)])


# --- planted matrices ------------------------------------------------------------------------


def sampled(rows: np.ndarray, pairs: int, seed: int) -> np.ndarray:
    """Counts of ``pairs`` pairs a class, noisy classes drawn from ``rows`` [true, noisy]."""
    rng = np.random.default_rng(seed)
    classes = len(rows)
    true = np.repeat(np.arange(classes), pairs)
    noisy = np.concatenate([rng.choice(classes, pairs, p=row) for row in rows])
    return confusion_matrix(true, noisy, classes)


def test_pair_counts() -> None:
    counts = confusion_matrix(np.array([0, 0, 2, 2, 2], np.uint8), np.array([1, 1, 0, 2, 2]), 3)
    np.testing.assert_array_equal(counts, [[0, 2, 0], [0, 0, 0], [1, 0, 2]])
    np.testing.assert_array_equal(confusion_matrix(np.empty(0, int), np.empty(0, int), 2), np.zeros((2, 2)))


def test_planted_q_and_t_are_recovered() -> None:
    planted = np.random.default_rng(1).dirichlet(np.full(8, 0.4), size=8)
    counts = sampled(planted, 5000, 2)
    error = np.sqrt(planted * (1 - planted) / 5000)
    assert (np.abs(transition(counts) - planted) < 4.5 * error + 1e-9).all()
    assert (np.abs(confusion(counts).T - planted) < 4.5 * error + 1e-9).all()
    np.testing.assert_allclose(transition(counts).sum(axis=1), 1)
    np.testing.assert_allclose(confusion(counts).sum(axis=0), 1)


def test_a_class_without_pairs_is_taken_to_be_labelled_right() -> None:
    counts = np.array([[3, 1, 0], [0, 0, 0], [2, 0, 2]])
    np.testing.assert_allclose(transition(counts), [[0.75, 0.25, 0], [0, 1, 0], [0.5, 0, 0.5]])
    np.testing.assert_allclose(confusion(counts), transition(counts).T)


def test_planted_c_is_recovered() -> None:
    """A fifth of the labels of three classes are confused, as C says, and a tenth of all random, as eq. (1) says."""
    classes = 14
    planted = np.zeros((classes, classes))  # [noisy, true]
    planted[[3, 5], 0] = [0.7, 0.3]
    planted[[0, 1, 2], 6] = [0.4, 0.35, 0.25]
    planted[8, 7] = 1.0
    confused = planted.sum(axis=0)
    random = (1 - np.eye(classes)) / (classes - 1)
    mixed = 0.1 * random + 0.2 * planted + np.diag(0.9 - 0.2 * confused)
    matrix = confusing_noise(sampled(mixed.T, 20_000, 3))
    where = confused > 0
    np.testing.assert_array_equal((matrix > 0)[:, where], (planted > 0)[:, where])
    # What lands on a confusing label by chance is counted with it: 0.1 / 13 beside 0.2 C.
    expected = np.where(planted > 0, 0.2 * planted + 0.1 / (classes - 1), 0)[:, where]
    expected /= expected.sum(axis=0)
    error = np.sqrt(expected * (1 - expected) / (20_000 * 0.2))
    assert (np.abs(matrix[:, where] - expected) <= 4.5 * error).all()
    assert np.abs(matrix - planted)[:, where].max() < 0.04
    # Without any confusion the most likely C still calls some of the labels confusing: (L - 1) / e of them.
    # Without any confusion the most likely C still has some: for about 13 / e classes, with e / 13 each, one more or
    # less where equal counts would be cut apart.
    assert set((matrix > 0).sum(axis=0)[~where]) <= {4, 5, 6}
    assert matrix[:, ~where].max() < 0.3


# --- anchor points ---------------------------------------------------------------------------


def predictions(planted: np.ndarray, images: int, seed: int) -> np.ndarray:
    """p(noisy | x) of images that show one class each, most of them purely."""
    rng = np.random.default_rng(seed)
    classes = len(planted)
    true = np.eye(classes)[rng.integers(classes, size=images)]
    doubt = rng.random((images, 1)) ** 3
    return ((1 - doubt) * true + doubt * rng.dirichlet(np.ones(classes), size=images)) @ planted


def test_planted_t_is_read_off_anchor_points() -> None:
    planted = np.array([[0.7, 0.2, 0.1, 0], [0, 0.6, 0.4, 0], [0.1, 0, 0.9, 0], [0.2, 0.2, 0.1, 0.5]])
    matrix = transition_from_anchors(predictions(planted, 4000, 0).astype(np.float32))
    assert matrix.dtype == np.float64
    assert np.abs(matrix - planted).max() < 0.01
    np.testing.assert_allclose(matrix.sum(axis=1), 1)


def test_outliers_above_the_percentile_are_no_anchors() -> None:
    """Three of 200 predictions are extreme, and wrong about everything else."""
    planted = np.array([[0.8, 0.2], [0.4, 0.6]])
    matrix = predictions(planted, 200, 1)
    matrix[[3, 50, 77]] = [1.0, 0.0]
    assert np.abs(transition_from_anchors(matrix) - planted).max() < 0.02
    np.testing.assert_array_equal(transition_from_anchors(matrix, percentile=100)[0], [1, 0])


def test_anchors_by_hand() -> None:
    # 101 predictions of class 0 from 0 to 1: the 97th percentile is 0.97, that of class 1 as well.
    values = np.linspace(0, 1, 101)
    matrix = transition_from_anchors(np.stack([values, 1 - values], axis=1))
    np.testing.assert_allclose(matrix, [[0.97, 0.03], [0.03, 0.97]])
    np.testing.assert_allclose(transition_from_anchors(np.array([[0.3, 0.7]])), [[0.3, 0.7], [0.3, 0.7]])


# --- sampling rows ---------------------------------------------------------------------------


def test_few_rows_are_all_kept() -> None:
    parts = [np.arange(6).reshape(3, 2), np.empty((0, 2), int), np.arange(6, 10).reshape(2, 2)]
    np.testing.assert_array_equal(sample_rows(iter(parts), 5, np.random.default_rng(0)), np.concatenate(parts))


def test_many_rows_are_thinned_out_evenly() -> None:
    parts = [np.arange(first, min(first + 37, 1000))[:, None] for first in range(0, 1000, 37)]
    drawn = np.zeros(1000)
    for seed in range(400):
        matrix = sample_rows(iter(parts), 50, np.random.default_rng(seed))[:, 0]
        assert len(np.unique(matrix)) == 50
        assert (np.diff(matrix) > 0).all()
        drawn[matrix] += 1
    # 20 of 400 each, in the mean of any hundred neighbours to within 4.5 of sqrt(20 / 100)
    assert np.abs(drawn.reshape(10, 100).mean(axis=1) - 20).max() < 4.5 * np.sqrt(0.2)
    np.testing.assert_array_equal(matrix, sample_rows(iter(parts), 50, np.random.default_rng(399))[:, 0])
