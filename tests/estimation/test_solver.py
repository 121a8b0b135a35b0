"""Solved linear classifiers: scikit-learn's optimum where it solves the same, finite differences where it does not."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from nlcli.estimation.design import ArrayBlocks
from nlcli.estimation.linear_model import LinearModel
from nlcli.estimation.objective import Objective, Term
from nlcli.estimation.solver import Solution, solve
from nlcli.seeds import stream

ROWS, WIDTH, CLASSES = 240, 12, 4


def problem(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features with a large mean, noisy classes, and weights."""
    random = stream(seed, "solver")
    features = np.abs(random.normal(size=(ROWS, WIDTH))) + 2.0
    logits = 1.5 * features @ random.normal(size=(WIDTH, CLASSES))
    classes = (logits + random.gumbel(size=logits.shape)).argmax(axis=1)
    classes[:CLASSES] = np.arange(CLASSES)
    return features, classes, random.uniform(0.1, 3.0, size=ROWS)


def hot(classes: np.ndarray) -> np.ndarray:
    return np.eye(CLASSES)[classes]


def exact(*arguments: object, **options: object) -> Solution:
    return solve(*arguments, tolerance=1e-14, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("l2", [1e-1, 1e-3])
def test_one_label_is_solved_as_scikit_learn_solves_it(l2: float) -> None:
    features, classes, weights = problem()
    solution = exact(features, Term(hot(classes), weights), "single-label", CLASSES, l2)
    theirs = LogisticRegression(C=1.0 / (l2 * weights.sum()), tol=1e-12, max_iter=20_000, solver="newton-cg")
    theirs.fit(features, classes, weights)
    assert solution.converged
    np.testing.assert_allclose(solution.model.kernel, theirs.coef_.T, atol=1e-5)
    bias = solution.model.bias - solution.model.bias.mean()  # a softmax leaves their mean open
    np.testing.assert_allclose(bias, theirs.intercept_ - theirs.intercept_.mean(), atol=1e-5)
    np.testing.assert_allclose(solution.model.probabilities(features), theirs.predict_proba(features), atol=1e-5)


def test_several_labels_are_solved_as_scikit_learn_solves_each() -> None:
    features, _, weights = problem()
    tags = (stream(1, "tags").uniform(size=(ROWS, CLASSES)) < [0.5, 0.2, 0.1, 0.04]).astype(float)
    mask = (stream(2, "mask").uniform(size=(ROWS, CLASSES)) < 0.7).astype(np.uint8)
    solution = exact(features, Term(tags, weights, mask), "multi-label", CLASSES, 0.01)
    for c in range(CLASSES):
        theirs = LogisticRegression(C=1.0 / (0.01 * weights.sum()), tol=1e-12, max_iter=20_000, solver="newton-cg")
        known = mask[:, c] == 1
        theirs.fit(features[known], tags[known, c], weights[known])
        np.testing.assert_allclose(solution.model.kernel[:, c], theirs.coef_[0], atol=1e-5)
        np.testing.assert_allclose(solution.model.bias[c], theirs.intercept_[0], atol=1e-5)


def test_an_l2_of_each_class() -> None:
    features, classes, _ = problem()
    l2 = np.array([0.1, 0.01, 1.0, 0.03])
    together = exact(features, Term(hot(classes)), "multi-label", CLASSES, l2)
    for c in range(CLASSES):
        alone = exact(features, Term(hot(classes)[:, [c]]), "multi-label", 1, l2[c])
        np.testing.assert_allclose(together.model.kernel[:, c], alone.model.kernel[:, 0], atol=1e-6)


def test_soft_targets_are_rows_of_each_class_weighted() -> None:
    features, classes, weights = problem()
    soft = 0.7 * hot(classes) + 0.3 * hot((classes + 1) % CLASSES)
    solution = exact(features, Term(soft, weights), "single-label", CLASSES, 0.01)
    twice = exact(
        np.concatenate([features, features]),
        Term(hot(np.concatenate([classes, (classes + 1) % CLASSES])), np.concatenate([0.7 * weights, 0.3 * weights])),
        "single-label",
        CLASSES,
        0.01,
    )
    np.testing.assert_allclose(solution.model.kernel, twice.model.kernel, atol=1e-6)


def test_terms_are_rows_behind_one_another() -> None:
    features, classes, weights = problem()
    other = (classes + 2) % CLASSES
    terms = [Term(hot(classes), weights), Term(sparse.csr_matrix(hot(other)), np.ones(ROWS))]
    together = exact(features, terms, "single-label", CLASSES, 0.01)
    stacked = exact(
        np.concatenate([features, features]),
        Term(hot(np.concatenate([classes, other])), np.concatenate([weights, np.ones(ROWS)])),
        "single-label",
        CLASSES,
        0.01,
    )
    np.testing.assert_allclose(together.model.kernel, stacked.model.kernel, atol=1e-6)


def _terms() -> dict[str, tuple[str, Term]]:
    random = stream(3, "terms")
    _, classes, weights = problem()
    noise = random.dirichlet(np.ones(CLASSES), size=CLASSES)
    known = np.zeros((ROWS, CLASSES))
    known[np.arange(ROWS), classes] = 1  # a person looked at this class alone
    right = hot(classes) * (random.uniform(size=(ROWS, 1)) < 0.5)
    known[right.any(axis=1)] = 1
    channel = np.array([[0.1, 0.8], [0.0, 1.0], [0.3, 0.6], [0.05, 0.95]])
    tags = (random.uniform(size=(ROWS, CLASSES)) < 0.3).astype(float)
    return {
        "soft": ("single-label", Term(random.dirichlet(np.ones(CLASSES), size=ROWS), weights)),
        "not of a class": ("single-label", Term(right, weights, known)),
        "transition": ("single-label", Term(hot(classes), weights, transition=noise)),
        "entries": ("multi-label", Term(tags, weights, known)),
        "channel": ("multi-label", Term(tags, weights, transition=channel)),
    }


@pytest.mark.parametrize("name", list(_terms()))
def test_gradients_are_finite_differences(name: str) -> None:
    task, term = _terms()[name]
    features, _, _ = problem()
    towards = stream(4, "towards").normal(size=(WIDTH, CLASSES))
    objective = Objective(
        ArrayBlocks(features),
        [term],
        task,
        CLASSES,
        0.3,
        features.mean(axis=0),
        towards,  # type: ignore[arg-type]
    )
    at = 0.3 * stream(5, "at").normal(size=(WIDTH + 1, CLASSES))
    value, gradient = objective(at)
    assert value.shape == ((CLASSES,) if task == "multi-label" else (1,))
    for i, c in [(0, 0), (3, 1), (7, 2), (WIDTH, 3), (WIDTH, 0)]:
        up, down = at.copy(), at.copy()
        up[i, c] += 1e-5
        down[i, c] -= 1e-5
        difference = (objective(up)[0].sum() - objective(down)[0].sum()) / 2e-5
        assert gradient[i, c] == pytest.approx(difference, abs=1e-7)


def test_a_row_known_not_to_be_of_a_class_by_hand() -> None:
    features, logits = np.array([[1.0]]), np.log([[2.0, 1.0, 1.0]])
    term = Term(np.array([[0, 0, 0]]), None, np.array([[1, 0, 0]]))
    model = np.concatenate([logits, np.zeros((1, 3))])
    objective = Objective(ArrayBlocks(features), [term], "single-label", 3, 0.0, np.zeros(1))
    value, gradient = objective(model)
    assert value[0] == pytest.approx(np.log(2.0))  # the other two classes have half of the probability
    np.testing.assert_allclose(gradient[0], [0.5, -0.25, -0.25])


def test_a_transition_by_hand() -> None:
    features, logits = np.array([[1.0]]), np.log([[3.0, 1.0]])
    noise = np.array([[0.8, 0.2], [0.4, 0.6]])
    term = Term(np.array([[1, 0]]), transition=noise)
    objective = Objective(ArrayBlocks(features), [term], "single-label", 2, 0.0, np.zeros(1))
    value, gradient = objective(np.concatenate([logits, np.zeros((1, 2))]))
    assert value[0] == pytest.approx(-np.log(0.75 * 0.8 + 0.25 * 0.4))
    posterior = 0.6 / 0.7
    np.testing.assert_allclose(gradient[0], [0.75 - posterior, posterior - 0.75])


def test_a_known_transition_is_seen_through() -> None:
    """With T known, noisy labels lead to the classifier of the true ones."""
    random = stream(6, "through")
    features = random.normal(size=(6000, 3))
    true = LinearModel(np.array([[2.0, -1, 0], [0, 1.5, -1], [-1, 0, 1]]), np.zeros(3), "single-label")
    classes = (true.logits(features) + random.gumbel(size=(6000, 3))).argmax(axis=1)
    noise = np.array([[0.6, 0.4, 0.0], [0.1, 0.8, 0.1], [0.0, 0.3, 0.7]])
    noisy = (random.uniform(size=(6000, 1)) > noise[classes].cumsum(axis=1)).sum(axis=1)
    term = Term(np.eye(3)[noisy], transition=noise)
    plain = exact(features, Term(np.eye(3)[noisy]), "single-label", 3, 1e-5)
    through = exact(features, term, "single-label", 3, 1e-5, start=plain.model)
    error = np.abs(through.model.probabilities(features) - true.probabilities(features)).mean()
    assert error < 0.03 < np.abs(plain.model.probabilities(features) - true.probabilities(features)).mean()


class Streamed:
    """Rows that no array holds together."""

    def __init__(self, features: np.ndarray) -> None:
        self.features, self.shape = features, features.shape

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        for first in range(0, len(self.features), 37):
            yield first, self.features[first : first + 37].copy()


def test_rows_in_blocks_are_the_rows_together() -> None:
    features, classes, weights = problem()
    term = Term(hot(classes), weights)
    whole = exact(features, term, "single-label", CLASSES, 1e-3)
    parts = exact(Streamed(features), term, "single-label", CLASSES, 1e-3)
    np.testing.assert_allclose(parts.model.kernel, whole.model.kernel, atol=1e-6)
    single = solve(Streamed(features.astype(np.float32)), term, "single-label", CLASSES, 1e-3)
    np.testing.assert_allclose(single.model.probabilities(features), whole.model.probabilities(features), atol=1e-2)


def test_the_same_numbers_give_the_same_bits_and_a_start_the_same_optimum() -> None:
    features, classes, _ = problem()
    term = Term(hot(classes))
    first, second = (exact(features, term, "single-label", CLASSES, 1e-2) for _ in range(2))
    assert first.model.kernel.tobytes() == second.model.kernel.tobytes()
    start = LinearModel(stream(7, "s").normal(size=(WIDTH, CLASSES)), np.ones(CLASSES), "single-label")
    third = exact(features, term, "single-label", CLASSES, 1e-2, start=start)
    np.testing.assert_allclose(third.model.kernel, first.model.kernel, atol=1e-5)


def test_a_penalty_towards_a_kernel_stays_there_where_it_is_strong() -> None:
    features, classes, _ = problem()
    towards = stream(8, "t").normal(size=(WIDTH, CLASSES))
    solution = exact(features, Term(hot(classes)), "single-label", CLASSES, 1e4, towards=towards)
    np.testing.assert_allclose(solution.model.kernel, towards, atol=1e-3)


def test_no_weight_at_all_is_refused() -> None:
    features, classes, _ = problem()
    with pytest.raises(ValueError, match="no row has a weight"):
        solve(features, Term(hot(classes), np.zeros(ROWS)), "single-label", CLASSES, 1.0)
