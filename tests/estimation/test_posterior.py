"""Posteriors of true classes: by hand, by brute force, and on images whose noise was planted."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from nlcli.estimation.cross_fitting import stratified_folds
from nlcli.estimation.design import ArrayBlocks
from nlcli.estimation.linear_model import LinearModel, log_softmax
from nlcli.estimation.objective import Objective
from nlcli.estimation.observed import Observed, corrected_terms, plain_term, posterior
from nlcli.estimation.posterior import (
    Believed,
    believe,
    classifier,
    logits_of_folds,
    lost_classes,
)
from nlcli.estimation.solver import solve
from nlcli.seeds import stream

CHANNEL = np.array([[0.6, 0.4, 0.0, 0.0], [0.0, 0.6, 0.4, 0.0], [0.0, 0.0, 0.6, 0.4], [0.3, 0.0, 0.0, 0.7]])
COUNT, WIDTH, CLASSES, L2 = 900, 10, 4, 3e-3


def observed(noisy: list[int], true: list[int], wrong: list[bool] | None = None) -> Observed:
    given = np.zeros(len(noisy), bool) if wrong is None else np.array(wrong)
    return Observed(np.array(noisy), np.array(true), given, 3)


def test_bayes_rule_by_hand() -> None:
    prior = np.log(np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]]))
    channel = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.0, 0.5, 0.5]])
    result = posterior(prior, np.array([0, 2]), channel)
    np.testing.assert_allclose(
        result, [[0.40 / 0.46, 0.06 / 0.46, 0.0], [0.05 / 0.18, 0.03 / 0.18, 0.10 / 0.18]], atol=1e-12
    )


def loss_of(terms: object, logits: np.ndarray) -> float:
    """The loss of images whose logits are their features."""
    parameters = np.concatenate([np.eye(3), np.zeros((1, 3))])
    return float(Objective(ArrayBlocks(logits), terms, "single-label", 3, 0.0, np.zeros(3))(parameters)[0][0])  # type: ignore[arg-type]


def test_losses_by_hand() -> None:
    """One image with a noisy label, one whose class is known, one whose label is known to be wrong."""
    p = np.array([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3], [0.2, 0.2, 0.6]])
    channel = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.4, 0.5]])
    labels = observed([1, 0, 2], [-1, 1, -1], [False, False, True])
    noisy = -np.log(0.5 * 0.1 + 0.3 * 0.7 + 0.2 * 0.4)
    whole = noisy + 5 * (-np.log(0.6) - np.log(1 - 0.6))
    assert loss_of(corrected_terms(labels, channel, 5.0), np.log(p)) == pytest.approx(whole / 11)
    plain = -np.log(0.3) + 5 * (-np.log(0.6) - np.log(1 - 0.6))
    assert loss_of([plain_term(labels, 5.0)], np.log(p)) == pytest.approx(plain / 11)


def test_what_is_verified_is_not_a_matter_of_belief() -> None:
    combined = believed_of(np.log(np.array([[0.5, 0.3, 0.2]] * 3)))
    soft = combined.soft_labels(observed([1, 0, 0], [-1, 1, -1], [False, False, True]))
    np.testing.assert_allclose(soft, [[0.5, 0.3, 0.2], [0, 1, 0], [0, 0.6, 0.4]])


def believed_of(log_p: np.ndarray) -> Believed:
    from nlcli.estimation.evidence import Combination, Combined

    combined = Combined(Combination(np.ones(2), np.zeros(3)), log_p, None, np.empty(0))
    return Believed(log_p, log_p, combined, np.eye(3), (), True, 1.0, 1.0)


def test_a_class_is_lost_where_it_is_hardly_predicted() -> None:
    noisy = np.repeat([0, 1, 2], [50, 40, 10])
    labels = Observed(noisy, np.full(100, -1), np.zeros(100, bool), 3)
    log_p = np.log(np.full((100, 3), 0.1))
    log_p[:50, 0] = log_p[50:98, 1] = log_p[98:, 2] = 0.0
    assert lost_classes(log_p, labels, log_p).tolist() == []  # 2 % of the images where 10 % have the label
    fewer = log_p.copy()
    fewer[98:, 1] = 1.0
    assert lost_classes(fewer, labels, log_p).tolist() == [2]
    verified = np.where(np.arange(100) < 90, np.minimum(noisy, 1), -1)
    assert lost_classes(fewer, Observed(noisy, verified, np.zeros(100, bool), 3), log_p).tolist() == []


def test_classes_that_are_exchanged_are_lost() -> None:
    noisy = np.repeat([0, 1, 2], [50, 40, 60])
    labels = Observed(noisy, np.full(150, -1), np.zeros(150, bool), 3)
    plain = log_softmax(np.eye(3)[noisy] + 0.01 * np.arange(150)[:, None] * np.eye(3)[noisy])
    exchanged = plain[:, [1, 0, 2]]
    assert lost_classes(exchanged, labels, plain).tolist() == [0, 1]
    some = plain.copy()
    some[:45] = exchanged[:45]  # the five surest of class 0 stay: a tenth of those that are predicted
    assert lost_classes(some, labels, plain).tolist() == []
    some[47:] = exchanged[47:]
    assert 0 in lost_classes(some, labels, plain)


# --- planted noise ---------------------------------------------------------------------------


@cache
def world(verified: int) -> tuple[np.ndarray, np.ndarray, Observed, np.ndarray, tuple[LinearModel, ...]]:
    """Features, true classes, what is known, folds, and classifiers of the labels as they are."""
    random = stream(3, "posterior")
    true = random.integers(CLASSES, size=COUNT)
    features = 1.1 * random.normal(size=(CLASSES, WIDTH))[true] + random.normal(size=(COUNT, WIDTH))
    noisy = (CHANNEL[true].cumsum(axis=1) > random.random(COUNT)[:, None]).argmax(axis=1)
    known = np.where(np.arange(COUNT) < verified, true, -1)
    labels = Observed(noisy, known, np.zeros(COUNT, bool), CLASSES)
    folds = stratified_folds(noisy, 4)
    start = tuple(
        solve(features[folds != f], plain_term(labels).of_rows(folds != f), "single-label", CLASSES, L2).model
        for f in range(4)
    )
    return features, true, labels, folds, start


@cache
def result(verified: int) -> Believed:
    features, _, labels, folds, start = world(verified)
    return believe(ArrayBlocks(features), labels, folds, start, L2)


def area(log_p: np.ndarray, verified: int) -> float:
    _, true, labels, _, _ = world(verified)
    own = log_p[np.arange(COUNT), labels.noisy]
    return float(roc_auc_score((labels.noisy == true)[150:], np.exp(own)[150:]))


@pytest.mark.parametrize("verified", [0, 150])
def test_it_finds_how_labels_go_wrong_and_which(verified: int) -> None:
    features, true, labels, folds, start = world(verified)
    believed = result(verified)
    assert believed.corrected == (verified > 0)  # without any, noisy labels do not get likelier in so few images
    assert np.abs(believed.estimated_transition(labels) - CHANNEL).max() < (0.2 if verified else 0.3)
    plain = log_softmax(logits_of_folds(ArrayBlocks(features), start, folds))
    assert area(believed.combined.log_probabilities, verified) > area(plain, verified) + 0.02
    made = classifier(ArrayBlocks(features), labels, believed)
    assert made.converged
    predicted = made.model.logits(features).argmax(axis=1)
    of_labels = solve(features, plain_term(labels), "single-label", CLASSES, L2).model.logits(features).argmax(axis=1)
    if verified:
        assert np.mean(predicted == true) > np.mean(of_labels == true) + 0.02
    else:
        assert np.mean(predicted == of_labels) > 0.99


def test_verified_images_make_it_better() -> None:
    with_verified = result(150).combined.log_probabilities
    assert area(with_verified, 150) > area(result(0).combined.log_probabilities, 0)


def test_of_an_image_it_does_not_know_what_is_verified_of_it() -> None:
    """The image's class was verified as another one; what is believed of it hardly moves, by what that says of others."""
    features, _, labels, folds, start = world(150)
    changed = labels.true.copy()
    changed[7] = (changed[7] + 1) % CLASSES
    other = believe(ArrayBlocks(features), Observed(labels.noisy, changed, labels.wrong, CLASSES), folds, start, L2)
    before = np.exp(result(150).combined.log_probabilities[7])
    np.testing.assert_allclose(np.exp(other.combined.log_probabilities[7]), before, atol=0.03)


