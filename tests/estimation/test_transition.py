"""Matrices T, by hand and beside the truth that labels were drawn from."""

from __future__ import annotations

import numpy as np
from scipy.stats import dirichlet_multinomial

from nlcli.estimation.transition import (
    STRENGTHS,
    confident_transition,
    counted_transition,
    fitted_transition,
    pair_counts,
    shrunk_transition,
)
from nlcli.seeds import stream

TRUE = np.array([[0.7, 0.2, 0.1], [0.0, 0.9, 0.1], [0.3, 0.0, 0.7]])


def test_pairs_are_counted_where_the_class_is_known() -> None:
    true, noisy = np.array([0, 0, 2, -1, 2]), np.array([1, 1, 0, 2, 2])
    assert pair_counts(true, noisy, 3).tolist() == [[0, 2, 0], [0, 0, 0], [1, 0, 1]]


def test_confident_counts_by_hand() -> None:
    # Means of p(c) of the images labelled c: 0.6, 0.7 and, without one, none. Image 2 is labelled 0 and is confidently
    # of class 1; image 4 reaches neither level and counts for none.
    p = np.array([[0.9, 0.1, 0.0], [0.8, 0.2, 0.0], [0.1, 0.9, 0.0], [0.3, 0.7, 0.0], [0.5, 0.5, 0.0]])
    noisy = np.array([0, 0, 0, 1, 1])
    counts = np.array([[2, 0, 0], [1, 1, 0], [0, 0, 0]]) + 1 / 3 + 2 * np.eye(3)
    np.testing.assert_allclose(confident_transition(p, noisy), counts / counts.sum(axis=1, keepdims=True))


def test_a_prior_is_as_strong_as_pairs_are_likely_under_it() -> None:
    prior = np.array([[0.8, 0.2], [0.3, 0.7]])
    pairs = np.array([[16.0, 5.0], [2.0, 4.0]])
    likelihoods = [
        sum(dirichlet_multinomial.logpmf(pairs[c].astype(int), s * prior[c], int(pairs[c].sum())) for c in range(2))
        for s in STRENGTHS
    ]
    shrunk = shrunk_transition(pairs, prior)
    assert shrunk.strength == STRENGTHS[int(np.argmax(likelihoods))]
    by_hand = pairs + shrunk.strength * prior
    np.testing.assert_allclose(shrunk.matrix, by_hand / by_hand.sum(axis=1, keepdims=True))


def test_pairs_that_fit_the_prior_go_to_it_and_others_do_not() -> None:
    prior = np.full((2, 2), 0.5)
    assert shrunk_transition(np.array([[50.0, 50.0], [50.0, 50.0]]), prior).strength == STRENGTHS[-1]
    assert shrunk_transition(np.array([[100.0, 0.0], [0.0, 100.0]]), prior).strength <= 2


def test_expectation_and_maximisation_find_the_greatest_likelihood() -> None:
    """Against a search over the only free number of each row."""
    random = stream(0, "transition")
    p = random.dirichlet([0.5, 0.5], size=400)
    channel = np.array([[0.8, 0.2], [0.35, 0.65]])
    true = (random.random(400) > p[:, 0]).astype(int)
    noisy = (random.random(400) > channel[true, 0]).astype(int)
    fitted = fitted_transition(p, noisy, np.zeros((2, 2)), np.full((2, 2), 0.5) + 0.2 * np.eye(2) - 0.1, smoothing=1e-9)
    best, at = -np.inf, (0.0, 0.0)
    for a in np.linspace(0.5, 1, 101):
        for b in np.linspace(0, 0.6, 121):
            q = p @ np.array([[a, 1 - a], [b, 1 - b]])
            value = np.log(np.maximum(q[np.arange(400), noisy], 1e-300)).sum()
            if value > best:
                best, at = value, (a, b)
    np.testing.assert_allclose((fitted[0, 0], fitted[1, 0]), at, atol=0.011)


def test_one_step_by_hand_with_pairs_and_labels_known_to_be_wrong() -> None:
    p, noisy = np.array([[0.5, 0.5], [0.8, 0.2]]), np.array([0, 1])
    start = np.array([[0.6, 0.4], [0.2, 0.8]])
    pairs = np.array([[3.0, 0.0], [0.0, 1.0]])
    # Image 0: 0.3 and 0.1, so 3/4 and 1/4. Image 1 is not of class 1, its label, so of class 0.
    expected = np.array([[3 + 0.75 + 0.5, 1 + 0.5], [0.25 + 0.5, 1 + 0.5]])
    excluded = np.array([False, True])
    once = fitted_transition(p, noisy, pairs, start, excluded=excluded, tolerance=np.inf)
    np.testing.assert_allclose(once, expected / expected.sum(axis=1, keepdims=True))


def test_shares_of_what_is_believed() -> None:
    posterior, noisy = np.array([[0.5, 0.5], [0.9, 0.1], [0.0, 1.0]]), np.array([0, 1, 1])
    counts = np.array([[1 + 0.5 + 0.5, 0.9 + 0.5], [0.5 + 0.5, 1.1 + 0.5]])
    pairs = np.array([[1.0, 0.0], [0.0, 0.0]])
    matrix = counted_transition(posterior, noisy, pairs)
    np.testing.assert_allclose(matrix, counts / counts.sum(axis=1, keepdims=True))


def test_many_images_and_few_pairs_come_nearer_than_pairs_alone() -> None:
    random = stream(1, "transition")
    p = random.dirichlet([0.2, 0.2, 0.2], size=3000)
    true = (p.cumsum(axis=1) > random.random(3000)[:, None]).argmax(axis=1)
    noisy = (TRUE[true].cumsum(axis=1) > random.random(3000)[:, None]).argmax(axis=1)
    pairs = pair_counts(true[:45], noisy[:45], 3)
    start = pairs + 0.5 + 5 * np.eye(3)
    fitted = fitted_transition(p[45:], noisy[45:], pairs, start / start.sum(axis=1, keepdims=True))
    alone = (pairs + 1 / 3) / (pairs + 1 / 3).sum(axis=1, keepdims=True)
    assert np.abs(fitted - TRUE).max() < 0.06 < np.abs(alone - TRUE).max()
