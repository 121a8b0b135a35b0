"""Bootstrap replicates against resampling by brute force and scikit-learn's weighted AP."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from nlcli.errors import NlcliError
from nlcli.metrics import bootstrap
from nlcli.metrics.ranking import rank_keys
from worlds.random_scores import EXACT, random_case


def brute_force(labels, scores, mask, weights):
    """AP per class and AP_all of one resample, the rows repeated as often as they were drawn."""
    rows = np.repeat(np.arange(len(labels)), weights)
    labels, scores, keep = labels[rows], scores[rows], mask[rows].astype(bool)
    per_class = [
        average_precision_score(labels[k, c], scores[k, c]) if labels[k, c].any() else math.nan
        for c, k in enumerate(keep.T)
    ]
    return np.array(per_class), average_precision_score(labels[keep], scores[keep])


@pytest.mark.parametrize("levels", [None, 2])
@pytest.mark.parametrize("masked", [False, True])
def test_replicates_are_brute_force(levels, masked):
    labels, scores, mask = random_case(60, 7, levels=levels, seed=3)
    labels[:, 1] = 0
    labels[:, 2] = np.arange(60) == 11  # missing from a third of the resamples
    if not masked:
        mask[:] = 1
    scores[0, 0], mask[0, 0] = (np.nan, 0) if masked else (scores[0, 0], 1)
    measured = bootstrap.bootstrap(labels, scores, mask if masked else None, resamples=37, seed=5)
    weights = bootstrap.resample_weights(60, 0, 37, 5)
    for b in range(37):
        per_class, together = brute_force(labels, np.nan_to_num(scores), mask, weights[b])
        np.testing.assert_allclose(measured.per_class[b], per_class, rtol=0, atol=EXACT)
        assert measured.ap_all[b] == pytest.approx(together, abs=EXACT)
        assert measured.mean_ap[b] == pytest.approx(np.nanmean(per_class), abs=EXACT)
    assert np.isnan(measured.per_class[:, 1]).all()
    assert 0 < np.isnan(measured.per_class[:, 2]).sum() < 37


def test_replicates_are_scikit_learns_weighted():
    labels, scores, _ = random_case(200, 3, seed=4)
    measured = bootstrap.bootstrap(labels, scores, resamples=3, seed=1)
    for b, weight in enumerate(bootstrap.resample_weights(200, 0, 3, 1)):
        expected = average_precision_score(labels.ravel(), scores.ravel(), sample_weight=np.repeat(weight, 3))
        assert measured.ap_all[b] == pytest.approx(expected, abs=EXACT)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sparse_is_dense_whatever_the_threads_and_blocks(dtype, monkeypatch):
    labels, scores, mask = random_case(80, 9, levels=5, dtype=dtype)
    mask[:, 4] = 0
    rows, classes = np.nonzero(mask)
    dense = bootstrap.bootstrap(labels, scores, mask, resamples=70, threads=1)
    monkeypatch.setattr(bootstrap, "BLOCK", 50)
    monkeypatch.setattr(bootstrap, "BATCH_BYTES", 5000)
    blocks = []
    monkeypatch.setattr(
        bootstrap, "rank_keys", lambda groups, order: blocks.append(len(groups)) or rank_keys(groups, order)
    )
    flat = (rows, classes, labels[rows, classes], scores[rows, classes], 80, 9)
    done = []
    sparse = bootstrap.sparse_bootstrap(*flat, resamples=70, threads=3, advance=done.append)
    assert done == [1] * 70  # so little memory has room for one resample at a time
    assert max(blocks) <= 50
    for name in ("mean_ap", "ap_all", "per_class"):
        np.testing.assert_allclose(getattr(sparse, name), getattr(dense, name), rtol=0, atol=EXACT)


def test_weights_are_multinomial_and_depend_on_seed_and_number_only():
    weights = bootstrap.resample_weights(500, 0, 40, 9)
    assert (weights.sum(axis=1) == 500).all()
    assert weights.var() == pytest.approx(1, abs=0.05)  # N draws of probability 1 / N
    np.testing.assert_array_equal(bootstrap.resample_weights(500, 17, 3, 9), weights[17:20])
    assert (bootstrap.resample_weights(500, 0, 1, 10) != weights[:1]).any()


def test_models_on_the_same_images_meet_the_same_resamples():
    labels, scores, _ = random_case(400, 6)
    better = (scores + labels).astype(np.float32)
    # A far smaller change of the ranking: pairing cancels what the two runs share.
    shaken = (better + 0.02 * np.random.default_rng(0).normal(size=better.shape)).astype(np.float32)
    first, second = (bootstrap.bootstrap(labels, s, resamples=200, seed=2) for s in (better, shaken))
    assert (first.ap_all - second.ap_all).std() < 0.3 * first.ap_all.std()


def test_no_positive_and_nan():
    measured = bootstrap.bootstrap(np.zeros((5, 2)), np.ones((5, 2), np.float32), resamples=3)
    assert np.isnan(measured.mean_ap).all()
    assert np.isnan(measured.ap_all).all()
    scores = np.ones((5, 2), np.float32)
    scores[3, 1] = np.nan
    with pytest.raises(NlcliError, match="row 3, class 1 is NaN"):
        bootstrap.bootstrap(np.ones((5, 2)), scores, resamples=3)
