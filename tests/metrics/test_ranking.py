"""Rankings against hand-computed values and against scikit-learn."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from sklearn import metrics as reference

from nlcli.errors import NlcliError
from nlcli.metrics import arrays, ranking
from nlcli.metrics.decisions import top_k_accuracy
from worlds.random_scores import EXACT, random_case


def test_average_precision_by_hand():
    # Ranks of the positives are 1, 3 and 4: (1/1 + 2/3 + 3/4) / 3.
    assert ranking.average_precision([1, 0, 1, 1, 0], [0.9, 0.8, 0.7, 0.6, 0.5]) == pytest.approx(29 / 36, abs=1e-15)
    # All tied: every positive is found when all four entries are called.
    assert ranking.average_precision([1, 0, 0, 0], [0.5] * 4) == 0.25
    # A positive tied with a negative shares its precision: (1/2 + 2/3) / 2.
    assert ranking.average_precision([1, 0, 1], [0.7, 0.7, 0.1]) == pytest.approx(7 / 12, abs=1e-15)
    assert ranking.average_precision([1, 1], [0.2, 0.1]) == 1.0
    assert math.isnan(ranking.average_precision([0, 0], [0.2, 0.1]))
    assert math.isnan(ranking.average_precision([], []))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("levels", [None, 1, 4])
def test_average_precision_is_scikit_learns(dtype, levels):
    labels, scores, _ = random_case(500, 12, levels=levels, dtype=dtype)
    for column in range(labels.shape[1]):
        expected = reference.average_precision_score(labels[:, column], scores[:, column])
        assert ranking.average_precision(labels[:, column], scores[:, column]) == pytest.approx(expected, abs=EXACT)


def test_signed_zeros_and_infinities_rank_as_numbers():
    labels = np.array([1, 0, 1, 0, 1])
    scores = np.array([0.0, -0.0, np.inf, -np.inf, -1e-45], np.float32)
    # Order: inf+, (0+ tied with -0), -1e-45+, -inf: 1/1, 2/3, 3/4.
    expected = (1 + 2 / 3 + 3 / 4) / 3
    assert ranking.average_precision(labels, scores) == pytest.approx(expected, abs=1e-15)
    sparse = ranking.sparse_ranking_metrics(np.zeros(5, int), labels, scores, 1)
    assert sparse.per_class[0] == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("levels", [None, 3])
@pytest.mark.parametrize("halve", [False, True])
def test_dense_metrics_are_scikit_learns(masked, levels, halve, monkeypatch):
    if halve:  # the way large rankings take
        monkeypatch.setattr(ranking, "HALVE", 64)
        monkeypatch.setattr(arrays, "BLOCK", 256)
    labels, scores, mask = random_case(levels=levels)
    assert len(ranking.ranking_bands(scores)) == (3 if halve else 2)  # bounds of two bands, or of one
    assert len(list(arrays.row_blocks(scores))) == (20 if halve else 1)  # 15 rows of 17 scores each, or all
    labels[:, 3] = 0
    keep = mask.astype(bool) if masked else np.ones(mask.shape, bool)
    measured = ranking.ranking_metrics(labels, scores, mask if masked else None)
    expected = [
        reference.average_precision_score(labels[k, c], scores[k, c]) if labels[k, c].any() else math.nan
        for c, k in enumerate(keep.T)
    ]
    np.testing.assert_allclose(measured.per_class, expected, rtol=0, atol=EXACT)
    assert measured.mean_ap == pytest.approx(np.nanmean(expected), abs=EXACT)
    assert measured.ap_all == pytest.approx(reference.average_precision_score(labels[keep], scores[keep]), abs=EXACT)
    assert measured.classes_without_positives == 1
    assert math.isnan(measured.per_class[3])
    np.testing.assert_array_equal(measured.positives, (labels * keep).sum(axis=0))
    np.testing.assert_array_equal(measured.scored, keep.sum(axis=0))
    one_by_one = ranking.mean_ap, ranking.ap_all
    assert [f(labels, scores, mask if masked else None) for f in one_by_one] == [measured.mean_ap, measured.ap_all]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("levels", [None, 3])
def test_sparse_metrics_are_the_dense_ones(dtype, levels):
    labels, scores, mask = random_case(levels=levels, dtype=dtype, seed=1)
    labels[:, 5] = 0
    mask[:, 9] = 0
    dense = ranking.ranking_metrics(labels, scores, mask)
    rows, classes = np.nonzero(mask)
    order = np.random.default_rng(2).permutation(len(rows))
    rows, classes = rows[order], classes[order]
    sparse = ranking.sparse_ranking_metrics(classes, labels[rows, classes], scores[rows, classes], 17)
    np.testing.assert_allclose(sparse.per_class, dense.per_class, rtol=0, atol=EXACT)
    np.testing.assert_array_equal(sparse.positives, dense.positives)
    np.testing.assert_array_equal(sparse.scored, dense.scored)
    assert sparse.ap_all == pytest.approx(dense.ap_all, abs=EXACT)
    assert sparse.mean_ap == pytest.approx(dense.mean_ap, abs=EXACT)
    assert sparse.classes_without_positives == 2


def test_no_positive_at_all_is_nan_not_zero():
    measured = ranking.ranking_metrics(np.zeros((4, 2)), np.ones((4, 2)))
    assert math.isnan(measured.mean_ap)
    assert math.isnan(measured.ap_all)
    empty = ranking.sparse_ranking_metrics(np.zeros(0, int), np.zeros(0), np.zeros(0, np.float32), 3)
    assert empty.classes_without_positives == 3


def test_nan_is_named_with_its_place_unless_masked():
    labels, scores, mask = random_case()
    scores[7, 2] = np.nan
    mask[7, 2] = 0
    assert math.isfinite(ranking.ranking_metrics(labels, scores, mask).ap_all)
    mask[7, 2] = 1
    for call in (ranking.per_class_ap, ranking.ap_all):
        with pytest.raises(NlcliError, match="row 7, class 2 is NaN"):
            call(labels, scores, mask)
    with pytest.raises(NlcliError, match="row 7 is NaN"):
        ranking.average_precision(labels[:, 2], scores[:, 2])
    with pytest.raises(NlcliError, match="row 7 is NaN"):
        ranking.sparse_ranking_metrics(np.zeros(300, int), labels[:, 2], scores[:, 2], 1)
    with pytest.raises(NlcliError, match="row 7, class 2 is NaN"):
        top_k_accuracy(np.zeros(300, int), scores)


def test_wrong_shapes_and_labels_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        ranking.per_class_ap(np.zeros((3, 2)), np.zeros((3, 3)))
    with pytest.raises(ValueError, match="0 or 1"):
        ranking.average_precision([0, 2], [0.1, 0.2])
    with pytest.raises(ValueError, match=r"outside 0 \.\. 1"):
        ranking.sparse_ranking_metrics([2], [1], [0.5], 2)


def test_memory_of_dense_and_sparse():
    rng = np.random.default_rng(0)
    labels, scores = (rng.random((6000, 1000)) < 0.05).astype(np.uint8), rng.random((6000, 1000), np.float32)
    tracemalloc.start()
    ranking.ranking_metrics(labels, scores)
    peak = tracemalloc.get_traced_memory()[1]
    classes = rng.integers(0, 6012, 200_000)
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    ranking.sparse_ranking_metrics(classes, labels.reshape(-1)[:200_000], scores.reshape(-1)[:200_000], 6012)
    sparse_peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    assert peak < 1.0 * scores.nbytes  # with the scores themselves: less than twice
    assert sparse_peak < 40 * 200_000  # bytes for each verified entry; 20,000 x 6,012 scores would be 480 MB


def test_rank_precision_by_hand():
    measured = ranking.rank_precision([1, 0, 1, 1, 0], [0.9, 0.8, 0.7, 0.6, 0.5])
    assert measured == pytest.approx([1, 1 / 2, 2 / 3, 3 / 4, 3 / 5], abs=EXACT)
    # Three in the middle share one score, one of them is wrong: each counts a third.
    measured = ranking.rank_precision([1, 0, 1, 0, 1], [0.1, 0.5, 0.5, 0.5, 0.9])
    assert measured == pytest.approx([1, (1 + 1 / 3) / 2, (1 + 2 / 3) / 3, 2 / 4, 3 / 5], abs=EXACT)
    assert ranking.rank_precision([1, 0, 0, 0], [0.5] * 4) == pytest.approx([0.25] * 4)
    with pytest.raises(NlcliError, match="NaN"):
        ranking.rank_precision([1, 0], [0.5, math.nan])


def test_area_under_the_roc_curve_as_scikit_learn_has_it() -> None:
    from sklearn.metrics import roc_auc_score

    from nlcli.metrics.ranking import roc_area

    rng = np.random.default_rng(0)
    positive, scores = rng.random(80) < 0.3, rng.integers(10, size=80)
    assert roc_area(positive, scores) == pytest.approx(roc_auc_score(positive, scores))
    assert np.isnan(roc_area(np.ones(3, bool), np.arange(3)))
