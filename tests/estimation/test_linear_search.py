"""What linear classifiers are chosen by, by hand and by brute force, and that no image is judged by what it taught."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

from nlcli.estimation import linear_search
from nlcli.estimation.criterion import cost
from nlcli.estimation.design import ArrayBlocks
from nlcli.estimation.linear_model import log_softmax
from nlcli.estimation.linear_search import PATIENCE, Checked, Witnesses, choose
from nlcli.estimation.objective import Term
from nlcli.estimation.path import path_values
from nlcli.seeds import stream


def test_the_temperature_is_the_best_one() -> None:
    logits = np.log([[4.0, 1.0], [4.0, 1.0], [4.0, 1.0], [1.0, 4.0]])
    verified = np.array([[1, 0], [1, 0], [0, 1], [0, 1]])
    # Three of four are right: the best two-class temperature makes each 3 in 4 sure, whatever the logits' size.
    expected = -np.log([0.75, 0.75, 0.25, 0.75]).mean()
    for factor in (1.0, 0.2, 5.0):
        assert cost("single-label", factor * logits, verified, np.ones((4, 2))) == pytest.approx(expected, rel=1e-5)


def test_an_image_known_not_to_be_of_a_class_counts() -> None:
    verified, known = np.array([[0, 0, 0, 0], [1, 0, 0, 0]]), np.array([[1, 0, 0, 0], [1, 1, 1, 1]])
    told = cost("single-label", np.zeros((2, 4)), verified, known)
    assert told == pytest.approx(-np.log([0.75, 0.25]).mean())


def test_of_several_labels_it_is_the_ranking_of_what_is_known() -> None:
    random = stream(0, "criterion")
    logits, verified = random.normal(size=(60, 3)), (random.random((60, 3)) < 0.3).astype(int)
    known = (random.random((60, 3)) < 0.6).astype(int)
    each = [average_precision_score(verified[known[:, c] == 1, c], logits[known[:, c] == 1, c]) for c in range(3)]
    together = average_precision_score(verified[known == 1], logits[known == 1])
    assert cost("multi-label", logits, verified, known) == pytest.approx(1 - 0.5 * (np.mean(each) + together))


def _problem(images: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = stream(1, "search")
    features = random.normal(size=(images, 6))
    true = (features[:, :3] + 0.3 * random.normal(size=(images, 3))).argmax(axis=1)
    noisy = np.where(random.random(images) < 0.45, (true + 1) % 3, true)
    return features, true, noisy


def test_the_point_that_costs_least_is_taken_and_paths_end_when_they_bring_nothing() -> None:
    features, true, noisy = _problem(900)
    design, checked = ArrayBlocks(features[:600]), ArrayBlocks(features[600:])
    right = Checked(np.eye(3)[true[600:]], np.ones((300, 3)), checked)
    candidates = {"noisy": [Term(np.eye(3)[noisy[:600]])], "true": [Term(np.eye(3)[true[:600]])]}
    choice = choose(design, candidates, "single-label", 3, path_values(design), right)
    costs = [point.cost for point in choice.points]
    assert costs[choice.chosen] == min(costs)  # type: ignore[type-var]
    assert choice.points[choice.chosen].candidate == "true"
    assert not choice.crossed
    of_noisy = [point.cost for point in choice.points if point.candidate == "noisy"]
    assert len(of_noisy) == min(9, int(np.argmin(of_noisy)) + 1 + PATIENCE)
    told = cost("single-label", choice.solution.model.logits(features[600:]), right.verified, right.known)
    assert told == pytest.approx(costs[choice.chosen], abs=2e-3)


def test_training_images_are_judged_by_classifiers_that_have_not_seen_them() -> None:
    """Labels without any meaning look no better than chance, though they are fitted on."""
    random = stream(2, "crossed")
    features, labels = random.normal(size=(120, 60)), np.eye(2)[random.integers(0, 2, size=120)]
    design = ArrayBlocks(features)
    checked = Checked(labels, np.ones((120, 2)), rows=np.arange(120))
    choice = choose(design, {"": [Term(labels)]}, "single-label", 2, path_values(design), checked)
    assert choice.crossed
    assert all(point.cost is not None and point.cost > 0.95 * np.log(2) for point in choice.points)
    seen = cost("single-label", choice.solution.model.logits(features), labels, np.ones((120, 2)))
    assert seen < 0.6 * np.log(2)


def test_folds_leave_out_what_is_only_looked_at_all_at_once() -> None:
    verified, rows = np.eye(3)[np.arange(30) % 3], np.arange(0, 300, 10)
    apart = Checked(verified, np.ones((30, 3)), rows=rows, fitted_on=False).folds(300)
    assert set(apart[rows]) == {0}
    assert (np.delete(apart, rows) == -1).all()
    turns = Checked(verified, np.ones((30, 3)), rows=rows).folds(300)
    assert sorted(np.bincount(turns[rows])) == [6] * 5


def test_noisy_labels_of_images_left_out_help_to_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    """What points cost, by scikit-learn's classifiers and the formula of prediction-powered inference."""
    monkeypatch.setattr(linear_search, "PATH_TOLERANCE", 1e-8)
    features, true, noisy = _problem(500)
    noisy = np.where(np.arange(500) % 3 > 0, true, noisy)
    random = stream(3, "witnesses").permutation(500)
    rows, seen = np.sort(random[:40]), np.sort(random[40:140])
    checked = Checked(
        np.eye(3)[true[rows]],
        np.ones((40, 3)),
        rows=rows,
        fitted_on=False,
        witnesses=Witnesses(seen, noisy[seen], noisy[rows]),
    )
    design = ArrayBlocks(features)
    values = path_values(design)[:4]
    choice = choose(design, {"": [Term(np.eye(3)[noisy])]}, "single-label", 3, values, checked)

    left = np.delete(np.arange(500), np.concatenate([rows, seen]))
    by_true, by_noisy = [], []
    for l2 in values:
        model = LogisticRegression(C=1 / (l2 * len(left)), tol=1e-9, max_iter=2000).fit(features[left], noisy[left])
        factors = np.exp(np.linspace(-4, 4, 4001))
        logits = model.decision_function(features[rows])
        losses = [-log_softmax(f * logits)[np.arange(40), true[rows]].mean() for f in factors]
        p = np.exp(log_softmax(factors[int(np.argmin(losses))] * model.decision_function(features)))
        by_true.append(np.log(p[rows, true[rows]]))
        by_noisy.append(np.log(0.9 * p[np.arange(500), noisy] + 0.1 / 3))
    d = [own - by_true[0] for own in by_true[1:]]
    e = [(own - by_noisy[0])[rows] for own in by_noisy[1:]]
    together = sum(np.cov(a, b, ddof=0)[0, 1] / a.var() for a, b in zip(d, e, strict=True))
    share = together / sum(b.var() / a.var() for a, b in zip(d, e, strict=True))
    assert 0.05 < share < 1
    everyone = np.concatenate([rows, seen])
    expected = [
        -t.mean() - share * (o[everyone].mean() - o[rows].mean()) for t, o in zip(by_true, by_noisy, strict=True)
    ]
    np.testing.assert_allclose([point.cost for point in choice.points], expected, atol=3e-3)
    assert choice.chosen == int(np.argmin(expected))
