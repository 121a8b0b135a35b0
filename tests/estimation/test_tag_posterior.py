"""Posteriors of tags, beside scikit-learn and on images whose tags were planted."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from nlcli.estimation.tag_posterior import (
    RIDGE,
    SHIFT_RIDGE,
    TOGETHER,
    TagPosterior,
    crossed_log_odds,
    fit_tag_posterior,
)
from nlcli.seeds import stream

CLASSES = 4


def planted(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits, given tags and classes; the first two classes go together, tags of the last one are mostly wrong."""
    random = stream(seed, "tags")
    common = random.random(count) < 0.3
    present = random.random((count, CLASSES)) < 0.2
    present[:, 0] |= common
    present[:, 1] |= common
    logits = 2.0 * present - 2.0 + 1.5 * random.normal(size=present.shape)
    said = np.where(present, 0.7, np.array([0.05, 0.05, 0.05, 0.6]))
    return logits, (random.random(present.shape) < said).astype(np.uint8), present.astype(np.uint8)


def test_log_odds_by_hand() -> None:
    fitted = TagPosterior(
        sure=np.array([1.0, 0.0]),
        shares=np.array([0.5, 0.25]),
        together=np.array([[0.0, 0.4], [0.4, 0.0]]),
        weights=np.array([0.1, 2.0, 1.0, 0.5, 3.0]),
        shifts=np.array([0.2, -0.2]),
        given_shifts=np.array([0.3, -0.3]),
    )
    odds = fitted.log_odds(np.array([[0.0, np.log(3.0)]]), np.array([[1, 0]]))
    # p is (1/2, 3/4): class 0 hears 0.4 (3/4 - 1/4) = 0.2 from class 1, which hears 0.4 (1/2 - 1/2) = 0.
    expected = [0.1 + 0.2 + 1.0 + 0.3 + 3.0 * 0.2, 0.1 + 2.0 * np.log(3.0) - 0.2]
    np.testing.assert_allclose(odds, [expected])


def test_it_is_a_ridged_logistic_regression_of_the_known_entries() -> None:
    logits, given, present = planted(150)
    known = (stream(1, "known").random(present.shape) < 0.7).astype(np.uint8)
    fitted = fit_tag_posterior(logits, given, present, known)
    seen = known > 0
    _, of_class = np.nonzero(seen)
    p = 1 / (1 + np.exp(-(fitted.sure[0] * logits + fitted.sure[1])))
    others = ((p - fitted.shares) @ fitted.together)[seen]
    z, g, each = logits[seen], given[seen].astype(float), np.eye(CLASSES)[of_class]
    # scikit-learn has one ridge for all columns but the intercept: columns are scaled to have their own.
    free = 1e4
    x = np.column_stack([free * z, g, g * z, others, each / SHIFT_RIDGE**0.5, g[:, None] * each / SHIFT_RIDGE**0.5])
    reference = LogisticRegression(C=1 / RIDGE, tol=1e-12, max_iter=5000, solver="newton-cholesky").fit(
        x, present[seen]
    )
    coefficients = reference.coef_[0]
    np.testing.assert_allclose(fitted.weights[0], reference.intercept_[0], atol=2e-3)
    np.testing.assert_allclose(fitted.weights[1:], [coefficients[0] * free, *coefficients[1:4]], atol=2e-3)
    np.testing.assert_allclose(fitted.shifts, coefficients[4 : 4 + CLASSES] / SHIFT_RIDGE**0.5, atol=2e-3)
    np.testing.assert_allclose(fitted.given_shifts, coefficients[4 + CLASSES :] / SHIFT_RIDGE**0.5, atol=2e-3)


def test_correlations_are_those_of_numpy_shrunk() -> None:
    logits, given, present = planted(400)
    fitted = fit_tag_posterior(logits, given, present, np.ones_like(present))
    expected = np.corrcoef(present.T) * (1 - np.eye(CLASSES)) * present.sum() / (present.sum() + TOGETHER)
    np.testing.assert_allclose(fitted.together, expected, atol=5e-3)  # shares have half an image of each kind more
    assert fitted.together[0, 1] > 0.3


def test_tags_and_other_classes_tell_more_than_the_image_alone() -> None:
    logits, given, present = planted(2000)
    folds = np.arange(300) % 5
    some = slice(0, 300)
    every = np.ones_like(present[some])
    fitted = fit_tag_posterior(logits[some], given[some], present[some], every)
    odds = fitted.log_odds(logits[300:], given[300:])
    for kind in (0, 1):
        of_kind = given[300:] == kind
        before = roc_auc_score(present[300:][of_kind], logits[300:][of_kind])
        assert roc_auc_score(present[300:][of_kind], odds[of_kind]) > before + 0.02
    assert abs(np.mean(1 / (1 + np.exp(-odds))) - present[300:].mean()) < 0.02
    assert fitted.given_shifts.argmin() == CLASSES - 1  # its tags say least
    crossed = crossed_log_odds(logits[some], given[some], present[some], every, folds)
    assert roc_auc_score(present[some].ravel(), crossed.ravel()) > roc_auc_score(
        present[some].ravel(), logits[some].ravel()
    )


def test_an_image_has_no_part_in_what_is_said_of_it() -> None:
    logits, given, present = planted(100)
    folds, every = np.arange(100) % 4, np.ones_like(present)
    before = crossed_log_odds(logits, given, present, every, folds)
    changed = present.copy()
    changed[folds == 2] = 1 - changed[folds == 2]
    after = crossed_log_odds(logits, given, changed, every, folds)
    np.testing.assert_array_equal(after[folds == 2], before[folds == 2])
    assert not np.allclose(after[folds == 0], before[folds == 0])


def test_entries_that_a_line_parts_have_finite_log_odds() -> None:
    present = np.array([[1, 0], [0, 1], [1, 0], [0, 1]])
    fitted = fit_tag_posterior(np.where(present > 0, 5.0, -5.0), present, present, np.ones_like(present))
    assert np.isfinite(fitted.log_odds(np.array([[1e6, -1e6]]), np.array([[1, 0]]))).all()
