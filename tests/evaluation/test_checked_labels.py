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
    said = np.where(np.arange(n) % 5 == 0, np.nan, rng.random(n)).astype(np.float32)
    labels = CheckedLabels(
        CLASSES, np.array([f"k{i}" for i in range(n)], object), noisy, right, score >= 0.7, score, noisy == 2, said
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
            "calibration_error": calibration_error(said[drawn], right[drawn]),
        }
        for name, value in expected.items():
            assert measured.replicates[name][b] == pytest.approx(value, abs=1e-12), name
    # In a resample without an image of a class the average is over the others.
    few = labels.only(labels.keys[[0, 1, 2]])
    assert not np.isnan(few.measure(40, 0).replicates["average_error"]).any()
    assert np.isnan(few.measure(40, 0).per_class).any()


def calibration_error(said: np.ndarray, right: np.ndarray) -> float:
    """Bin by bin as the formula has it, of the labels with a probability."""
    total = 0.0
    for low in np.arange(10) / 10:
        inside = (said >= np.float32(low)) & (said < np.float32(low + 0.1))
        if inside.any():
            total += inside.sum() * abs(said[inside].mean(dtype=np.float64) - right[inside].mean())
    return float(total / (~np.isnan(said)).sum())


def test_labels_without_probabilities_have_no_calibration_error() -> None:
    n = 20
    nothing = np.full(n, np.nan, np.float32)
    labels = CheckedLabels(
        CLASSES, np.array([f"k{i:02d}" for i in range(n)], object), np.zeros(n, np.int64), np.arange(n) % 2 == 0,
        np.ones(n, bool), np.linspace(0, 1, n, dtype=np.float32), np.zeros(n, bool), nothing,
    )  # fmt: skip
    assert "calibration_error" not in labels.measure(5, 0).values
    assert labels.naive().measure(0, 0).values["calibration_error"] == 0.5  # all are called right, half of them are


def test_checked_labels_on_disk(tmp_path: Path) -> None:
    labels = CheckedLabels(
        CLASSES,
        np.array(["k1", "k2"], object),
        np.array([0, 2]),
        np.array([True, False]),
        np.array([True, True]),
        np.array([0.5, 0.25], np.float32),
        np.array([False, True]),
        np.array([0.9, np.nan], np.float32),
    )
    write_checked(tmp_path / "checked.parquet", labels)
    read = read_checked(tmp_path / "checked.parquet")
    assert read.label_hash() == labels.label_hash()
    assert (read.classes, read.score.tolist(), read.held_out.tolist()) == (CLASSES, [0.5, 0.25], [False, True])
    assert read.probability.tolist() == pytest.approx([0.9, np.nan], nan_ok=True)
    (tmp_path / "checked.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(NlcliError, match="evaluate the detection again"):
        read_checked(tmp_path / "checked.parquet")
    write_checked(tmp_path / "out.parquet", replace(labels, classes=("a",)))  # a label of no class
    with pytest.raises(NlcliError, match="does not hold the checked labels"):
        read_checked(tmp_path / "out.parquet")