def test_labels_that_are_right_are_not_corrected_away() -> None:
    """Nothing to correct: whatever it decides, a classifier is as good as that of the labels."""
    features, true, _, folds, _ = world(0)
    labels = Observed(true, np.where(np.arange(COUNT) < 100, true, -1), np.zeros(COUNT, bool), CLASSES)
    start = tuple(
        solve(features[folds != f], plain_term(labels).of_rows(folds != f), "single-label", CLASSES, L2).model
        for f in range(4)
    )
    believed = believe(ArrayBlocks(features), labels, folds, start, L2)
    assert np.diag(believed.estimated_transition(labels)).min() > 0.9
    right = np.exp(believed.combined.log_probabilities)[np.arange(COUNT), true]
    assert np.mean(right > 0.5) > 0.97


def test_classifiers_of_labels_stay_where_nothing_is_better() -> None:
    """Labels that have nothing to do with the images: there is nothing that verified images could prefer."""
    features, true, _, folds, _ = world(0)
    noisy = stream(4, "nonsense").permutation(true)
    labels = Observed(noisy, np.where(np.arange(COUNT) < 60, true, -1), np.zeros(COUNT, bool), CLASSES)
    start = tuple(
        solve(features[folds != f], plain_term(labels).of_rows(folds != f), "single-label", CLASSES, L2).model
        for f in range(4)
    )
    believed = believe(ArrayBlocks(features), labels, folds, start, L2)
    path = [point["cost"] for point in believed.notes["path"] if not point["lost_classes"]]
    assert believed.corrected == bool(path and min(path) < believed.notes["plain_cost"])
    if not believed.corrected:
        assert believed.models == start
        assert believed.l2 == L2
