"""Labels that are dropped, by hand and beside cleanlab, and the classifier of what is left, beside scikit-learn's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from nlcli.estimation import foretelling
from nlcli.estimation.candidates import NOISY, PRUNED, PRUNED_5, Candidates
from nlcli.estimation.contest import contest
from nlcli.estimation.pruning import STRENGTH, looks_wrong
from worlds.classes_taken_for_others import drawn


def test_labels_that_look_wrong_by_hand() -> None:
    # Mean p(own) of those labelled 0 is 0.6, of those labelled 1 0.7. Labelled 0: three are confidently 0, one 1, so that
    # one of four goes, the one that is most of 1; labelled 1 none is confidently of another class.
    own = np.array([0.9, 0.8, 0.6, 0.1, 0.3, 0.3])
    p, noisy = np.column_stack([own, 1 - own]), np.array([0, 0, 0, 0, 1, 1])
    assert looks_wrong(p, noisy).tolist() == [False, False, False, True, False, False]


def test_as_many_as_are_counted_but_none_that_is_the_most_probable_class() -> None:
    # Levels are 0.62 and 0.4. Of four labelled 0 two are confidently of class 1, so that two would go; but the third is
    # more likely of 0 all the same, and stays.
    own = np.array([0.95, 0.85, 0.58, 0.1, 0.6])
    p, noisy = np.column_stack([own, 1 - own]), np.array([0, 0, 0, 0, 1])
    assert looks_wrong(p, noisy).tolist() == [False, False, False, True, False]


def test_most_of_what_is_dropped_is_what_cleanlab_drops() -> None:
    cleanlab = pytest.importorskip("cleanlab.filter")
    rng = np.random.default_rng(3)
    true, p = rng.integers(4, size=2000), np.empty((2000, 4))
    noisy = np.where(rng.random(2000) < 0.3, (true + 1) % 4, true)
    logits = 1.5 * np.eye(4)[true] + np.eye(4)[noisy] + rng.normal(size=p.shape)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    theirs = cleanlab.find_label_issues(noisy, p, n_jobs=1)
    assert np.mean(looks_wrong(p, noisy) == theirs) > 0.99


@pytest.mark.parametrize(("name", "weight"), [(PRUNED, 1.0), (PRUNED_5, 5.0)])
def test_it_is_another_programs_classifier_of_what_is_left(name: str, weight: float) -> None:
    images, features, true, noisy = drawn(count=400, wrong=0.3)
    candidates = Candidates(images)
    left = candidates.left
    assert not left[images.checked].any()
    assert 0.1 < np.mean(left[~images.checked] == 0) < 0.5
    labels = np.where(images.checked, true, noisy)
    weights = np.where(images.checked, weight, left)
    value = candidates.l2
    list(candidates.solved(name, (value,)))
    model, *_ = candidates.final(name, value)
    theirs = LogisticRegression(C=1 / (value * weights.sum()), tol=1e-8, max_iter=1000)
    theirs.fit(features, labels, sample_weight=weights)
    centred = model.kernel - model.kernel.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(centred.T, theirs.coef_, atol=1e-3)


def test_a_label_that_is_left_counts_what_its_class_lost() -> None:
    """By the confident counts of what classifiers that have not seen an image say of noisy labels, and two more."""
    images, _, _, noisy = drawn(count=400, checked=0, wrong=0.3)
    candidates = Candidates(images)
    diagonal = candidates.transition(images.checked).diagonal()
    kept = candidates.left > 0
    np.testing.assert_allclose(candidates.left[kept], 1 / diagonal[noisy[kept]])
    assert diagonal.min() < 0.8


def test_labels_that_look_wrong_mostly_are() -> None:
    images, _, true, noisy = drawn(count=1500, wrong=0.3)
    dropped = (Candidates(images).left == 0) & ~images.checked
    assert np.mean((true != noisy)[dropped]) > 0.65
    assert np.mean(dropped[(true != noisy) & ~images.checked]) > 0.65


def test_images_without_a_label_are_not_heard() -> None:
    images, *_ = drawn(count=300, checked=0, wrong=0.3)
    counts = np.r_[np.ones(250), np.zeros(50)]
    fewer = replace(images, labelled=counts)
    other = replace(fewer, noisy=images.noisy[np.r_[0:250, 299:249:-1]])
    one, two = Candidates(fewer), Candidates(other)
    np.testing.assert_array_equal(one.left, two.left)
    assert not one.left[250:].any()
    assert one.left[:250].any()


def test_it_is_kept_where_what_is_ahead_loses_a_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foretelling, "lost_classes", lambda *_: np.array([2]))
    images, *_ = drawn(checked=0, wrong=0.3)
    result = contest(images)
    assert result.winner == PRUNED
    assert result.foretold is not None
    assert result.foretold.by_class
    assert contest(drawn(checked=0, wrong=0.0)[0]).winner == NOISY
    alone = Candidates(images)
    list(alone.solved(PRUNED, (alone.l2 * STRENGTH,)))
    np.testing.assert_array_equal(result.model.kernel, alone.final(PRUNED, result.l2)[0].kernel)
