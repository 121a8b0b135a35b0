"""DRAE: its split by hand and by brute force, and outliers that were planted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from nlcli.detection import make_detector
from nlcli.detection.base import Data
from nlcli.detection.detectors.drae import Drae
from nlcli.detection.drae_autoencoder import best_split, spread_ratio
from nlcli.errors import NlcliError
from worlds.noisy import detection_data


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def split(errors: object, dtype: str = "float32") -> tuple[float, float]:
    threshold, ratio = best_split(tf.constant(np.asarray(errors, dtype)))
    return float(threshold), float(ratio)


# --- equations -------------------------------------------------------------------------------


def test_split_by_hand() -> None:
    # Groups 1, 2 and 7, 10: within (0.5 + 4.5), total 16 + 9 + 4 + 25 around their mean 5.
    assert split([7, 1, 10, 2]) == (pytest.approx(4.5), pytest.approx(5 / 54))
    assert split([3, 3, 8]) == (pytest.approx(5.5), pytest.approx(0))
    assert split([1, 2]) == (pytest.approx(1.5), pytest.approx(0))


def test_split_is_the_best_of_all() -> None:
    for seed in range(30):
        errors = rng(seed).gamma(2.0, size=int(rng(seed + 1).integers(2, 40)))
        ordered = np.sort(errors)
        total = ((errors - errors.mean()) ** 2).sum()
        within = [
            sum(((part - part.mean()) ** 2).sum() for part in (ordered[:k], ordered[k:]))
            for k in range(1, len(ordered))
        ]
        threshold, ratio = split(errors, "float64")
        best = int(np.argmin(within))
        assert threshold == pytest.approx((ordered[best] + ordered[best + 1]) / 2)
        assert ratio == pytest.approx(within[best] / total, abs=1e-9)


def test_split_keeps_its_digits_beside_a_large_mean() -> None:
    threshold, ratio = split(np.array([7, 1, 10, 2]) + 4096.0)
    assert (threshold - 4096, ratio) == (pytest.approx(4.5), pytest.approx(5 / 54, rel=1e-2))


def test_equal_errors_have_no_split_and_no_gradient() -> None:
    errors = tf.fill([5], 0.3)
    with tf.GradientTape() as tape:
        tape.watch(errors)
        _, ratio = best_split(errors)
    assert float(ratio) == 1
    np.testing.assert_array_equal(tape.gradient(ratio, errors), np.zeros(5))


def test_gradient_is_that_of_the_ratio_with_its_groups() -> None:
    errors = np.array([0.2, 0.3, 0.9, 0.25, 1.4])
    tensor = tf.constant(errors)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        _, ratio = best_split(tensor)
    numeric = [
        (split(errors + step, "float64")[1] - split(errors - step, "float64")[1]) / 2e-6 for step in 1e-6 * np.eye(5)
    ]
    np.testing.assert_allclose(tape.gradient(ratio, tensor), numeric, atol=1e-6)
    assert float(spread_ratio(tensor, tf.constant([1.0, 1, 0, 1, 0], tf.float64))) == pytest.approx(float(ratio))


# --- planted outliers ------------------------------------------------------------------------


def planted(folder: Path, outliers: float = 0.2) -> tuple[Data, np.ndarray, np.ndarray, np.ndarray]:
    """Three classes of 120 images in three directions each; outliers lie anywhere. Nobody verified one."""
    random = rng(1)
    noisy = np.repeat(np.arange(3), 120)
    right = random.random(360) >= outliers
    planes = random.normal(size=(3, 3, 40))
    features = np.einsum("nk,nkd->nd", random.normal(size=(360, 3)), planes[noisy])
    features[~right] = random.normal(size=(int((~right).sum()), 40)) * np.sqrt(3)
    features += 0.2 * random.normal(size=features.shape)
    order = random.permutation(360)
    features, noisy, right = features[order].astype(np.float32), noisy[order], right[order]
    return detection_data(folder, features, noisy, np.full(360, -1), 3), features, noisy, right


OPTIONS = {"hidden": 3, "steps": 300, "learning_rate": 3e-3}


def fitted(data: Data, work: Path, seed: int = 0, **options: object) -> Drae:
    work.mkdir(exist_ok=True)
    detector = make_detector("drae", {**OPTIONS, **options})
    detector.fit(data, seed, work)
    assert isinstance(detector, Drae)
    return detector


def test_its_own_split_finds_planted_outliers(tmp_path: Path) -> None:
    data, features, noisy, right = planted(tmp_path)
    detector = fitted(data, tmp_path / "work")
    score = detector.score(features, noisy)
    assert detector.natural_threshold == 0
    assert np.mean((score >= 0) == right) > 0.95
    assert score.max() <= 1
    assert max(detector.notes["spread_within_groups"].values()) < 0.5


def test_discrimination_separates_the_groups_better(tmp_path: Path) -> None:
    data, *_ = planted(tmp_path)
    without, with_it = (
        fitted(data, tmp_path / str(weight), discrimination=weight).notes["spread_within_groups"] for weight in (0, 10)
    )
    assert all(with_it[name] < 0.7 * without[name] for name in without)


def test_it_goes_on_with_the_next_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, features, noisy, _ = planted(tmp_path)
    whole = fitted(data, tmp_path / "whole", steps=20).score(features, noisy)
    read, calls = Data.features, []

    def killed(self, images, positions):
        calls.append(len(positions))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return read(self, images, positions)

    monkeypatch.setattr(Data, "features", killed)
    with pytest.raises(KeyboardInterrupt):
        fitted(data, tmp_path / "cut", steps=20)
    resumed = fitted(data, tmp_path / "cut", steps=20)
    assert len(calls) == 4  # two classes, the third in vain, the third
    np.testing.assert_array_equal(resumed.score(features, noisy), whole)
    again = fitted(data, tmp_path / "other seed", 1, steps=20).score(features, noisy)
    assert np.abs(again - whole).max() > 1e-4


def test_scores_do_not_depend_on_what_they_are_asked_with(tmp_path: Path) -> None:
    data, features, noisy, _ = planted(tmp_path)
    detector = fitted(data, tmp_path / "work", steps=20)
    score = detector.score(features, noisy)
    by_class = np.empty_like(score)
    for c in (2, 0, 1):
        by_class[noisy == c] = detector.score(features[noisy == c], noisy[noisy == c])
    np.testing.assert_allclose(by_class, score, atol=1e-6)
    np.testing.assert_allclose(detector.score(7 * features, noisy), score, atol=1e-4)  # lengths do not count
    assert detector.score(features[:0], noisy[:0]).shape == (0,)


def test_a_class_is_cut_to_a_number_of_images_and_may_be_too_small(tmp_path: Path) -> None:
    features, noisy = rng().normal(size=(31, 8)).astype(np.float32), np.array([0] * 30 + [2])
    data = detection_data(tmp_path, features, noisy, np.full(31, -1), 3)
    detector = fitted(data, tmp_path / "work", steps=5, images=20)
    assert data.subsampled == {"c0": 30}
    assert detector.notes["classes_without_split"] == ["c1", "c2"]
    score = detector.score(features, np.array([0] * 30 + [2]))
    assert score[30] == 0  # at its threshold, and so right
    assert np.isfinite(score).all()
    same = detection_data(tmp_path / "same", np.ones((6, 8), np.float32), np.zeros(6, int), np.full(6, -1), 1)
    assert np.isfinite(
        fitted(same, tmp_path / "w2", steps=5).score(np.ones((6, 8), np.float32), np.zeros(6, int))
    ).all()


def test_a_damaged_file_of_it_is_named(tmp_path: Path) -> None:
    data, *_ = planted(tmp_path)
    fitted(data, tmp_path / "work", steps=2)
    (tmp_path / "work" / "class-00001.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(NlcliError, match=r"cannot read .*class-00001\.npz"):
        fitted(data, tmp_path / "work", steps=2)
