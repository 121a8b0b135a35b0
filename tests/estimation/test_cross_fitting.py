"""Folds deal each class evenly, and no image is predicted by what was fitted on it."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from nlcli.estimation.cross_fitting import out_of_fold, strata_of_tags, stratified_folds
from nlcli.estimation.objective import Term
from nlcli.estimation.solver import solve
from nlcli.seeds import stream


def test_folds_deal_every_class_evenly() -> None:
    strata = np.repeat([3, 7, 9], [50, 13, 4])
    folds = stratified_folds(strata, 5)
    np.testing.assert_array_equal(folds, stratified_folds(strata, 5))
    assert (folds != stratified_folds(strata, 5, seed=1)).any()
    assert set(np.bincount(folds)) == {13, 14}
    for value in (3, 7, 9):
        counts = np.bincount(folds[strata == value], minlength=5)
        assert counts.max() - counts.min() <= 1


def test_the_rarest_tag_is_an_images_stratum() -> None:
    tags = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 1], [0, 0, 0], [1, 1, 1]])  # 4, 2 and 2 of them
    np.testing.assert_array_equal(strata_of_tags(tags), [1, 0, 2, -1, 1])
    np.testing.assert_array_equal(strata_of_tags(sparse.csr_matrix(tags)), [1, 0, 2, -1, 1])


def test_each_fold_is_predicted_by_the_others() -> None:
    random = stream(0, "folds-test")
    features, classes = random.normal(size=(90, 5)), random.integers(0, 3, size=90)
    folds = stratified_folds(classes, 3)
    folds[:10] = -1  # always fitted on
    term, path = Term(np.eye(3)[classes], random.uniform(1, 2, size=90)), [0.1, 0.001]
    logits = out_of_fold(features, term, "single-label", 3, path, folds, tolerance=1e-13)
    assert logits.shape == (2, 80, 3)
    for i, l2 in enumerate(path):
        for fold in range(3):
            kept = folds != fold
            alone = solve(features[kept], term.of_rows(kept), "single-label", 3, l2, tolerance=1e-13).model
            expected = alone.logits(features[folds == fold])
            expected -= expected.mean(axis=1, keepdims=True)
            given = logits[i, folds[folds >= 0] == fold]
            np.testing.assert_allclose(given - given.mean(axis=1, keepdims=True), expected, atol=1e-4)
    one = out_of_fold(features, term, "single-label", 3, 0.1, folds, tolerance=1e-13)
    np.testing.assert_allclose(one, logits[0], atol=1e-5)
