"""Checked labels: intervals by brute force, and on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from nlcli.errors import NlcliError
from nlcli.evaluation.checked_labels import CheckedLabels, read_checked, write_checked
from worlds.made_detections import CLASSES


def test_intervals_are_those_of_a_brute_force_bootstrap() -> None:
    rng = np.random.default_rng(0)
    n = 60
    noisy, right = rng.integers(0, 3, n), rng.random(n) < 0.6
    score = np.round(right * 0.3 + rng.random(n), 1).astype(np.float32)  # many are equal
    labels = CheckedLabels(
        CLASSES, np.array([f"k{i}" for i in range(n)], object), noisy, right, score >= 0.7, score, noisy == 2
    )
    measured = labels.measure(70, 3)
    assert measured.counts.tolist() == np.bincount(noisy).tolist()
    for b in range(70):
        drawn = np.random.default_rng([3, b]).integers(0, n, n, dtype=np.int32)
        wrongly = (right != (score >= 0.7))[drawn]
        per_class = [wrongly[noisy[drawn] == c].mean() for c in range(3)]
        np.testing.assert_allclose(measured.per_class[b], per_class, atol=1e-12)
        expected = {
            "average_error": np.mean(per_class),
            "held_out_error": per_class[2],
            "micro_error": wrongly.mean(),
            "AUC": roc_auc_score(right[drawn], score[drawn]),
            "AP_wrong": average_precision_score(~right[drawn], -score[drawn]),
        }
        for name, value in expected.items():
            assert measured.replicates[name][b] == pytest.approx(value, abs=1e-12), name
    # In a resample without an image of a class the average is over the others.
    few = labels.only(labels.keys[[0, 1, 2]])
    assert not np.isnan(few.measure(40, 0).replicates["average_error"]).any()
    assert np.isnan(few.measure(40, 0).per_class).any()


def test_checked_labels_on_disk(tmp_path: Path) -> None:
    labels = CheckedLabels(
        CLASSES,
        np.array(["k1", "k2"], object),
        np.array([0, 2]),
        np.array([True, False]),
        np.array([True, True]),
        np.array([0.5, 0.25], np.float32),
        np.array([False, True]),
    )
    write_checked(tmp_path / "checked.parquet", labels)
    read = read_checked(tmp_path / "checked.parquet")
    assert read.label_hash() == labels.label_hash()
    assert (read.classes, read.score.tolist(), read.held_out.tolist()) == (CLASSES, [0.5, 0.25], [False, True])
    (tmp_path / "checked.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(NlcliError, match="evaluate the detection again"):
        read_checked(tmp_path / "checked.parquet")
    write_checked(tmp_path / "out.parquet", replace(labels, classes=("a",)))  # a label of no class
    with pytest.raises(NlcliError, match="does not hold the checked labels"):
        read_checked(tmp_path / "out.parquet")
